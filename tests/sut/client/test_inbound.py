"""What comes in, without a system: two people's real encryption, and a service that may say anything."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from sut.client.chat import SETTINGS
from sut.client.core import Core, Errand, KeysOf, LineChanged, MembersOf
from sut.client.device.state import State
from sut.client.messages import payload as payloads
from sut.client.messages.inbound import EARLIER, KEYLESS, UNREADABLE, Inbound
from sut.client.messages.outbound import Outbound
from sut.client.messages.payload import Payload
from sut.client.messages.sealed import Encryption
from sut.client.model import Conversation, LineKind
from sut.client.names import user_of
from sut.crypto.prekeys import Bundle
from sut.protocol import content as contents
from sut.protocol.content import Edit, Target, Text
from sut.protocol.device.client import Client
from sut.protocol.frames import Message

CONV, DEVICE = 5, 21
ANN, BOB, EVE = user_of("ann"), user_of("bob"), user_of("eve")


class World:
    """Ann's client, and Bob's encryption."""

    def __init__(self, path: Path) -> None:
        self.wanted: list[Errand] = []
        self.introduced = 0
        """One-time prekeys handed out so far: each is used once."""
        self.state = State(path)
        self.ann = Encryption.load(b"", user=ANN, device=11, now_s=lambda: 0.0)
        self.bob = Encryption.load(b"", user=BOB, device=DEVICE, now_s=lambda: 0.0)
        self.core = Core(
            me=ANN, name="ann", device=11, state=self.state, cipher=self.ann, conversations={}, names={},
            machine=Client(user=ANN, device=11, rng=random.Random(1), settings=SETTINGS),
            clock=lambda: 0.0, wall_ms=lambda: 1, want=self.wanted.append,
        )  # fmt: skip
        self.inbound = Inbound(self.core, Outbound(self.core))
        self.introduce(self.bob, self.ann)

    def introduce(self, one: Encryption, other: Encryption) -> None:
        """One learns the keys of the other, as the service would tell them."""
        told = other.account.publication()
        number, key = told.one_time[self.introduced]
        self.introduced += 1
        bundle = Bundle(
            other.account.address[1],
            told.identity_key,
            told.signed_number,
            told.signed_key,
            told.signature,
            number,
            key,
        )
        one.account.learn(other.account.address[0], other.account.device_list, [bundle])

    def know(self) -> None:
        """Ann's client learns who is in the conversation."""
        one = self.core.conversations.setdefault(CONV, Conversation(conv=CONV, direct=True))
        one.direct, one.known, one.peer, one.members = True, True, BOB, {ANN: 1, BOB: 1}
        self.state.put_conversation(one)
        self.inbound.resume()

    def says(self, seq: int, said: str | Edit, *, name: str = "bob") -> Message:
        """A message of Bob's."""
        content = contents.encode(Text(said) if isinstance(said, str) else said)
        payload = payloads.encode(Payload(payloads.VERSION, name, 7, content))
        (sealed,) = self.bob.seal(CONV, [ANN], payload, direct=True)
        return Message(CONV, seq, 0, BOB, DEVICE, seq, sealed.body)

    def lines(self) -> list[tuple[LineKind, str]]:
        return [(line.kind, line.text) for line in self.core.conversations[CONV].lines]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path / "ann.db")
    yield made
    made.state.close()


def test_messages_wait_for_their_conversation_and_for_keys_in_order(world: World) -> None:
    for seq in (1, 2):
        world.inbound.shown(world.says(seq, f"line {seq}"))
    assert world.lines() == []
    assert world.wanted[0] == MembersOf(CONV)
    world.know()
    assert world.lines() == [(LineKind.SEALED, KEYLESS)] * 2, "Bob's keys are not here"
    assert KeysOf(BOB) in world.wanted and world.inbound.waits_for(BOB)
    world.inbound.shown(world.says(3, "line 3"))
    asyncio.run(world.state.commit())
    assert [message.seq for message, _asked in world.state.sealed()] == [1, 2, 3]
    world.introduce(world.ann, world.bob)
    world.inbound.keys_came(BOB)
    assert world.lines() == [(LineKind.TEXT, f"line {seq}") for seq in (1, 2, 3)]
    assert world.core.names == {BOB: "bob"}
    asyncio.run(world.state.commit())
    assert world.state.sealed() == []


