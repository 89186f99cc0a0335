"""The swarm's encryption: who encrypts, what is fetched, and that whatever does not decrypt is in the history."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from load import body as bodies
from load import plan, population
from load.api import ApiError, BundleOf, KeysOf, OneTimePrekeyOf, Publication, SignedPrekeyOf
from load.causality import Tie, Ties
from load.config import SwarmConfig
from load.crypto import Keys, choose
from load.history import Event, HistoryTail, HistoryWriter, message_id
from load.plan import DevicePlan, PlannedSend
from load.population import Conversation
from load.recorder import Recorder
from load.writing import Draft
from sut.crypto import envelope as envelopes
from sut.protocol import frames
from sut.protocol.causal import Dependency, pack
from sut.protocol.client import Client
from sut.protocol.client_events import ClientSettings, MemberChange, Show
from sut.protocol.frames import Message

CANARY = b"Ab3dEf6hIj9lMn2p"
DIRECT, GROUP = 100, 200
CONVERSATIONS = {
    DIRECT: Conversation(key="d", kind="direct", members=(1, 2), weight=0.5),
    GROUP: Conversation(key="g", kind="group", members=(1, 2, 3), weight=0.5),
}
SENDS = tuple(PlannedSend(0, place, 150) for place in (0, 1))


class Shelf:
    """The API's two calls, in memory. `away`: so many calls fail first."""

    def __init__(self) -> None:
        self.published: dict[int, tuple[Publication, bytes]] = {}
        self.one_time: defaultdict[int, list[tuple[int, bytes]]] = defaultdict(list)
        self.away = 0
        self.fetched: list[tuple[str, int, bool]] = []

    def publish_keys(self, token: str, publication: Publication, *, device_list: bytes, version: int) -> int:
        assert version == 1
        self.published[int(token)] = (publication, device_list)
        self.one_time[int(token)] += publication[4]
        return len(self.one_time[int(token)])

    def keys_of(self, token: str, user: int, *, one_time: bool) -> KeysOf:
        self.fetched.append((token, user, one_time))
        if self.away:
            self.away -= 1
            raise ApiError("away")
        if user not in self.published:
            return KeysOf()
        (identity, number, key, signature, _), device_list = self.published[user]
        taken = OneTimePrekeyOf(*self.one_time[user].pop(0)) if one_time else None
        bundle = BundleOf(user, identity, SignedPrekeyOf(number, key, signature), taken)
        return KeysOf((bundle,), device_list)


class Quiet:
    """An observer that does not look."""

    def acked(self, latency_ns: int) -> None:
        pass

    def shown(self, latency_ns: int, *, group: bool, size: int) -> None:
        pass

    def failed(self, text: str) -> None:
        pass


class World:
    """Three devices, and what they say to each other."""

    def __init__(self, directory: Path, *, plaintext: bool = False) -> None:
        self.shelf = Shelf()
        self.path = directory / "a.bin"
        self.history = HistoryWriter(self.path)
        self.recorder = Recorder(self.history, groups=frozenset([GROUP]), recipients={}, observer=Quiet())
        self.keys = Keys(
            users=frozenset([1, 2, 3]),
            conversations=frozenset(CONVERSATIONS),
            seed=7,
            canary=CANARY,
            plaintext=plaintext,
            api=self.shelf,  # type: ignore[arg-type]
            tokens={device: str(device) for device in (1, 2, 3)},
            recorder=self.recorder,
        )
        self.seqs: defaultdict[int, int] = defaultdict(int)
        self.client_seqs: defaultdict[int, int] = defaultdict(lambda: 1)

    def join(self) -> None:
        self.keys.join_all({device: DevicePlan(sends=SENDS) for device in (1, 2, 3)}, CONVERSATIONS, patience_s=0)

    def fetch(self) -> None:
        for _ in range(100):
            self.keys.step()

    def seal(self, device: int, conv: int, *dependencies: Dependency) -> list[Message] | None:
        """The messages as they come back from the service, with their numbers."""
        draft = Draft(conv, message_id(device, self.client_seqs[device]), due_offset_ns=5, size=150)
        sealed = self.keys.people[device].seal(draft, dependencies)
        return None if sealed is None else [self.number(device, conv, sealed)]

    def number(self, device: int, conv: int, body: bytes) -> Message:
        self.seqs[conv] += 1
        client_seq = self.client_seqs[device]
        self.client_seqs[device] += 1
        self.keys.people[device].acked(client_seq, self.seqs[conv])
        return Message(conv, self.seqs[conv], 0, device, device, client_seq, body)

    def controls(self) -> list[Message]:
        found = []
        for device, person in self.keys.people.items():
            outgoing, person.outgoing = person.outgoing, []
            found += [self.number(device, conv, body) for conv, body in outgoing]
        return found

    def settle(self) -> None:
        """Until nobody has anything to say or to fetch."""
        for _ in range(10):
            self.fetch()
            for message in self.controls():
                for device, person in self.keys.people.items():
                    if device != message.device:
                        person.shown(message)

    def spoiled(self) -> int:
        """WIRE events: here only those of messages that did not decrypt."""
        tail = HistoryTail(self.path)
        found = [record for record in tail.read() if record[7] == Event.WIRE]
        tail.close()
        return len(found)


