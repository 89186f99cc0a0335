"""The state machine against a bad network, in virtual time: exactly once on the screen, in order, without spinning."""

from __future__ import annotations

from itertools import pairwise

import pytest

from sut.protocol import frames as f
from sut.protocol.device.client import Nacked
from tests.sut.protocol.device.simulated import World

CONVS = (10, 11, 12, 13, 14)
CHANGING = (10, 14)
TALK_S = 60.0
MOST_FRAMES = 1_600


def talk(seed: int, *, trouble: float = 0.1, forge=None) -> World:
    world = World(seed, devices=4, convs=CONVS, trouble=trouble)
    world.forge = forge
    for number in range(120):
        device, conv = world.rng.choice(world.devices), world.rng.choice(CONVS)
        body = f"{number}".encode()
        world.at(world.rng.uniform(0, TALK_S), lambda d=device, c=conv, b=body: d.say(c, b))
    for _ in range(10):
        conv = world.rng.choice(CHANGING)
        world.at(world.rng.uniform(0, TALK_S), lambda c=conv: world.change_member(c))
    world.run(TALK_S)
    return world


def names(world: World) -> set[str]:
    return {type(event).__name__ for device in world.devices for event in device.events}


@pytest.mark.parametrize("block", range(10))
def test_everything_is_shown_once_and_in_order_on_every_device(block):
    for seed in range(block * 20, block * 20 + 20):
        world = talk(seed)
        assert world.settle(120.0), f"seed {seed} does not come to rest"
        for device in world.devices:
            assert device.shown == device.due(), f"seed {seed}, device {device.number}"
            refused = {e.client_seq for e in device.events if isinstance(e, Nacked) and e.definite}
            for conv, log in world.logs.items():
                mine = [m.client_seq for m in log if m.device == device.number]
                kept = [number for number, _ in device.submitted[conv] if number not in refused]
                assert mine == kept, f"seed {seed}, device {device.number}: sender FIFO, nothing lost, nothing added"
        assert not names(world) & {"Violation", "GaveUp"}, f"seed {seed}"
        assert world.frames < MOST_FRAMES, f"seed {seed}: {world.frames} frames for 120 messages"


def test_the_trouble_is_real():
    """The property above would hold of a perfect network too: make sure that it was not one."""
    seen = set().union(*(names(talk(seed)) for seed in range(5)))
    assert {"Stalled", "Nacked", "Wire", "Online", "MemberChange", "Drained"} <= seen
    repeats = 0
    for seed in range(5):
        world = talk(seed)
        for device in world.devices:
            wires = [event.message for event in device.events if type(event).__name__ == "Wire"]
            repeats += len(wires) - len(set(wires))
    assert repeats > 0


def test_a_quiet_network_costs_few_frames():
    world = talk(1, trouble=0.0)
    assert world.settle(30.0)
    assert world.frames < 120 * 8


def test_acks_come_once_a_message_and_rise():
    world = talk(3)
    assert world.settle(120.0)
    for device in world.devices:
        acked = [(e.conv, e.client_seq, e.seq) for e in device.events if type(e).__name__ == "Acked"]
        assert len({(conv, client_seq) for conv, client_seq, _ in acked}) == len(acked)
        for conv in CONVS:
            mine = [(client_seq, seq) for c, client_seq, seq in acked if c == conv]
            assert all(a < b for a, b in pairwise(mine))


def other_body_at_every_third(world: World, message: f.Message) -> f.Message:
    return message._replace(body=message.body + b"!") if message.seq % 3 == 0 and world.rng.random() < 0.5 else message


def second_number(_world: World, message: f.Message) -> f.Message:
    return message._replace(seq=message.seq + 1) if message.seq % 5 == 0 else message


def test_a_service_that_forks_a_number_cannot_hide_it():
    world = talk(7, forge=other_body_at_every_third)
    bodies = {}
    for device in world.devices:
        for event in device.events:
            if type(event).__name__ == "Wire":
                bodies.setdefault((event.message.conv, event.message.seq), set()).add(event.message.body)
    assert any(len(versions) > 1 for versions in bodies.values())


def test_a_service_that_gives_a_message_a_second_number_cannot_hide_it():
    world = talk(7, forge=second_number)
    numbers = {}
    for device in world.devices:
        for event in device.events:
            if type(event).__name__ in ("Wire", "Acked"):
                message = event.message if type(event).__name__ == "Wire" else event
                sender = getattr(message, "device", device.number)
                numbers.setdefault((message.conv, sender, message.client_seq), set()).add(message.seq)
    assert any(len(versions) > 1 for versions in numbers.values())
