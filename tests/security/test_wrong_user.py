"""Everything that a user may not do, tried against the whole system: by every route and by every frame.

The frames come from the protocol's own list: a new one that names a conversation is tried here without being written
down. What must hold is the same for all: a stranger and a removed member learn nothing, change nothing and are seen by
nobody.
"""

import asyncio
import contextlib
import itertools
import time
import typing

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from sut.protocol import frames as f
from sut.protocol.asyncapi import _example as example
from tests.security.people import Answer, Api, Phone, phone

pytestmark = [pytest.mark.long, pytest.mark.slow]

IN_A_CONVERSATION = [kind for kind in typing.get_args(f.ClientFrame) if "conv" in kind._fields]
ANSWERS: dict[tuple[str, type], type] = {
    ("eve", f.Send): f.Refused,
    ("eve", f.Fetch): f.Error,
    ("eve", f.History): f.Error,
    ("cat", f.Send): f.Refused,
    ("cat", f.Fetch): f.Page,  # of what she may see: up to the removal
    ("cat", f.History): f.Page,
}
"""What comes back to whom, one frame; to all others nothing."""
HUGE = (1 << 64) - 1
_numbers = itertools.count(1000, 10)


class Scene:
    """A group of `ann` and `bob` with one message; `cat` was removed from it before that; `eve` never was in it."""

    def __init__(self, topology) -> None:
        self.topology = topology
        self.api = Api(topology)
        self.ann, self.bob, self.cat, self.eve = range(first := next(_numbers), first + 4)
        self.tokens = dict(
            zip(
                (self.ann, self.bob, self.cat, self.eve),
                self.api.tokens([(user, user) for user in (self.ann, self.bob, self.cat, self.eve)]),
                strict=True,
            )
        )
        self.conv = self.api.group(self.tokens[self.ann], [self.bob, self.cat], "scene")
        self.api.call("DELETE", f"/v1/conversations/{self.conv}/members/{self.cat}", self.tokens[self.ann])

    async def phone(self, user: int) -> Phone:
        return await phone(self.topology, self.tokens[user])

    async def begin(self) -> Phone:
        """Ann, who has sent the message."""
        ann = await self.phone(self.ann)
        assert await ann.ask(f.Send(self.conv, 1, b"a secret")) == f.Ack(self.conv, 1, 2)
        return ann

    async def rows(self, ann: Phone) -> f.Page:
        page = await ann.ask(f.Fetch(1, self.conv, 0, 100))
        assert isinstance(page, f.Page)
        return page


async def all_that_comes(one: Phone, wait_s: float = 0.5) -> list[bytes]:
    """Every frame until it is quiet, or closed."""
    seen: list[bytes] = []
    with contextlib.suppress(TimeoutError, ConnectionClosed):
        async with asyncio.timeout(wait_s):
            while True:
                seen += [await one.socket.recv()]
    return seen


@pytest.mark.parametrize("who", ["eve", "cat"])
@pytest.mark.parametrize("kind", IN_A_CONVERSATION, ids=lambda kind: kind.__name__)
def test_no_frame_of_a_stranger_or_removed_member_has_an_effect(running, kind, who):
    scene = Scene(running.topology)

    async def scenario() -> None:
        ann = await scene.begin()
        bob, other = await scene.phone(scene.bob), await scene.phone(getattr(scene, who))
        before = await scene.rows(ann)
        await all_that_comes(bob)  # what the beginning made
        await other.tell(example(kind)._replace(conv=scene.conv))
        answers = await all_that_comes(other)
        assert not any(b"a secret" in answer for answer in answers)
        expected = [ANSWERS[who, kind]] if (who, kind) in ANSWERS else []
        assert [type(f.decode_server(answer)) for answer in answers] == expected
        assert (other.socket.close_code == f.Close.FOREIGN) == (who == "eve" and expected != [])
        assert await all_that_comes(bob) == []
        assert await all_that_comes(ann) == []
        assert await scene.rows(ann) == before

    asyncio.run(scenario())


def test_a_removed_member_reads_up_to_the_removal_and_a_stranger_nothing(running):
    scene = Scene(running.topology)

    async def scenario() -> None:
        await scene.begin()
        cat, eve = await scene.phone(scene.cat), await scene.phone(scene.eve)
        page = await cat.ask(f.Fetch(7, scene.conv, 0, 100))
        assert isinstance(page, f.Page)
        assert (page.messages, page.head, page.through) == ((), 0, 0)
        assert await eve.ask(f.Fetch(7, scene.conv, 0, 100)) == f.Error(7, f.Nack.FOREIGN)
        assert await eve.close_code() == f.Close.FOREIGN

    asyncio.run(scenario())