def ties() -> Ties:
    config = SwarmConfig(seed=3, users=20, api_url="http://x", api_key="k", history_dir="h")
    people = population.make(config)
    return Ties(people, plan.make(config, people), range(1, 1 + len(people.conversations)))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.history.close()


def test_what_is_sealed_is_read_by_all_and_checked(world: World) -> None:
    world.join()
    world.settle()
    for conv, readers in ((DIRECT, [2]), (GROUP, [2, 3])):
        (message,) = world.seal(1, conv) or []
        assert CANARY not in message.body
        for reader in readers:
            plain = world.keys.people[reader].shown(message)
            assert plain is not None
            assert plain[16:32] == CANARY
            assert bodies.due_offset_ns(plain) == 5
            assert len(plain) == 150
    world.keys.finish(grace_s=0)
    assert world.spoiled() == 0
    assert world.keys.cost.opened == 3


def test_what_a_message_depends_on_is_encrypted_and_told_before_it_is_displayed(world: World) -> None:
    world.join()
    world.settle()
    named = Dependency(0x0123456789ABCDEF, 77, 1)
    for conv, readers in ((DIRECT, [2]), (GROUP, [2, 3])):
        (message,) = world.seal(1, conv, named) or []
        assert pack([named]) not in message.body
        assert named.conv.to_bytes(8, "big") not in message.body
        assert bodies.dependencies(message.body) == ()
        for reader in readers:
            person = world.keys.people[reader]
            tie = ties().of(reader, person.read)
            assert tie.named_by(message) == (named,)
            opened = world.keys.cost.opened
            plain = person.shown(message)
            assert plain is not None
            assert bodies.dependencies(plain) == (named,)
            assert world.keys.cost.opened == opened, "it is decrypted once"
            assert not person._early
    world.keys.finish(grace_s=0)
    assert world.spoiled() == 0


class Everywhere(Tie):
    """Of a user who is in all conversations."""

    def member_of(self, conv: int) -> bool:
        return True


def test_an_encrypted_message_waits_for_what_it_names(world: World) -> None:
    world.join()
    world.settle()
    (answer,) = world.seal(1, DIRECT, Dependency(GROUP, 1, 0)) or []
    (question,) = world.seal(3, GROUP) or []
    reader = world.keys.people[2]
    client = Client(
        user=2,
        device=2,
        rng=random.Random(1),
        settings=ClientSettings(),
        causality=Everywhere(ties(), 2, reader.read),
    )
    client.connected(0.0)
    client.receive(frames.encode(frames.Welcome(2, 2, 1, 30_000, frames.MAX_BODY)), 0.0)
    client.receive(frames.encode(answer), 0.0)
    assert not [event for event in client.events() if isinstance(event, Show)]
    assert client.cursors[DIRECT] == 0
    client.receive(frames.encode(question), 0.1)
    shows = [event.message for event in client.events() if isinstance(event, Show)]
    assert shows == [question, answer]
    assert None not in [reader.shown(message) for message in shows]
    assert world.keys.cost.opened == 2
    assert client.cursors[DIRECT] == 1


