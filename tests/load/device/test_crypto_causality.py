"""Encrypted messages name what they depend on, and are held back until that was shown."""

from __future__ import annotations

import random

from load.device import body as bodies
from load.device.causality import Tie, Ties
from load.plan import plan, population
from load.workload import SwarmConfig
from sut.protocol import frames
from sut.protocol.causal import Dependency, pack
from sut.protocol.device.client import Client
from sut.protocol.device.events import ClientSettings, MemberChange, Show
from tests.load.device.crypto_world import DIRECT, GROUP, World


def ties() -> Ties:
    config = SwarmConfig(seed=3, users=20, api_url="http://x", api_key="k", history_dir="h")
    people = population.make(config)
    return Ties.planned(people, plan.make(config, people), range(1, 1 + len(people.conversations)))


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
    message = world.said_without_three(Dependency(9, 1, 0), seq=2)
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
    assert three.shown(world.said_without_three(seq=2)) is None
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
    world.keys.people[1].changed(MemberChange(GROUP, 1, 3, added=True))
    for _ in range(2):  # the first time it might only lack keys
        assert world.seal(1, GROUP) is None
        world.settle()
    assert world.seal(1, DIRECT)
