"""Several devices of one person: added with a code, written to like any other, taken off for good."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from sut.client.chat import Chat
from sut.client.device.joining import Standing, standing
from sut.client.errors import ClientError, UserMistake
from sut.client.model import LineKind
from sut.crypto.account import Account
from sut.deploy.system import System
from tests.kit.pace import scaled
from tests.kit.waits import Deadline
from tests.sut.client.conftest import PATIENCE_S, Person, access_to, person
from tests.sut.client.test_talk import met

pytestmark = pytest.mark.timeout(300)
EARLIER = "what was written before this device was added can be read on your other devices"


def code_on(device: Person) -> str:
    """As the person reads it from the screen."""
    found = re.search(r"^/link laptop ((?:\d{5} ?){6})$", device.said[-1], re.MULTILINE)
    assert found is not None, device.said
    return found.group(1)


async def add(laptop: Person, first: Person) -> None:
    """What the person does to have a second device."""
    said = await first.do.devices.link("laptop", code_on(laptop))
    await laptop.until(lambda: laptop.core.online, others=(first,))
    assert laptop.said[-1].splitlines()[1].split(", ")[1] in said, "the same account number"
    await laptop.until(lambda: not laptop.core.arriving)


async def stored(reader: Person, conv: int) -> None:
    """Wait until the service has put down that this person has read there."""
    deadline = Deadline(PATIENCE_S, told=lambda: "the read mark is not stored")
    while not any(who.user == reader.core.me and who.read for who in await reader.chat.api.receipts(conv)):
        deadline.check()
        await asyncio.sleep(0.2)


def kinds(one: Person, conv: int) -> list[str]:
    return [str(line.kind) for line in one.talk(conv).lines]


def test_what_a_list_says_of_a_device() -> None:
    first = Account.create(user=1, device=11, now_s=0)
    second = Account.create(user=1, device=12, now_s=0)
    key = second.identity_key
    assert standing(b"", user=1, device=12, identity_key=key) is Standing.FIRST
    assert standing(first.device_list, user=1, device=12, identity_key=key) is Standing.UNLISTED
    listed = first.link(12, key)
    assert standing(listed, user=1, device=12, identity_key=key) is Standing.LISTED
    assert standing(listed, user=1, device=12, identity_key=first.identity_key) is Standing.UNLISTED, "another's key"
    with pytest.raises(ClientError, match="not genuine"):
        standing(b"\x01", user=1, device=12, identity_key=key)
    with pytest.raises(ClientError, match="somebody else's"):
        standing(listed, user=2, device=12, identity_key=key)


def test_a_second_device_sees_all_from_its_addition_on(running: System, tmp_path: Path) -> None:
    async def scenario() -> None:
        access = access_to(running)
        async with person(access, "ada", tmp_path) as ada, person(access, "bo", tmp_path) as bo:
            conv = await met(ada, bo)
            await bo.do.send(conv, "long ago")
            group = await ada.do.group("Old Friends", ["bo"])
            await ada.do.send(group, "also long ago")
            await bo.until(lambda: bo.texts(group))
            async with person(access, "ada", tmp_path, device="laptop", joins=False) as laptop:
                assert laptop.core.conversations == {}
                with pytest.raises(UserMistake, match="none of your devices waits with this code"):
                    await ada.do.devices.link("laptop", "12345 " * 6)
                with pytest.raises(UserMistake, match="has to be added itself first"):
                    await laptop.do.devices.link("phone", "12345 " * 6)
                await add(laptop, ada)
                everybody = (ada, bo, laptop)
                for where in (conv, group):
                    await laptop.until(lambda where=where: laptop.core.conversations.get(where), others=everybody)
                await laptop.until(lambda: laptop.core.title(laptop.talk(conv)) == "bo", others=everybody)
                await laptop.until(lambda: laptop.core.title(laptop.talk(group)) == "Old Friends", others=everybody)
                for where in (conv, group):
                    assert kinds(laptop, where) == ["earlier"], "one calm line for all of it"
                    assert laptop.talk(where).lines[0].text == EARLIER
                await laptop.do.send(conv, "from the laptop")
                await bo.until(lambda: bo.texts(conv)[-1] == "ada: from the laptop", others=everybody)
                await ada.until(lambda: ada.texts(conv)[-1] == "ada: from the laptop", others=everybody)
                await ada.do.send(conv, "from the terminal")
                await bo.do.send(conv, "to you both")
                await bo.do.send(group, "to all")
                last = ["ada: from the laptop", "ada: from the terminal", "bo: to you both"]
                for one in everybody:
                    await one.until(lambda one=one: set(one.texts(conv)[-3:]) == set(last), others=everybody)
                    await one.until(lambda one=one: one.texts(group)[-1:] == ["bo: to all"], others=everybody)
                await laptop.do.edit(conv, "changed on the laptop")
                await ada.until(lambda: "ada: changed on the laptop" in ada.texts(conv), others=everybody)
                assert set(kinds(laptop, conv)) == {"earlier", "text"}
                assert await ada.do.safety(conv) == await laptop.do.safety(conv)
                assert not [text for text in bo.said if "changed" in text], "nobody has to accept anything"
                assert (await ada.do.devices.listing()).splitlines()[:2] == [
                    "terminal  this one, the first",
                    "laptop",
                ]
                with pytest.raises(UserMistake, match="only the first of your devices"):
                    await laptop.do.devices.unlink("terminal")
                fresh = await laptop.do.begin("bo")
                assert fresh == conv
                for one in everybody:
                    assert await one.do.settled(scaled(PATIENCE_S)), one.story()
            async with person(access, "ada", tmp_path, device="laptop") as laptop:
                await bo.do.send(conv, "are you back?")
                await laptop.until(lambda: laptop.texts(conv)[-1] == "bo: are you back?", others=(bo,))
                assert kinds(laptop, conv).count("earlier") == 1

    asyncio.run(scenario())


def test_a_conversation_that_begins_later_is_there_from_its_first_word(running: System, tmp_path: Path) -> None:
    async def scenario() -> None:
        access = access_to(running)
        async with person(access, "cy", tmp_path) as cy, person(access, "di", tmp_path) as di:
            await met(di, cy)  # so di knows of cy's first device only
            async with (
                person(access, "cy", tmp_path, device="laptop", joins=False) as laptop,
                person(access, "ed", tmp_path) as ed,
            ):
                await add(laptop, cy)
                conv = await di.do.group("New", ["cy", "ed"])
                await di.do.send(conv, "the first word")
                for one in (cy, laptop, ed):
                    await one.until(lambda one=one: one.texts(conv) == ["di: the first word"], others=(di, cy, laptop))
                assert LineKind.EARLIER not in kinds(laptop, conv)
                await cy.do.read(conv)
                await stored(cy, conv)
            async with person(access, "cy", tmp_path, device="laptop") as laptop:
                await laptop.until(lambda: laptop.talk(conv).unread(laptop.core.me) == 0, others=(cy,))

    asyncio.run(scenario())


def test_what_one_device_reads_is_read_on_the_others_live_and_when_they_come_back(
    running: System, tmp_path: Path
) -> None:
    def unread(one: Person, conv: int) -> int:
        return one.talk(conv).unread(one.core.me)

    async def scenario() -> None:
        access = access_to(running)
        async with person(access, "lia", tmp_path) as lia, person(access, "mona", tmp_path) as mona:
            conv = await met(lia, mona)
            await lia.do.read(conv)
            async with person(access, "lia", tmp_path, device="laptop", joins=False) as laptop:
                await add(laptop, lia)
                await mona.do.send(conv, "one")
                for one in (lia, laptop):
                    await one.until(lambda one=one: one.texts(conv)[-1:] == ["mona: one"], others=(lia, laptop, mona))
                await lia.until(lambda: unread(lia, conv) == unread(laptop, conv) == 1, others=(laptop,))
                laptop.chat.api.receipts = None  # so nothing but the frame can tell it
                await lia.do.read(conv)
                await laptop.until(lambda: unread(laptop, conv) == 0, others=(lia,))
            await mona.do.send(conv, "two")
            await lia.until(lambda: lia.texts(conv)[-1:] == ["mona: two"], others=(mona,))
            await lia.do.read(conv)
            head = lia.talk(conv).read
            deadline = Deadline(PATIENCE_S, told=lambda: "the read mark is not stored")
            while not any(w.user == lia.core.me and w.read == head for w in await lia.chat.api.receipts(conv)):
                deadline.check()
                await asyncio.sleep(0.2)
            async with person(access, "lia", tmp_path, device="laptop") as laptop:
                await laptop.until(
                    lambda: laptop.texts(conv)[-1:] == ["mona: two"] and unread(laptop, conv) == 0, others=(lia,)
                )

    asyncio.run(scenario())


def test_a_device_that_is_taken_off_cannot_go_on(running: System, tmp_path: Path) -> None:
    async def scenario() -> None:
        access = access_to(running)
        async with person(access, "flo", tmp_path) as flo, person(access, "gus", tmp_path) as gus:
            conv = await met(flo, gus)
            async with person(access, "flo", tmp_path, device="laptop", joins=False) as laptop:
                await add(laptop, flo)
                await laptop.do.send(conv, "from the laptop")
                await gus.until(lambda: gus.texts(conv)[-1] == "flo: from the laptop", others=(flo, laptop))
                device = laptop.core.device
                assert "not one of your devices any more" in await flo.do.devices.unlink("laptop")
                await laptop.until(lambda: laptop.ended, others=(flo,), fails=False)
                assert "revoked" in laptop.ended or "not one of flo's any more" in laptop.ended
            await gus.until(lambda: device not in gus.chat.encryption.account.devices(flo.core.me), others=(flo,))
            await gus.do.send(conv, "only for the terminal")
            await flo.until(lambda: flo.texts(conv)[-1] == "gus: only for the terminal", others=(gus,))
            path = tmp_path / "flo@laptop.db"
            async with Chat.open(access, name="flo", device_name="laptop", path=path, listener=print) as chat:
                with pytest.raises(ClientError, match=r"revoked|not one of flo's any more"):
                    await asyncio.wait_for(chat.run(), scaled(PATIENCE_S))
                assert "gus: only for the terminal" not in Person(chat, []).texts(conv)

    asyncio.run(scenario())