def test_sync_tells_a_stranger_of_no_conversation(running):
    scene = Scene(running.topology)

    async def scenario() -> None:
        await scene.begin()
        eve, cat = await scene.phone(scene.eve), await scene.phone(scene.cat)
        for cursors in ((), ((scene.conv, 0),)):
            assert await eve.ask(f.Sync(1, 0, cursors)) == f.Synced(1, 0, ())
            told = await cat.ask(f.Sync(1, scene.conv - 1, cursors))
            assert isinstance(told, f.Synced)
            assert all(entry.seq < 2 for entry in told.entries)  # not of what came after the removal

    asyncio.run(scenario())


def test_no_route_lets_a_stranger_or_removed_member_change_a_conversation(running):
    scene = Scene(running.topology)
    members = f"/v1/conversations/{scene.conv}/members"
    for user in (scene.eve, scene.cat):
        token = scene.tokens[user]
        assert scene.api.status("POST", members, token, {"user": scene.eve}) == 404
        assert scene.api.status("POST", members, token, {"user": scene.cat}) == 404
        assert scene.api.status("DELETE", f"{members}/{scene.bob}", token) == 404
        assert scene.api.status("DELETE", f"{members}/{scene.ann}", token) == 404

    async def scenario() -> None:
        ann = await scene.begin()
        assert [m.flags for m in (await scene.rows(ann)).messages] == [f.Flag.MEMBER_REMOVE, f.Flag.NONE]

    asyncio.run(scenario())


def answers_to_a_stranger(scene: Scene, conv: int) -> list[object]:
    """What eve hears by every route and every frame that names this conversation; its id is left out."""
    token, path = scene.tokens[scene.eve], f"/v1/conversations/{conv}"
    asked = [
        ("GET", f"{path}/members", None),
        ("GET", f"{path}/messages", None),
        ("GET", f"{path}/receipts", None),
        ("POST", f"{path}/members", {"user": scene.eve}),
        ("POST", f"{path}/members", {"user": scene.bob}),
        ("DELETE", f"{path}/members/{scene.eve}", None),
        ("DELETE", f"{path}/members/{scene.bob}", None),
        ("PUT", f"{path}/members/{scene.eve}", {"role": "admin"}),
        ("PUT", f"{path}/members/{scene.bob}", {"role": "admin"}),
    ]
    heard: list[object] = []
    for method, where, body in asked:
        try:
            heard.append((method, scene.api.call(method, where, token, body)))
        except Answer as refusal:
            heard.append((method, refusal.status, str(refusal)))

    async def frames() -> None:
        for kind in IN_A_CONVERSATION:
            eve = await scene.phone(scene.eve)
            values = example(kind)._asdict() | {"conv": conv}
            await eve.tell(kind(**values))
            came = [f.decode_server(data) for data in await all_that_comes(eve)]
            named = [frame._replace(conv=0) if "conv" in frame._fields else frame for frame in came]
            heard.append((kind.__name__, named, eve.socket.close_code))

    asyncio.run(frames())
    return heard


def test_a_stranger_cannot_tell_a_conversation_that_exists_from_one_that_does_not(running):
    scene = Scene(running.topology)
    body = {"kind": "direct", "members": [scene.bob], "key": "d"}
    direct = scene.api.call("POST", "/v1/conversations", scene.tokens[scene.ann], body)["conversation"]
    nowhere = answers_to_a_stranger(scene, 0x1234_5678_9ABC_DEF0)
    assert answers_to_a_stranger(scene, scene.conv) == nowhere
    assert answers_to_a_stranger(scene, direct) == nowhere
    assert {entry[1] for entry in nowhere if len(entry) == 3 and isinstance(entry[1], int)} == {404}  # type: ignore[arg-type, index]


def test_a_removed_member_reads_no_receipt_from_after_the_removal(running):
    scene = Scene(running.topology)
    receipts = f"/v1/conversations/{scene.conv}/receipts"

    async def scenario() -> None:
        ann, bob = await scene.begin(), await scene.phone(scene.bob)
        await bob.tell(f.Recv(scene.conv, 2))
        async with asyncio.timeout(10):
            while not scene.api.call("GET", receipts, scene.tokens[scene.ann])["receipts"]:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        seen = scene.api.call("GET", receipts, scene.tokens[scene.cat])["receipts"]
        assert all(one["delivered"] <= 0 and one["read"] <= 0 for one in seen), seen
        del ann

    asyncio.run(scenario())


def test_a_member_who_is_not_the_creator_removes_nobody_else(running):
    scene = Scene(running.topology)
    members = f"/v1/conversations/{scene.conv}/members"
    assert scene.api.status("DELETE", f"{members}/{scene.ann}", scene.tokens[scene.bob]) == 403
    assert scene.api.status("DELETE", f"{members}/{scene.bob}", scene.tokens[scene.bob]) == 200  # but may leave