def test_nothing_is_called_unreadable_that_can_be_read_now(world: World) -> None:
    """An edit that waited for keys behind a line: the line is shown once, and nothing is said of the edit."""
    world.know()
    world.inbound.shown(world.says(1, "thoughts"))
    world.inbound.shown(world.says(2, Edit(Target(DEVICE, 1), "second thoughts")))
    world.inbound.shown(world.says(3, "last"))
    world.core.updates.clear()
    world.introduce(world.ann, world.bob)
    world.inbound.keys_came(BOB)
    told = [update.line for update in world.core.updates if isinstance(update, LineChanged) and update.new]
    assert [(line.seq, line.kind, line.text) for line in told] == [
        (1, LineKind.TEXT, "second thoughts"),
        (3, LineKind.TEXT, "last"),
    ]


def test_a_name_that_is_somebody_elses_is_not_taken(world: World) -> None:
    world.introduce(world.ann, world.bob)
    world.know()
    world.inbound.shown(world.says(1, "I am eve", name="eve"))
    assert world.core.called(BOB).startswith("#")
    assert EVE not in world.core.names


@pytest.mark.parametrize("body", [b"plain words", b"", b"\xc1\x01", b"\xc1" * 100, contents.encode(Text("plain"))])
def test_what_is_not_encrypted_is_never_shown_as_somebodys_words(world: World, body: bytes) -> None:
    world.introduce(world.ann, world.bob)
    world.know()
    world.inbound.shown(Message(CONV, 1, 0, BOB, DEVICE, 1 << 63, body))
    world.inbound.shown(world.says(2, "genuine"))
    assert world.lines() == [(LineKind.SEALED, UNREADABLE), (LineKind.TEXT, "genuine")]
    asyncio.run(world.state.commit())
    assert [line.client_seq for line in world.state.conversations()[CONV].lines] == [1 << 63, 2]


def test_a_message_of_one_conversation_is_nothing_in_another(world: World) -> None:
    world.introduce(world.ann, world.bob)
    world.know()
    message = world.says(1, "meant for another place")
    world.core.conversations[6] = Conversation(conv=6, direct=True, known=True, peer=BOB, members={ANN: 1, BOB: 1})
    world.inbound.shown(message._replace(conv=6))
    assert [line.kind for line in world.core.conversations[6].lines] == [LineKind.SEALED]


def test_what_is_from_before_this_device_is_one_line_and_nobody_is_asked(world: World) -> None:
    world.introduce(world.ann, world.bob)
    world.core.arriving = True
    sealed = world.bob.seal(CONV, [], b"for bob's other devices, had he any", direct=True)[0].body
    for seq in (1, 2, 3):
        world.inbound.shown(Message(CONV, seq, 0, BOB, DEVICE, seq, sealed))
    world.know()
    assert world.lines() == [(LineKind.EARLIER, EARLIER)]
    world.wanted.clear()
    world.inbound.shown(world.says(4, "hello, new device"))
    world.inbound.shown(Message(CONV, 5, 0, BOB, DEVICE, 5, sealed))
    assert [kind for kind, _text in world.lines()] == [LineKind.EARLIER, LineKind.TEXT, LineKind.SEALED]
    assert KeysOf(BOB) in world.wanted, "from here on it asks"


def test_a_device_that_is_on_no_list_does_not_hold_up_the_others(world: World) -> None:
    world.introduce(world.ann, world.bob)
    world.know()
    stranger = Encryption.load(b"", user=BOB, device=22, now_s=lambda: 0.0)
    world.introduce(stranger, world.ann)
    (sealed,) = stranger.seal(CONV, [ANN], b"from a device that bob has no more", direct=True)
    world.inbound.shown(Message(CONV, 1, 0, BOB, 22, 1, sealed.body))
    world.inbound.shown(world.says(2, "after it"))
    assert world.lines() == [(LineKind.SEALED, KEYLESS), (LineKind.TEXT, "after it")] and KeysOf(BOB) in world.wanted
    world.inbound.keys_came(BOB)
    assert world.lines() == [(LineKind.SEALED, UNREADABLE), (LineKind.TEXT, "after it")]


def test_a_newer_list_of_devices_is_fetched_once(world: World) -> None:
    world.introduce(world.ann, world.bob)
    world.know()
    plain = payloads.encode(Payload(payloads.VERSION, "bob", 7, contents.encode(Text("hi"))))
    for seq, version in enumerate((1, 2, 2, 3), start=1):
        (sealed,) = world.bob.seal(CONV, [ANN], payloads.sent(plain, devices=version), direct=True)
        world.inbound.shown(Message(CONV, seq, 0, BOB, DEVICE, seq, sealed.body))
    assert world.wanted.count(KeysOf(BOB)) == 2
    assert world.core.newer == {BOB: 3}
