"""Messages that cannot be read: they become sealed lines, hold up nobody else's, and open when their keys come."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from sut.client.core import KeysOf
from sut.client.messages import payload as payloads
from sut.client.messages.cipher import CannotRead
from sut.client.messages.inbound import KEYLESS, UNACCEPTED, UNREADABLE, WAITING, Inbound
from sut.client.messages.outbound import Outbound
from sut.client.messages.payload import Payload
from sut.client.messages.sealed import Encryption
from sut.client.model import Conversation, LineKind
from sut.client.names import user_of
from sut.crypto import envelope, ratchet
from sut.protocol import content as contents
from sut.protocol.content import Text
from sut.protocol.frames import Message
from tests.sut.client.test_inbound import ANN, BOB, CONV, DEVICE, World

MAL, MAL_DEVICE = user_of("mal"), 31
GROUP = 9


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path / "ann.db")
    made.introduce(made.ann, made.bob)
    made.know()
    yield made
    made.state.close()


def restart(world: World) -> None:
    """The program ends and begins again: only what is on disk is left."""
    path = world.state.path
    world.state.close()
    world.state = world.core.state = type(world.state)(path)
    world.core.conversations.clear()
    world.core.conversations.update(world.state.conversations())
    for one in world.core.conversations.values():
        one.known, one.members = True, {ANN: 1, BOB: 1, MAL: 1}
    world.inbound = Inbound(world.core, Outbound(world.core))
    world.inbound.resume()


def written(seq: int, text: str, sender: Encryption, *, conv: int = CONV, to: tuple[int, ...] = (ANN,)) -> Message:
    """A message of anybody's."""
    user, device = sender.account.address
    payload = payloads.encode(Payload(payloads.VERSION, "", 7, contents.encode(Text(text))))
    *_, sealed = sender.seal(conv, to, payload, direct=conv == CONV)
    return Message(conv, seq, 0, user, device, seq, sealed.body)


def mal(world: World) -> Encryption:
    """Somebody whose keys the service does not have, and who has Ann's."""
    made = Encryption.load(b"", user=MAL, device=MAL_DEVICE, now_s=lambda: 0.0)
    world.introduce(made, world.ann)
    return made


@pytest.mark.parametrize("size", [1, 200])
@pytest.mark.parametrize("kind", [1, 2])
def test_a_sender_without_keys_withholds_nothing_of_others(world: World, kind: int, size: int) -> None:
    body = bytes([0xC1, 1]) + struct.pack("!QH", 7, 1) + struct.pack("!QBH", 11, kind, size) + bytes(size) + bytes(32)
    world.wanted.clear()
    world.inbound.shown(Message(CONV, 1, 0, MAL, MAL_DEVICE, 1, body))
    for seq in range(2, 5):
        world.inbound.shown(world.says(seq, f"genuine {seq}"))
    expected = [(LineKind.SEALED, KEYLESS), *((LineKind.TEXT, f"genuine {seq}") for seq in range(2, 5))]
    assert world.lines() == expected
    assert world.wanted == [KeysOf(MAL)]
    restart(world)
    assert world.lines() == expected


@pytest.mark.parametrize("body", [
    b"build finished", b"x", bytes([0xC1, 1]) + struct.pack("!QH", 7, 0) + bytes(40),
    bytes([0xC1, 2]) + struct.pack("!QH", 7 << 32, 0) + bytes(100), bytes([0xC1, 3]) + struct.pack("!QH", 7, 0),
], ids=["plain words", "one byte", "direct", "group", "control"])  # fmt: skip
def test_a_body_with_nothing_for_this_device_withholds_nothing_of_others(world: World, body: bytes) -> None:
    """Envelopes without sections, and what is no envelope, of a sender who never published keys."""
    world.inbound.shown(Message(CONV, 1, 0, MAL, MAL_DEVICE, 1, body))
    world.inbound.shown(world.says(2, "genuine, right after"))
    world.inbound.shown(world.says(3, "and another"))
    expected = [(LineKind.TEXT, "genuine, right after"), (LineKind.TEXT, "and another")]
    assert world.lines()[-2:] == expected
    assert not [text for kind, text in world.lines()[:-2] if kind is not LineKind.SEALED]
    restart(world)
    assert world.lines()[-2:] == expected