def test_a_direct_conversation_takes_nobody_in(running):
    scene = Scene(running.topology)
    body = {"kind": "direct", "members": [scene.bob], "key": "d"}
    conv = scene.api.call("POST", "/v1/conversations", scene.tokens[scene.ann], body)["conversation"]
    members = f"/v1/conversations/{conv}/members"
    assert scene.api.status("POST", members, scene.tokens[scene.ann], {"user": scene.eve}) == 403
    assert scene.api.status("POST", members, scene.tokens[scene.eve], {"user": scene.eve}) == 404
    assert scene.api.status("DELETE", f"{members}/{scene.bob}", scene.tokens[scene.ann]) == 403


def test_the_same_key_of_another_creator_is_another_conversation(running):
    scene = Scene(running.topology)
    assert scene.api.group(scene.tokens[scene.ann], [scene.bob, scene.cat], "scene") == scene.conv
    assert scene.api.group(scene.tokens[scene.eve], [scene.bob, scene.cat], "scene") != scene.conv


def test_numbers_that_no_conversation_has_break_nothing(running):
    scene = Scene(running.topology)

    async def scenario() -> None:
        ann = await scene.begin()
        await ann.tell(f.Recv(HUGE, HUGE))
        await ann.tell(f.Recv(scene.conv, HUGE))
        await ann.tell(f.Recv(0, 0))
        assert isinstance(await ann.ask(f.Sync(1, HUGE, ((HUGE, HUGE), (0, 0)))), f.Synced)
        page = await ann.ask(f.Fetch(2, scene.conv, HUGE, 0xFFFF))
        assert isinstance(page, f.Page)
        assert page.messages == ()
        eve = await scene.phone(scene.eve)
        assert await eve.ask(f.Send(HUGE, 2, b"x")) == f.Refused(HUGE, 2, f.Nack.FOREIGN)
        bob = await scene.phone(scene.bob)
        assert await bob.ask(f.Send(scene.conv, HUGE, b"the last word")) == f.Refused(scene.conv, HUGE, f.Nack.AHEAD)
        assert await bob.ask(f.Send(scene.conv, 1, b"the next word")) == f.Ack(scene.conv, 1, 3)
        for conv in (0, HUGE):
            assert (await (await scene.phone(scene.eve)).ask(f.Fetch(3, conv, 0, 10))).code == f.Nack.FOREIGN
        await asyncio.sleep(1.5)  # cursors are written by now
        assert await ann.ask(f.Send(scene.conv, 3, b"still here")) == f.Ack(scene.conv, 3, 4)

    asyncio.run(scenario())
    assert {name: process.restarts for name, process in running.state().items() if process.restarts} == {}


def test_a_replayed_send_is_the_message_it_was_and_nobody_elses(running):
    scene = Scene(running.topology)

    async def scenario() -> None:
        ann = await scene.begin()
        assert await ann.ask(f.Send(scene.conv, 1, b"a secret")) == f.Ack(scene.conv, 1, 2)
        assert await ann.ask(f.Send(scene.conv, 1, b"a secret")) == f.Ack(scene.conv, 1, 2)
        assert await ann.ask(f.Send(scene.conv, 1, b"another body")) == f.Refused(scene.conv, 1, f.Nack.USED_UP_TO)
        assert await ann.next() == f.Refused(scene.conv, 1, f.Nack.REUSED)
        rows = await scene.rows(ann)
        assert [m.body for m in rows.messages if m.seq == 2] == [b"a secret"]
        assert rows.head == 2

    asyncio.run(scenario())


def test_a_replayed_token_takes_over_and_the_owner_sees_it(running):
    scene = Scene(running.topology)

    async def scenario() -> None:
        owner = await scene.phone(scene.ann)
        thief = await phone(running.topology, scene.tokens[scene.ann], gateway=1)  # elsewhere: the registry tells
        assert await owner.close_code() == f.Close.REPLACED
        assert await thief.beats()

    asyncio.run(scenario())