def test_a_message_that_cannot_be_read_yet_names_nothing_and_is_read_later(world: World) -> None:
    """User 3 was added, and user 1 writes before it knows."""
    world.join()
    world.settle()
    one, three = world.keys.people[1], world.keys.people[3]
    one.changed(MemberChange(GROUP, 1, 3, added=False))
    world.seqs[GROUP] = 2
    (message,) = world.seal(1, GROUP, Dependency(9, 1, 0)) or []
    assert ties().of(3, three.read).named_by(message) == ()
    assert three.shown(message) is None
    assert not three._early
    one.changed(MemberChange(GROUP, 2, 3, added=True))
    opened = world.keys.cost.opened
    world.settle()
    assert world.keys.cost.opened > opened
    world.keys.finish(grace_s=0)
    assert world.spoiled() == 0


def test_a_question_that_came_early_is_answered_when_it_is_displayed(world: World) -> None:
    """The add of who asks may be held back before it."""
    world.join()
    world.settle()
    one, three = world.keys.people[1], world.keys.people[3]
    one.changed(MemberChange(GROUP, 1, 3, added=False))
    world.seqs[GROUP] = 2
    (message,) = world.seal(1, GROUP) or []
    assert three.shown(message) is None
    world.fetch()
    (question,) = world.controls()
    one.read(question)
    assert not one.outgoing
    one.changed(MemberChange(GROUP, 2, 3, added=True))
    one.shown(question)
    assert one.outgoing
    assert not one._early
    assert not one._asked


def test_where_somebody_else_may_be_nothing_is_encrypted(world: World) -> None:
    """They could not read what a message depends on."""
    world.keys.conversations = frozenset([DIRECT])
    world.join()
    world.settle()
    assert world.seal(1, GROUP) is None
    world.keys.people[1].changed(MemberChange(GROUP, 1, 3, added=True))
    world.settle()
    assert world.seal(1, GROUP) is None
    assert world.seal(1, DIRECT)


def test_before_the_keys_are_there_nothing_is_sealed_and_nobody_waits(world: World) -> None:
    world.shelf.away = 5
    world.join()
    assert world.seal(1, DIRECT) is None
    assert world.keys.cost.opaque == 1
    world.settle()
    assert world.seal(1, DIRECT) is not None


def test_the_beginning_waits_for_keys_that_come_a_little_late(world: World) -> None:
    world.shelf.away = 5
    plans = {device: DevicePlan(sends=SENDS) for device in (1, 2, 3)}
    world.keys.join_all(plans, CONVERSATIONS, patience_s=30, sleep=lambda _s: None)
    assert world.seal(1, DIRECT) is not None
    assert world.seal(3, GROUP) is not None


def test_one_time_prekeys_are_taken_by_those_who_write_only(world: World) -> None:
    world.keys.join_all({1: DevicePlan(sends=SENDS), 2: DevicePlan(), 3: DevicePlan()}, CONVERSATIONS, patience_s=0)
    world.settle()
    assert {token for token, _, one_time in world.shelf.fetched if one_time} == {"1"}


@pytest.mark.parametrize("spoil", ["payload", "another text", "another tail", "an old message"])
def test_what_decrypts_to_something_else_is_another_content(world: World, spoil: str) -> None:
    world.join()
    world.settle()
    person = world.keys.people[1]
    world.client_seqs[1] = 200
    if spoil == "payload":
        (message,) = world.seal(1, DIRECT) or []
        message = message._replace(body=message.body[:-1] + bytes([message.body[-1] ^ 1]))
    else:
        msg = message_id(1, world.client_seqs[1] - (100 if spoil == "an old message" else 0))
        plain = bodies.make(seed=7, msg=msg, due_offset_ns=5, size=150, canary=CANARY)
        if spoil == "another text":
            plain = b"made up" * 20
        elif spoil == "another tail":
            plain = plain[:-1] + bytes([plain[-1] ^ 1])
        message = world.number(1, DIRECT, person.account.seal_direct(DIRECT, [2], plain))
    world.keys.people[2].shown(message)
    assert world.spoiled() == 1
    assert world.recorder.counters.violations == 1


