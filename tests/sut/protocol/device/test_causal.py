"""Causal order across conversations, in a world of broken connections, absences, additions and removals."""

from __future__ import annotations

import pytest

from tests.sut.protocol.device.causal_world import CausalWorld

TALK_S = 60.0


def talk(seed: int, **options) -> CausalWorld:
    world = CausalWorld(seed, devices=7, convs=8, **options)
    for number in range(200):
        device, conv = world.rng.choice(world.devices), world.rng.choice(world.convs)
        body = f"{number}".encode()
        world.at(world.rng.uniform(0, TALK_S), lambda d=device, c=conv, b=body: d.say(c, b))
    for _ in range(12):
        user, conv = world.rng.choice(world.devices).user, world.rng.choice(world.convs)
        world.planned.add((user, conv))
        world.at(world.rng.uniform(0, TALK_S), lambda u=user, c=conv: world.change(u, c))
    world.run(TALK_S)
    return world


def at_rest(seed: int, **options) -> CausalWorld:
    world = talk(seed, **options)
    assert world.settle(200.0), f"seed {seed} does not come to rest"
    return world


def violations(world: CausalWorld) -> list[str]:
    return [e.text for device in world.devices for e in device.events if type(e).__name__ == "Violation"]


@pytest.mark.parametrize("block", range(8))
def test_nobody_sees_the_answer_before_the_question(block):
    for seed in range(block * 15, block * 15 + 15):
        world = at_rest(seed, hold_s=1000.0)
        assert not world.inversions(), f"seed {seed}"
        assert not violations(world), f"seed {seed}"
        assert not any(late for device in world.devices for _, late in device.held)


def test_without_it_many_do():
    ignoring = sum(len(at_rest(seed, obeys=False).inversions()) for seed in range(10))
    silent = sum(len(at_rest(seed, names=False).inversions()) for seed in range(10))
    assert ignoring > 50
    assert silent > 50


def test_with_the_ordinary_patience_the_order_breaks_only_where_somebody_waited_in_vain():
    shown = vain = 0
    for seed in range(20):
        world = at_rest(seed)
        late = sum(late for device in world.devices for _, late in device.held)
        assert late or not world.inversions(), f"seed {seed}"
        vain += late
        shown += sum(len(device.order) for device in world.devices)
    assert vain < shown / 1000
