"""RESYNC is said while few SYNCs wait for their answer; who is not told at once is told when there is room."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sut.gateway.syncs import BEFORE, FORGET, LEAST, MOST, OWED, Syncs, Window
from sut.protocol import frames as f
from sut.protocol.peer import Deliver, Missed, SyncDevice
from tests.kit.waits import until
from tests.sut.gateway.test_delivery import settled
from tests.sut.gateway.world import World, in_world


def test_there_is_room_for_a_number_of_questions_that_wait() -> None:
    syncs = Syncs()
    for number in range(MOST):
        assert syncs.room(0)
        syncs.asked(number, 0)
    assert not syncs.room(0)
    syncs.asked(3, 0)  # it asks again: the same question
    syncs.answered(7, 0.0)
    assert syncs.room(0)


def test_a_question_without_an_answer_is_forgotten_in_time() -> None:
    syncs = Syncs()
    for number in range(MOST):
        syncs.asked(number, number)
    assert not syncs.room(FORGET - 1)
    assert syncs.room(FORGET)


def told_all(window: Window, *, devices: int, answer_s: float, at_once: int) -> tuple[float, float, float]:
    """Tell all of these to SYNC. The service takes `answer_s` for each, and so many at a time without a wait.

    Returns the seconds until all are answered, the longest time of the last answers, and the smallest window.
    """
    now_s, waiting, took, sizes = 0.0, [0.0] * 0, [], []
    free = [0.0] * at_once
    while devices or waiting:
        while devices and len(waiting) < window.size:
            begin = max(now_s, min(free))
            free[free.index(min(free))] = begin + answer_s
            waiting.append(now_s)
            devices -= 1
        done_s = max(now_s, min(free))
        now_s = max(done_s, now_s + answer_s / at_once)
        asked_s = waiting.pop(0)
        took.append(max(answer_s, now_s - asked_s))
        window.answered(took[-1], now_s)
        sizes.append(window.size)
    return now_s, max(took[len(took) // 2 :]), min(sizes)


def test_questions_that_wait_for_each_other_become_fewer_and_all_are_told_as_soon() -> None:
    """Beyond what the service does at once, more questions only wait: the time for all of them stays the same."""
    calm = Window()
    for answer in range(100):
        calm.answered(0.03, answer * 0.1)
    assert calm.size == MOST
    all_s, took_s, least = told_all(calm, devices=2_000, answer_s=0.03, at_once=8)
    assert took_s < 0.12, "all 50 would wait for 0.19 s"
    assert all_s < 1.1 * 2_000 * 0.03 / 8
    assert least >= 8


def test_a_service_that_is_slow_for_everybody_is_asked_as_before() -> None:
    window = Window()
    for answer in range(500):
        window.answered(2.0, answer * 0.04)
    assert window.size == MOST


def test_some_are_told_however_slow_the_answers_become_and_more_when_they_are_quick_again() -> None:
    window = Window()
    for answer in range(100):
        window.answered(0.02, answer * 0.1)
    for answer in range(200):
        window.answered(5.0, 10 + answer * 0.1)
    assert window.size == LEAST
    for answer in range(3_000):
        window.answered(0.02, 40 + answer * 0.01)
    assert window.size == MOST


def test_those_who_were_not_told_are_told_once_and_in_turn_as_there_is_room() -> None:
    syncs = Syncs()
    syncs.hold_all(range(3 * MOST))
    syncs.hold(1)
    assert syncs.due(0, 10) == list(range(10))
    assert syncs.due(0, 1000) == list(range(10, MOST))
    assert syncs.due(0, 1000) == []
    for number in range(5):
        syncs.answered(number, 0.0)
    assert syncs.due(0, 1000) == list(range(MOST, MOST + 5))
    assert syncs.waiting == 2 * MOST - 5


def test_who_had_no_route_for_a_time_is_told_before_the_others() -> None:
    syncs = Syncs()
    syncs.hold_all(range(10))
    syncs.hold(7, urgent=True)
    syncs.hold(99, urgent=True)
    assert syncs.due(0, 3) == [7, 99, 0]
    syncs.hold(98, urgent=True)
    syncs.left(98)
    assert syncs.due(0, 2) == [1, 2]


def test_what_is_owed_counts_from_the_time_at_which_the_connection_opened() -> None:
    syncs = Syncs()
    syncs.begins(1, 11, 100)
    syncs.begins(2, 12, 90)
    syncs.begins(1, 11, 120)  # it asks again
    assert syncs.owed(100 + OWED - 1) == {12: OWED + 9 + BEFORE}
    assert syncs.owed(100 + OWED) == {11: OWED + BEFORE, 12: OWED + 10 + BEFORE}
    syncs.answered(1, 0.0)
    syncs.left(2)
    assert not syncs.owed(1000)


@pytest.mark.parametrize("gone", ["left", "asked"])
def test_who_has_gone_or_asks_unasked_is_not_told(gone: str) -> None:
    syncs = Syncs()
    syncs.hold_all([1, 2])
    syncs.left(1) if gone == "left" else syncs.asked(1, 0)
    assert syncs.due(0, 1000) == [2]


def test_a_service_that_does_not_answer_is_not_asked_by_everybody_and_all_are_told_once_it_does(tmp_path: Path) -> None:
    """MOST SYNCs wait. A device that may have missed something hears it from its BEAT only when they are answered."""

    async def scenario(world: World) -> None:
        async with world.device() as device:
            await settled(device)
            for number in range(1000, 1000 + MOST):
                world.inside.syncs.asked(number, world.inside.clock.tick)
            assert world.sequencer.send(Missed())
            await asyncio.sleep(0.1)
            assert await device.ask(f.Heartbeat()) == f.Beat(0)
            assert (await world.stats())["resyncs_held"] == 1
            for number in range(1000, 1000 + MOST):
                world.inside.syncs.answered(number, 0.0)
            assert await device.receive() == f.Beat(f.BEAT_RESYNC)
            assert await device.ask(f.Heartbeat()) == f.Beat(0), "it was told once"
            await device.send(f.Sync(1, 0, ()))
            await until(lambda: any(isinstance(frame, SyncDevice) for frame in world.forwarded))
            conn = world.number_of(11)
            world.inside.syncs.asked(conn, world.inside.clock.tick)
            assert world.sequencer.send(Deliver((conn,), f.encode(f.Synced(1, 0, ()))))
            await device.receive()
            assert conn not in world.inside.syncs._asked

    in_world(scenario, tmp_path)