def test_a_message_that_crossed_with_an_add_is_asked_for_and_read(world: World) -> None:
    """User 3 is removed and added again; user 1 writes before it knows of the add."""
    world.join()
    world.settle()
    one, two, three = (world.keys.people[device] for device in (1, 2, 3))
    for person in (one, two, three):
        person.changed(MemberChange(GROUP, 1, 3, added=False))
    world.seqs[GROUP] = 2
    three.changed(MemberChange(GROUP, 2, 3, added=True))
    (crossed,) = world.seal(1, GROUP) or []
    assert three.shown(crossed) is None
    assert world.keys.cost.asked == 1
    world.fetch()  # and asks for the first; the second comes when it has asked
    (behind,) = world.seal(1, GROUP) or []
    assert three.shown(behind) is None
    one.changed(MemberChange(GROUP, 2, 3, added=True))
    world.settle()
    assert world.keys.cost.opened > 2
    assert not any(waiting.messages for waiting in three._waiting.values())
    assert world.spoiled() == 0
    before = world.keys.cost.opened
    (after,) = world.seal(1, GROUP) or []
    assert three.shown(after) is not None, "and the chain goes on"
    assert world.keys.cost.opened == before + 1
    world.keys.finish(grace_s=0)
    assert world.spoiled() == 0


def test_who_was_not_there_gets_no_keys_however_it_asks(world: World) -> None:
    """User 3 is away while a message is written, comes back, and has its bytes from somewhere."""
    world.join()
    world.settle()
    one, three = world.keys.people[1], world.keys.people[3]
    one.changed(MemberChange(GROUP, 1, 3, added=False))
    world.seqs[GROUP] = 1
    (missed,) = world.seal(1, GROUP) or []
    one.changed(MemberChange(GROUP, 3, 3, added=True))
    world.seqs[GROUP] = 3
    assert three.shown(missed) is None
    world.settle()
    assert world.shelf.fetched.count(("3", 1, True)) >= 1, "it did ask"
    assert world.keys.cost.opened > 0
    world.keys.finish(grace_s=0)
    assert world.spoiled() == 1


def test_what_can_never_be_read_is_in_the_history_at_the_end(world: World) -> None:
    world.join()
    world.settle()
    one, three = world.keys.people[1], world.keys.people[3]
    one.changed(MemberChange(GROUP, 1, 3, added=False))
    (message,) = world.seal(1, GROUP) or []
    assert three.shown(message) is None
    world.settle()  # 3 asks, and 1 does not answer: 3 is no member
    world.keys.finish()
    assert world.spoiled() == 0, "the answer may be under way"
    world.keys.finish(grace_s=0)
    assert world.spoiled() == 1


def test_the_known_bad_client_sends_what_it_should_encrypt(tmp_path: Path) -> None:
    world = World(tmp_path, plaintext=True)
    world.join()
    (message,) = world.seal(1, DIRECT) or []
    assert CANARY in message.body
    assert world.keys.people[2].shown(message) is None
    world.history.close()


def test_the_share_is_made_of_whole_conversations() -> None:
    config = SwarmConfig(seed=3, users=200, api_url="http://x", api_key="k", history_dir="h")
    people = population.make(config)
    planned = plan.make(config, people)
    chosen, places = choose(people, 0.2, config.seed, planned.changes)
    assert (chosen, places) == choose(people, 0.2, config.seed, planned.changes)
    assert 20 <= len(chosen) <= 40
    joining = {change.conversation: change.user for change in planned.changes if change.add}
    assert joining
    for place, one in enumerate(people.conversations):
        inside = chosen.issuperset(one.members)
        assert not (place in places and not inside)
        assert not (place in places and joining.get(place, one.members[0]) not in chosen)
        assert place in places or not inside or place in joining
    whole = [people.conversations[place] for place in places]
    assert {c.kind for c in whole} == {"direct", "group"}
    assert choose(people, 1.0, config.seed)[0] == frozenset(people.users)
    assert choose(people, 0.0, config.seed)[0] == frozenset()
    writing = [place for user in chosen for place in {send.conversation for send in planned.devices[user].sends}]
    assert writing


def test_opaque_bodies_have_the_size_of_encrypted_ones_and_are_told_from_them() -> None:
    rng = random.Random(1)
    for _ in range(100):
        msg = message_id(rng.randrange(1, 1 << 31), rng.randrange(1, 1 << 32))
        body = bodies.make(seed=1, msg=msg, due_offset_ns=9, size=60, canary=CANARY)
        assert not envelopes.is_envelope(body)
        assert bodies.due_offset_ns(body) == 9
    assert bodies.due_offset_ns(bytes([envelopes.MAGIC]) + bytes(40)) is None
    assert Keys.true_size(150, group=False) == envelopes.direct_size(150, devices=1) == 310
    assert Keys.true_size(150, group=True) == envelopes.group_size(150) == 242
