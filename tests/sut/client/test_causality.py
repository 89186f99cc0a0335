"""Order across conversations: what a person's client names, and that it waits, also across its own death."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from sut.client.chat import SETTINGS
from sut.client.core import Core
from sut.client.device.state import State
from sut.client.messages import payload as payloads
from sut.client.messages.causality import Ties
from sut.client.messages.inbound import INCOMPLETE, Inbound
from sut.client.messages.outbound import Outbound
from sut.client.messages.payload import Payload
from sut.client.messages.sealed import Encryption
from sut.client.model import Conversation, LineKind
from sut.client.names import user_of
from sut.crypto.prekeys import Bundle
from sut.deploy.system import System
from sut.protocol import content as contents
from sut.protocol import frames as f
from sut.protocol.causal import MAX_DEPENDENCIES, Dependency
from sut.protocol.content import Text
from sut.protocol.device.client import Client
from sut.protocol.device.events import Acked, Show
from tests.sut.client.conftest import Person, access_to, person

ANN, BOB = user_of("ann"), user_of("bob")
HERE, THERE = 5, 6


def group(conv: int, *members: int) -> Conversation:
    return Conversation(conv=conv, direct=False, known=True, members=dict.fromkeys(members, 1))


def direct(conv: int, peer: int) -> Conversation:
    return Conversation(conv=conv, direct=True, known=True, peer=peer, members={ANN: 1, peer: 1})


def test_who_may_be_where() -> None:
    known = [direct(1, 11), direct(2, 12), group(3, ANN, 11), group(4, ANN, 13), Conversation(conv=5, direct=False)]
    ties = Ties({one.conv: one for one in known})
    assert not ties.shared(1, 2) and not ties.shared(2, 1)
    assert ties.shared(1, 3) and ties.shared(3, 1), "11 is in both"
    assert not ties.shared(2, 3) and not ties.shared(3, 2)
    assert ties.shared(3, 4) and ties.shared(4, 3), "somebody may be joining"
    assert ties.shared(1, 5) and ties.shared(5, 1) and ties.shared(9, 1), "in doubt"
    ties.linked = lambda: True
    assert ties.shared(2, 3), "an own device is in both"
    assert not ties.shared(3, 2) and not ties.shared(2, 1), "whom one talks with alone is nobody's business"
    assert [ties.grows(conv) for conv in (1, 3, 5, 9)] == [False, True, True, True]
    assert ties.may_be_in(11, 1) and not ties.may_be_in(12, 1) and ties.may_be_in(12, 3)
    assert [ties.member_of(conv) for conv in (1, 3, 5, 9)] == [True, True, False, False]


def test_names_travel_in_the_payload() -> None:
    data = payloads.encode(Payload(payloads.VERSION, "ann", 5, contents.encode(Text("hi"))))
    assert payloads.named_by(data) == () and payloads.sent(data) == data
    names = tuple(Dependency(conv, 7, conv & 1) for conv in range(MAX_DEPENDENCIES))
    assert payloads.named_by(payloads.sent(data, names=names)) == names
    assert payloads.named_by(payloads.sent(data, names=names * 2)) == (), "nobody may name so many"
    assert payloads.named_by(payloads.encode(Payload(payloads.VERSION, "ann", 5, names=b"odd"))) == ()
    assert payloads.named_by(b"?") == ()
    named = payloads.decode(payloads.sent(data, names=names))
    assert named is not None and contents.decode(named.content) == Text("hi")


class Ann:
    """Ann's client without a network; frames go in by hand. Bob's encryption writes to her."""

    def __init__(self, path: Path, bob: Encryption) -> None:
        self.state, self.bob = State(path), bob
        saved = self.state.get("cipher")
        self.cipher = Encryption.load(saved, user=ANN, device=11, now_s=lambda: 0.0)
        conversations = self.state.conversations()
        ties = Ties(conversations)
        self.core = Core(
            me=ANN, name="ann", device=11, state=self.state, cipher=self.cipher, conversations=conversations, names={},
            machine=Client(user=ANN, device=11, rng=random.Random(1), settings=SETTINGS, causality=ties),
            clock=lambda: 0.0, wall_ms=lambda: 1, want=lambda _errand: None, online=True,
        )  # fmt: skip
        self.outbound = Outbound(self.core)
        self.inbound = Inbound(self.core, self.outbound)
        ties.read = self.inbound.reading.names
        machine = self.core.machine
        machine.resume({one.conv: one.cursor for one in conversations.values()}, self.outbound.unsettled(), 0.0)
        machine.connected(0.0)
        self.give(f.Welcome(ANN, 11, 1, 30_000, 16_384))
        self.give(f.Synced(self.sync_req(), 0, ()))

    def sync_req(self) -> int:
        (sync,) = [one for one in map(f.decode_client, self.core.machine.frames()) if isinstance(one, f.Sync)]
        return sync.req

    def meet(self) -> None:
        introduce(self.cipher, self.bob)
        introduce(self.bob, self.cipher)
        for conv in (HERE, THERE):
            one = group(conv, ANN, BOB)
            self.core.conversations[conv] = one
            self.state.put_conversation(one)
            self.state.put_members(one)

    def give(self, frame: f.ServerFrame) -> None:
        """A step, as Chat has it."""
        self.core.machine.receive(f.encode(frame), 0.0)
        self.take()

    def take(self) -> None:
        """Take what the machine says."""
        machine = self.core.machine
        for event in machine.events():
            if isinstance(event, Show):
                self.inbound.shown(event.message, incomplete=event.incomplete)
            elif isinstance(event, Acked):
                self.outbound.acked(event)
        for conv, cursor in machine.cursors.items():
            one = self.core.conversations[conv]
            one.cursor = cursor
            self.state.put_conversation(one)
        self.inbound.reading.save()
        asyncio.run(self.state.commit())

    def texts(self, conv: int) -> list[str]:
        return [line.text for line in self.core.conversations[conv].lines if line.kind is LineKind.TEXT]

    def writes(self, conv: int, text: str) -> bytes:
        """Ann's next message there, as it leaves."""
        self.outbound.write(self.core.conversations[conv], Text(text), text=text)
        bodies = [one.body for one in self.outbound.ready()]
        for one in self.outbound.unsettled():
            self.core.machine.submit(one[0], lambda _now, body=one[2]: body, 0.0)
        return bodies[-1]

    def crash(self) -> None:
        """As the end of the program leaves the file."""
        self.state._pending.clear()
        self.state.close()