def test_a_sealed_line_opens_when_the_keys_come_after_a_restart_too(world: World) -> None:
    sender = mal(world)
    world.inbound.shown(written(1, "mine", sender))
    world.inbound.shown(world.says(2, "bob's"))
    world.inbound.shown(written(3, "mine again", sender))
    assert [kind for kind, _ in world.lines()] == [LineKind.SEALED, LineKind.TEXT, LineKind.SEALED]
    restart(world)
    assert world.inbound.waits_for(MAL)
    world.introduce(world.ann, sender)
    world.inbound.keys_came(MAL)
    assert world.lines() == [(LineKind.TEXT, text) for text in ("mine", "bob's", "mine again")]
    restart(world)
    assert world.lines() == [(LineKind.TEXT, text) for text in ("mine", "bob's", "mine again")]
    assert world.state.sealed() == []


def test_changed_keys_of_one_member_stop_neither_what_others_write_nor_what_is_written_to_them(world: World) -> None:
    sender, anew = mal(world), mal(world)
    world.introduce(world.ann, sender)
    members = {ANN: 1, BOB: 1, MAL: 1}
    group = world.core.conversations[GROUP] = Conversation(conv=GROUP, direct=False, known=True, members=members)
    world.core.online = True
    world.inbound.shown(written(1, "with my old keys", sender, conv=GROUP))
    with pytest.raises(Exception, match="changed"):
        world.introduce(world.ann, anew)
    world.inbound.shown(written(2, "with my new keys", anew, conv=GROUP))
    world.inbound.shown(written(3, "bob goes on", world.bob, conv=GROUP))
    kinds = [(line.kind, line.text) for line in group.lines]
    assert kinds == [
        (LineKind.TEXT, "with my old keys"), (LineKind.SEALED, UNACCEPTED), (LineKind.TEXT, "bob goes on"),
    ]  # fmt: skip
    outbound = Outbound(world.core)
    outbound.write(group, Text("ann goes on"), text="ann goes on")
    sent = outbound.ready()
    assert sent and outbound.waiting == len(sent)
    opened = world.bob.open(GROUP, (ANN, 11), sent[-1].body)
    assert opened.plaintext is not None
    world.core.cipher.account.accept(MAL)  # type: ignore[attr-defined]
    world.introduce(world.ann, anew)
    world.inbound.keys_came(MAL)
    assert {line.kind for line in group.lines} == {LineKind.TEXT}


def test_a_member_without_keys_does_not_stop_what_is_written_to_a_group(world: World) -> None:
    members = {ANN: 1, BOB: 1, MAL: 1}
    group = world.core.conversations[GROUP] = Conversation(conv=GROUP, direct=False, known=True, members=members)
    world.core.online = True
    outbound = Outbound(world.core)
    outbound.write(group, Text("hello"), text="hello")
    assert outbound.ready() == [] and KeysOf(MAL) in world.wanted, "they may have keys: ask first"
    world.core.absent.add(MAL)
    assert outbound.ready()
    assert outbound.waits_for(MAL) is False


def by_turns(world: World, count: int) -> tuple[list[Message], list[Message]]:
    """Bob writes by turns in two conversations."""
    world.core.conversations[6] = Conversation(conv=6, direct=True, known=True, peer=BOB, members={ANN: 1, BOB: 1})
    one, other = [], []
    for seq in range(1, count + 1):
        one.append(written(seq, f"one {seq}", world.bob))
        payload = payloads.encode(Payload(payloads.VERSION, "bob", 7, contents.encode(Text(f"other {seq}"))))
        (sealed,) = world.bob.seal(6, [ANN], payload, direct=True)
        other.append(Message(6, seq, 0, BOB, DEVICE, seq, sealed.body))
    return one, other


def test_two_conversations_by_turns_read_one_after_the_other_lose_nothing(world: World) -> None:
    one, other = by_turns(world, 1_100)
    for message in (*one, *other):
        opened = world.ann.open(message.conv, (BOB, DEVICE), message.body)
        assert opened.plaintext is not None