def test_a_stolen_device_is_revoked_by_its_owner_everywhere(running):
    scene = Scene(running.topology)
    user, other = scene.ann, scene.eve
    token, second = scene.tokens[user], scene.api.tokens([(user, user + 500_000)])[0]

    async def scenario() -> None:
        gateways = range(len(running.topology.of_kind("gateway")))
        thief = await phone(running.topology, token, gateway=2)
        keeps = await phone(running.topology, second)
        path = f"/v1/devices/{user}"
        assert scene.api.status("DELETE", path, "") == 401
        assert scene.api.status("DELETE", f"{path}?user={user}", scene.tokens[other]) == 403
        scene.api.call("DELETE", path, scene.tokens[other])  # eve's device of that number: not ann's
        assert scene.api.status("DELETE", path, running.topology.api_key) == 400
        assert await thief.beats()
        done = await asyncio.to_thread(scene.api.call, "DELETE", path, second)
        assert (done["user"], done["device"]) == (user, user)
        assert await thief.close_code() == f.Close.REVOKED
        await asyncio.sleep(1.2)  # every gateway has looked
        for gateway in gateways:
            with pytest.raises(InvalidStatus, match="401"):
                await phone(running.topology, token, gateway=gateway)
        group = {"kind": "group", "members": [1], "key": "x"}
        assert scene.api.status("POST", "/v1/conversations", token, group) == 401
        assert scene.api.status("POST", "/v1/conversations", second, group) == 200
        assert await keeps.beats()
        fresh = scene.api.tokens([(user, user)])[0]
        assert await (await phone(running.topology, fresh)).beats()

    asyncio.run(scenario())


def test_a_registered_device_is_revoked_for_ever_and_by_its_own_user_only(running):
    scene, operator = Scene(running.topology), running.topology.api_key
    stolen, second = scene.ann, scene.ann + 500_000
    mine = {"devices": [{"user": scene.ann, "device": device} for device in (stolen, second)]}
    assert scene.api.call("POST", "/v1/devices", operator, mine) == {"registered": 2}
    path = f"/v1/devices/{stolen}"

    async def scenario() -> None:
        thief = await phone(running.topology, scene.tokens[scene.ann], gateway=1)
        assert scene.api.status("DELETE", path, scene.tokens[scene.eve]) == 404
        assert scene.api.status("DELETE", f"{path}?user={scene.eve}", operator) == 404
        assert await thief.beats()
        token = scene.api.tokens([(scene.ann, second)])[0]
        done = await asyncio.to_thread(scene.api.call, "DELETE", path, token)
        assert (done["user"], done["device"]) == (scene.ann, stolen)
        assert await thief.close_code() == f.Close.REVOKED
        await asyncio.sleep(1.2)  # every gateway has looked
        for gateway in range(len(running.topology.of_kind("gateway"))):
            with pytest.raises(InvalidStatus, match="401"):
                await phone(running.topology, scene.tokens[scene.ann], gateway=gateway)
        assert scene.api.status("POST", "/v1/tokens/refresh", scene.tokens[scene.ann]) == 401
        assert scene.api.status("POST", "/v1/tokens", operator, mine) == 403
        assert scene.api.status("POST", "/v1/devices", operator, mine) == 409
        assert scene.api.status("DELETE", path, operator) == 200  # again, and nobody need say whose it is

    asyncio.run(scenario())


def test_a_thousand_tokens_are_one_quick_request(running):
    started = time.monotonic()
    assert len(Api(running.topology).tokens([(7_000_000, 7_000_000 + n) for n in range(1000)])) == 1000
    assert time.monotonic() - started < 2.0


def test_the_operator_revokes_any_device(running):
    scene = Scene(running.topology)
    path = f"/v1/devices/{scene.bob}?user={scene.bob}"

    async def scenario() -> None:
        bob = await scene.phone(scene.bob)
        await asyncio.to_thread(scene.api.call, "DELETE", path, running.topology.api_key)
        assert await bob.close_code() == f.Close.REVOKED

    asyncio.run(scenario())


def test_no_log_file_holds_a_body_a_token_or_a_key(running):
    """Last of this file: what all its tests sent has passed by then."""
    scene = Scene(running.topology)
    secret = "cafe1dea"

    async def scenario() -> None:
        ann = await scene.phone(scene.ann)
        assert isinstance(await ann.ask(f.Send(scene.conv, 1, secret.encode())), f.Ack)
        await ann.socket.send(b"\x7f" + secret.encode())
        assert await ann.close_code() == f.Close.MALFORMED
        with pytest.raises(InvalidStatus):
            await phone(running.topology, f"{secret}.{secret}.{secret}")

    asyncio.run(scenario())
    for body in ({"kind": secret}, {"kind": "group", "members": [], "key": secret}, secret):
        assert scene.api.status("POST", "/v1/conversations", scene.tokens[scene.ann], body) == 400
    assert scene.api.status("POST", "/v1/tokens", secret, {}) == 401
    logs = {path.name: path.read_text(errors="replace") for path in (running.topology.path / "logs").iterdir()}
    assert len(logs) > 8
    needles = [secret, "a secret", running.topology.api_key, running.topology.token_key, *scene.tokens.values()]
    assert [(name, needle) for name, text in logs.items() for needle in needles if needle in text] == []