def introduce(one: Encryption, other: Encryption) -> None:
    told = other.account.publication()
    number, key = told.one_time[0]
    signed = (told.signed_number, told.signed_key, told.signature)
    bundle = Bundle(other.account.address[1], told.identity_key, *signed, number, key)
    one.account.learn(other.account.address[0], other.account.device_list, [bundle])


def says(bob: Encryption, conv: int, seq: int, text: str, *names: Dependency) -> f.Message:
    plain = payloads.encode(Payload(payloads.VERSION, "bob", 7, contents.encode(Text(text))))
    (sealed,) = bob.seal(conv, [ANN], payloads.sent(plain, names=names), direct=False)
    return f.Message(conv, seq, 0, BOB, 21, seq, sealed.body)


@pytest.fixture
def bob() -> Encryption:
    return Encryption.load(b"", user=BOB, device=21, now_s=lambda: 0.0)


def test_an_answer_whose_question_never_comes_is_shown_behind_a_line_that_says_so(
    tmp_path: Path, bob: Encryption
) -> None:
    ann = Ann(tmp_path / "ann.db", bob)
    ann.meet()
    ann.give(says(bob, HERE, 1, "because", Dependency(THERE, 1, 0)))
    for tenth in range(1, 800):
        ann.core.machine.tick(tenth / 10)
    ann.take()
    lines = [(line.kind, line.user, line.text) for line in ann.core.conversations[HERE].lines]
    assert lines == [(LineKind.NOTICE, 0, INCOMPLETE), (LineKind.TEXT, BOB, "because")]
    ann.crash()
    again = Ann(tmp_path / "ann.db", bob).core.conversations[HERE]
    assert [line.text for line in again.lines] == [INCOMPLETE, "because"]


