"""The swarm's encryption: who encrypts, what is fetched, and that whatever does not decrypt is in the history."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from load.device import body as bodies
from load.drive.keys import Keys, choose
from load.history.events import message_id
from load.plan import plan, population
from load.plan.plan import DevicePlan
from load.workload import SwarmConfig
from sut.crypto import envelope as envelopes
from sut.protocol.device.events import MemberChange
from tests.load.device.crypto_world import CANARY, CONVERSATIONS, DIRECT, GROUP, SENDS, World


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
    assert three.encrypted(crossed), "so its display is that of a line that cannot be read yet"
    assert not one.encrypted(crossed), "who wrote it knows it"
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
    missed = world.said_without_three(seq=1)
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
    assert world.keys.people[3].shown(world.said_without_three(seq=1)) is None
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
