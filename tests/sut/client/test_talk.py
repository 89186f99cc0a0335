"""People talk through a real system, with real encryption: delivery, receipts, groups, crashes, lost keys."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sut.client.chat import Chat
from sut.client.errors import UserMistake
from sut.client.model import Delivery, LineKind
from sut.deploy.system import System
from sut.protocol.content import Delete, Edit, Target
from tests.kit.pace import scaled
from tests.sut.client.conftest import PATIENCE_S, Person, access_to, person

pytestmark = pytest.mark.timeout(300)
WRITER = Path(__file__).with_name("writer.py")


async def met(one: Person, other: Person) -> int:
    """The conversation of two people, known to both."""
    conv = await one.do.begin(other.core.name)
    await one.do.send(conv, "hello")
    await other.until(lambda: other.texts(conv) == [f"{one.core.name}: hello"], others=(one,))
    return conv


def test_two_people_talk_and_see_how_far_each_line_came(running: System, tmp_path: Path) -> None:
    async def scenario() -> None:
        access = access_to(running)
        async with person(access, "ann", tmp_path) as ann, person(access, "ben", tmp_path) as ben:
            conv = await met(ann, ben)
            await ben.do.send(conv, "hello yourself")
            await ann.until(lambda: ann.texts(conv) == ["ann: hello", "ben: hello yourself"])
            await ann.until(lambda: ann.deliveries(conv) == [Delivery.DELIVERED])
            assert ben.talk(conv).unread(ben.core.me) == 1
            await ben.do.read(conv)
            assert ben.talk(conv).unread(ben.core.me) == 0
            await ann.until(lambda: ann.deliveries(conv) == [Delivery.READ])
            assert ben.deliveries(conv)[0] < Delivery.READ
            await ben.do.typing(conv)
            await ann.until(lambda: ann.talk(conv).typists(ann.core.clock()) == [ben.core.me])
            await ann.until(lambda: ann.sees(ben))
            assert await ann.do.safety(conv) == (await ben.do.safety(conv)).replace("with ann", "with ben")
            assert ann.core.title(ann.talk(conv)) == "ben"

    asyncio.run(scenario())


def test_a_presence_ends_with_its_client(running: System, tmp_path: Path) -> None:
    async def scenario() -> None:
        access = access_to(running)
        async with person(access, "pat", tmp_path) as pat:
            async with person(access, "pia", tmp_path) as pia:
                await met(pat, pia)
                await pat.until(lambda: pat.sees(pia))
            await pat.until(lambda: pat.sees(pia) is False)
            assert pat.core.presence[pia.core.me].last_seen_ms > 0

    asyncio.run(scenario())


def test_lines_cross_the_crash_of_every_gateway_once_and_in_order(running: System, tmp_path: Path) -> None:
    lines = [f"line {number}" for number in range(30)]

    async def scenario() -> None:
        access = access_to(running)
        async with person(access, "cat", tmp_path) as cat, person(access, "dan", tmp_path) as dan:
            conv = await met(cat, dan)
            for number, line in enumerate(lines):
                await cat.do.send(conv, line)
                await dan.do.send(conv, line)
                if number == 10:
                    for gateway in running.topology.of_kind("gateway"):
                        os.kill(running.pid(gateway.name) or 0, signal.SIGKILL)
                await asyncio.sleep(0.05)
            await cat.until(lambda: len(cat.texts(conv)) >= 61)
            await dan.until(lambda: len(dan.texts(conv)) >= 61)
            assert "waiting" in cat.states and "waiting" in dan.states
            for one in (cat, dan):
                assert [text for text in one.texts(conv)[1:] if text.startswith("cat")] == [f"cat: {x}" for x in lines]
                assert [text for text in one.texts(conv)[1:] if text.startswith("dan")] == [f"dan: {x}" for x in lines]
            assert cat.texts(conv) == dan.texts(conv)
            assert await cat.do.settled(scaled(PATIENCE_S))

    asyncio.run(scenario())


def test_a_client_goes_on_where_it_ended_and_sends_what_it_had_not(running: System, tmp_path: Path) -> None:
    async def scenario() -> None:
        access = access_to(running)
        async with person(access, "eva", tmp_path) as eva, person(access, "fay", tmp_path) as fay:
            conv = await met(eva, fay)
            assert await fay.do.settled(scaled(PATIENCE_S))
        nobody = access._replace(url="http://127.0.0.1:9")
        async with Chat.open(nobody, name="eva", path=tmp_path / "eva.db", listener=lambda _update: None) as offline:
            eva = Person(offline, [])
            assert eva.texts(conv) == ["eva: hello"]
            await eva.do.send(conv, "written offline")
            assert eva.do.unsettled() == "1 message to send: not connected: connecting"
        async with person(access, "fay", tmp_path) as fay:
            assert fay.texts(conv) == ["eva: hello"]
            async with person(access, "eva", tmp_path) as eva:
                await fay.until(lambda: fay.texts(conv) == ["eva: hello", "eva: written offline"])
                await fay.do.send(conv, "read online")
                await eva.until(lambda: eva.texts(conv)[-1] == "fay: read online")
                await fay.do.read(conv)
                await eva.until(lambda: eva.deliveries(conv) == [Delivery.READ, Delivery.READ])

    asyncio.run(scenario())


def test_what_was_encrypted_and_never_left_goes_out_with_the_next_run(running: System, tmp_path: Path) -> None:
    async def swallow(_frames: list[bytes]) -> None:
        """A cable that was pulled."""

    async def scenario() -> None:
        access = access_to(running)
        async with person(access, "lou", tmp_path) as lou:
            async with person(access, "moe", tmp_path) as moe:
                conv = await met(moe, lou)
                assert await moe.do.settled(scaled(PATIENCE_S))
                moe.chat._link.send = swallow
                await moe.do.send(conv, "cut off")
                await moe.until(moe.chat.outbound.unsettled)
            async with person(access, "moe", tmp_path) as moe:
                await moe.do.send(conv, "and on")
                await lou.until(lambda: len(lou.texts(conv)) >= 3, others=(moe,))
                assert lou.texts(conv) == ["moe: hello", "moe: cut off", "moe: and on"]
                assert moe.texts(conv) == lou.texts(conv)

    asyncio.run(scenario())


def test_what_was_read_while_away_is_known_on_return(running: System, tmp_path: Path) -> None:
    async def scenario() -> None:
        access = access_to(running)
        async with person(access, "gil", tmp_path) as gil, person(access, "han", tmp_path) as han:
            conv = await met(gil, han)
            assert await gil.do.settled(scaled(PATIENCE_S))
        async with person(access, "han", tmp_path) as han:
            await han.do.read(conv)
            await asyncio.sleep(1.5)
        async with person(access, "gil", tmp_path) as gil:
            await gil.until(lambda: gil.deliveries(conv) == [Delivery.READ])

    asyncio.run(scenario())


@pytest.mark.long
def test_a_client_that_is_killed_again_and_again_says_every_line_once(running: System, tmp_path: Path) -> None:
    wanted = 40

    async def scenario() -> None:
        access = access_to(running)
        async with person(access, "ida", tmp_path) as ida:
            command = [sys.executable, str(WRITER), access.url, access.operator_key, str(tmp_path / "jon.db"), "ida"]
            for kill_after_s in (2.2, 2.9, 3.4, None):
                writer = await asyncio.to_thread(subprocess.Popen, [*command, str(wanted)])
                try:
                    await asyncio.to_thread(writer.wait, kill_after_s or 60.0)
                except subprocess.TimeoutExpired:
                    writer.send_signal(signal.SIGKILL)
                    await asyncio.to_thread(writer.wait)
            assert writer.returncode == 0
            conv = next(iter(ida.core.conversations))
            await ida.until(lambda: len(ida.texts(conv)) >= wanted)
            assert ida.texts(conv) == [f"jon: {number}" for number in range(wanted)]

    asyncio.run(scenario())


def test_groups_people_join_and_go_and_read_only_what_is_theirs(running: System, tmp_path: Path) -> None:
    async def scenario() -> None:
        access = access_to(running)
        async with (
            person(access, "kim", tmp_path) as kim,
            person(access, "lea", tmp_path) as lea,
            person(access, "max", tmp_path) as max_,
        ):
            conv = await kim.do.group("The Gang", ["lea"])
            await kim.do.send(conv, "one")
            await lea.until(lambda: lea.texts(conv) == ["kim: one"])
            assert lea.core.title(lea.talk(conv)) == "The Gang"
            await kim.do.add(conv, "max")
            await kim.do.send(conv, "two")
            await max_.until(lambda: max_.texts(conv) == ["kim: two"])
            assert max_.core.title(max_.talk(conv)) == "The Gang"
            assert max_.core.called(lea.core.me) == "lea"
            await lea.do.send(conv, "three")
            await max_.until(lambda: max_.texts(conv) == ["kim: two", "lea: three"], others=(lea, kim))
            await kim.do.remove(conv, "lea")
            await kim.do.send(conv, "four")
            await max_.until(lambda: max_.texts(conv) == ["kim: two", "lea: three", "kim: four"])
            await lea.do.look(conv)
            await lea.until(lambda: lea.talk(conv).left)
            assert lea.texts(conv) == ["kim: one", "kim: two", "lea: three"]
            with pytest.raises(UserMistake, match="not a member"):
                await lea.do.send(conv, "let me in")
            notices = [line for line in max_.talk(conv).lines if line.kind is LineKind.NOTICE]
            assert [(max_.core.called(line.user), line.text) for line in notices] == [("lea", "is gone")]
            await max_.do.leave(conv)
            await kim.until(lambda: set(kim.talk(conv).members) == {kim.core.me})
            with pytest.raises(UserMistake, match="nobody-ever has not been here yet"):
                await kim.do.add(conv, "nobody-ever")

    asyncio.run(scenario())


def test_lines_are_changed_and_taken_back_by_their_authors_only(running: System, tmp_path: Path) -> None:
    async def scenario() -> None:
        access = access_to(running)
        async with person(access, "ned", tmp_path) as ned, person(access, "oda", tmp_path) as oda:
            conv = await met(ned, oda)
            await ned.do.edit(conv, "goodbye")
            await oda.until(lambda: oda.texts(conv) == ["ned: goodbye"])
            assert oda.talk(conv).lines[0].edited
            line = ned.talk(conv).lines[0]
            target = Target(line.device, line.client_seq)
            for forged in (Edit(target, "what I never said"), Delete(target)):
                await oda.chat.step(lambda _now, what=forged: oda.chat.outbound.write(oda.talk(conv), what))
            await oda.do.send(conv, "after")
            await ned.until(lambda: ned.texts(conv) == ["ned: goodbye", "oda: after"])
            await ned.do.delete(conv)
            await oda.until(lambda: oda.talk(conv).lines[0].deleted)
            with pytest.raises(UserMistake, match="no line of yours here"):
                await ned.do.delete(conv)

    asyncio.run(scenario())


def test_the_service_has_no_word_of_what_was_said(running: System, tmp_path: Path) -> None:
    canary = "zebra-canary-5d1f"

    async def scenario() -> None:
        access = access_to(running)
        async with person(access, "pam", tmp_path) as pam, person(access, "quy", tmp_path) as quy:
            conv = await met(pam, quy)
            await pam.do.send(conv, f"direct {canary}")
            group = await pam.do.group(f"title {canary}", ["quy"])
            await pam.do.send(group, f"group {canary}")
            await quy.until(lambda: len(quy.texts(group)) == 1 and len(quy.texts(conv)) == 2)
            assert await pam.do.settled(scaled(PATIENCE_S))

    asyncio.run(scenario())
    files = [path for path in running.topology.path.rglob("*") if path.is_file()]
    assert len(files) > 10
    found = [str(path) for path in files if canary.encode() in path.read_bytes()]
    assert not found
    state = (tmp_path / "quy.db").read_bytes()
    assert canary.encode() in state, "the search finds it where it is"


def test_a_new_device_is_not_trusted_until_somebody_accepts_it(running: System, tmp_path: Path) -> None:
    async def scenario() -> None:
        access = access_to(running)
        async with person(access, "rob", tmp_path) as rob:
            async with person(access, "sue", tmp_path) as sue:
                conv = await met(rob, sue)
                before = await rob.do.safety(conv)
            (tmp_path / "sue.db").unlink()
            async with person(access, "sue", tmp_path, joins=False) as sue:
                assert "sue has another device already" in sue.said[0]
                await sue.do.devices.anew()
                await sue.until(lambda: sue.core.online)
                await sue.do.begin("rob")
                await sue.do.send(conv, "it is me")
                await rob.until(lambda: any("the keys of sue have changed" in text for text in rob.said))
                assert rob.texts(conv) == ["rob: hello"]
                assert "accepted" in await rob.do.accept("sue")
                await rob.until(lambda: rob.texts(conv) == ["rob: hello", "sue: it is me"])
                await rob.do.send(conv, "is it?")
                await sue.until(lambda: sue.texts(conv)[-1] == "rob: is it?")
                assert await rob.do.safety(conv) != before

    asyncio.run(scenario())


def test_a_lost_session_is_mended_and_what_came_meanwhile_is_read(running: System, tmp_path: Path) -> None:
    async def scenario() -> None:
        access = access_to(running)
        async with person(access, "tom", tmp_path) as tom, person(access, "una", tmp_path) as una:
            conv = await met(tom, una)
            await una.do.send(conv, "so that sessions stand")
            await tom.until(lambda: len(tom.texts(conv)) == 2)
            await tom.do.send(conv, "in the new session")
            await una.until(lambda: len(una.texts(conv)) == 3)
            ring = una.chat.encryption.account._ring
            assert ring.peers
            ring.peers.clear()
            await tom.do.send(conv, "unreadable at first")
            await una.until(lambda: una.texts(conv)[-1] == "tom: unreadable at first")
            assert una.core.names[tom.core.me] == "tom"
            await tom.do.send(conv, "and on")
            await una.until(lambda: una.texts(conv)[-1] == "tom: and on")
            assert [line.kind for line in una.talk(conv).lines] == [LineKind.TEXT] * 5

    asyncio.run(scenario())