def test_an_answer_waits_for_the_question_whoever_dies_meanwhile(tmp_path: Path, bob: Encryption) -> None:
    ann = Ann(tmp_path / "ann.db", bob)
    ann.meet()
    question = says(bob, THERE, 1, "why?")
    answer = says(bob, HERE, 1, "because", Dependency(THERE, 1, 0))
    more = says(bob, HERE, 2, "and so on")
    for message in (answer, more):
        ann.give(message)
    assert ann.texts(HERE) == [], "the question is not here yet"
    assert ann.core.conversations[HERE].cursor == 0
    ann.crash()

    ann = Ann(tmp_path / "ann.db", bob)
    for message in (answer, more):  # they were never shown, so they come again
        ann.give(message)
    assert ann.texts(HERE) == []
    ann.give(question)
    assert (ann.texts(THERE), ann.texts(HERE)) == (["why?"], ["because", "and so on"])
    assert ann.state.opened() == {}
    ann.crash()
    ann = Ann(tmp_path / "ann.db", bob)
    assert (ann.texts(THERE), ann.texts(HERE)) == (["why?"], ["because", "and so on"])
    assert [one.cursor for one in ann.core.conversations.values()] == [2, 1]


def test_a_message_names_what_was_shown_elsewhere_inside_its_encryption(tmp_path: Path, bob: Encryption) -> None:
    ann = Ann(tmp_path / "ann.db", bob)
    ann.meet()
    ann.give(says(bob, THERE, 1, "why?"))
    body = ann.writes(HERE, "because")
    opened = bob.open(HERE, (ANN, 11), body)
    assert opened.plaintext is not None
    assert [(one.conv, one.seq) for one in payloads.named_by(opened.plaintext)] == [(THERE, 1)]
    ann.crash()


def test_what_cannot_be_read_holds_nothing_up(tmp_path: Path, bob: Encryption) -> None:
    ann = Ann(tmp_path / "ann.db", bob)
    ann.meet()
    ann.give(f.Message(HERE, 1, 0, BOB, 21, 1, b"\xc1" * 100))
    ann.give(says(bob, HERE, 2, "clear"))
    assert ann.texts(HERE) == ["clear"]
    ann.crash()


class Deaf(Client):
    """Does not hear of one conversation for a while."""

    conv = 0
    kept: list[bytes]

    def receive(self, frame: bytes, now: float) -> None:
        match f.decode_server(frame):
            case f.Message(conv=self.conv) | f.Page(conv=self.conv) if self.conv:
                self.kept.append(frame)
            case f.Notify(entries) if any(entry.conv == self.conv for entry in entries):
                self.kept.append(frame)
            case _:
                super().receive(frame, now)


@pytest.mark.timeout(300)
def test_three_people_and_a_question_that_comes_late(
    running: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        access = access_to(running)
        async with person(access, "cho", tmp_path) as cho, person(access, "dee", tmp_path) as dee:
            monkeypatch.setattr("sut.client.chat.Client", Deaf)
            async with person(access, "eli", tmp_path) as eli:
                where, elsewhere = [await cho.do.group(title, ["dee", "eli"]) for title in ("Where", "Elsewhere")]
                await cho.do.send(where, "hello")
                await cho.do.send(elsewhere, "hello")
                for one in (dee, eli):
                    await one.until(lambda one=one: one.texts(where) and one.texts(elsewhere), others=(cho,))
                await dee.do.send(elsewhere, "hello too")  # so that eli has dee's keys
                await eli.until(lambda: len(eli.texts(elsewhere)) == 2)
                deaf = deafen(eli, where)
                await cho.do.send(where, "shall we?")
                await dee.until(lambda: dee.texts(where)[-1] == "cho: shall we?")
                await dee.do.send(elsewhere, "yes, let us")
                await cho.until(lambda: cho.texts(elsewhere)[-1] == "dee: yes, let us")
                await eli.until(lambda: deaf.kept and eli.chat.machine._gate.holding)
                assert eli.texts(elsewhere) == ["cho: hello", "dee: hello too"]
                deaf.conv = 0
                await eli.until(lambda: eli.texts(elsewhere)[-1] == "dee: yes, let us")
                await eli.until(lambda: [line.text for line in eli.shown][-2:] == ["shall we?", "yes, let us"])

    asyncio.run(scenario())


def deafen(one: Person, conv: int) -> Deaf:
    machine = one.chat.machine
    assert isinstance(machine, Deaf)
    machine.kept, machine.conv = [], conv
    return machine