def test_what_came_before_the_window_moved_on_is_asked_for_and_repaired(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ratchet, "MAX_SKIPPED", 5)
    monkeypatch.setattr(ratchet, "MAX_KEPT", 5)
    one, other = by_turns(world, 80)
    for message in (*one, *other):
        world.inbound.shown(message)
    lines = world.core.conversations[6].lines
    assert [line.text for line in lines] == [WAITING] * 74 + [f"other {seq}" for seq in range(75, 81)]
    outbound = world.inbound._outbound
    for _ in range(2):  # 64 messages a request
        restart_key(world)
        (asked,) = outbound.ready()
        opened = world.bob.open(6, (ANN, 11), asked.body)
        for seq, answer in enumerate(world.bob.answer(6, (ANN, 11), opened.asked), start=100):
            world.inbound.shown(Message(6, seq, 0, BOB, DEVICE, 0, answer.body))
    assert [line.text for line in lines] == [f"other {seq}" for seq in range(1, 81)]


def restart_key(world: World) -> None:
    """The service hands out Bob's keys again."""
    world.introduce(world.ann, world.bob)
    world.inbound.keys_came(BOB)


def put_back(person: Encryption) -> None:
    """This device goes on from an older copy: what others encrypt to its newest signed prekey it cannot read."""
    own = person.account._ring.own
    own.signed.clear()
    own.rotate(0)


def unreadable(world: World) -> Message:
    """A message of Bob's, begun with a one-time prekey of Ann's that was used before."""
    message = world.says(1, "lost")
    section = envelope.parse(message.body).sections[0]
    world.ann.account._ring.own.used(ratchet.split_opening(section.data)[0].one_time_number)
    return message


def test_a_request_that_its_reader_could_not_read_is_repeated_once(world: World) -> None:
    """Bob was put back to an older copy, and Ann's request is for keys that he has no more. He asks her in turn."""
    outbound = world.inbound._outbound
    world.inbound.shown(unreadable(world))
    assert world.lines() == [(LineKind.SEALED, WAITING)]
    restart_key(world)
    (first,) = outbound.ready()
    put_back(world.bob)
    with pytest.raises(CannotRead) as caught:
        world.bob.open(CONV, (ANN, 11), first.body)
    assert (caught.value.ask, caught.value.shows) == (True, False)
    for seq in (2, 3):
        world.introduce(world.bob, world.ann)
        asking = world.bob.ask(CONV, (ANN, 11), [first.body])
        world.wanted.clear()
        world.inbound.shown(Message(CONV, seq, 0, BOB, DEVICE, seq, asking.body))
        assert world.wanted == [KeysOf(BOB)] * (seq == 2), "two who cannot help each other come to an end"
        restart_key(world)
    (again,) = outbound.ready()
    opened = world.bob.open(CONV, (ANN, 11), again.body)
    for seq, answer in enumerate(world.bob.answer(CONV, (ANN, 11), opened.asked), start=4):
        world.inbound.shown(Message(CONV, seq, 0, BOB, DEVICE, seq, answer.body))
    assert world.lines() == [(LineKind.TEXT, "lost")]
    asyncio.run(world.state.commit())
    assert world.state.sealed() == []


def test_a_request_that_cannot_be_read_is_no_line_and_begins_a_new_session(world: World) -> None:
    asking = world.bob.ask(CONV, (ANN, 11), [])
    put_back(world.ann)
    world.inbound.shown(Message(CONV, 1, 0, BOB, DEVICE, 1, asking.body))
    assert world.lines() == []
    assert world.wanted[-1] == KeysOf(BOB)
    restart(world)
    restart_key(world)
    (sent,) = world.inbound._outbound.ready()
    assert world.bob.open(CONV, (ANN, 11), sent.body).plaintext is None
    assert world.lines() == []
    asyncio.run(world.state.commit())
    assert world.state.sealed() == []
    assert not world.inbound.waits_for(BOB)


def test_a_copy_of_a_message_that_was_read_is_not_asked_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sut.crypto.peer_sessions.MAX_READ", 1)  # the session has forgotten it
    first = world.says(1, "once")
    for message in (first, world.says(2, "then"), first._replace(seq=3, client_seq=3)):
        world.inbound.shown(message)
    assert world.lines() == [(LineKind.TEXT, "once"), (LineKind.TEXT, "then"), (LineKind.SEALED, UNREADABLE)]
    assert not world.inbound.waits_for(BOB)
