"""SENDs that would wait too long are refused: against a service of a known speed, by arithmetic, at a real gateway."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from pathlib import Path
from typing import NamedTuple

import pytest

from sut.gateway.admission import FORGET_S, OLD_S, RETRY_S, SPARE, Admission
from sut.protocol import frames as f
from sut.protocol.device.client import Client, ClientSettings, Nacked
from sut.protocol.device.events import Acked
from sut.protocol.peer import Deliver, Submit
from sut.variants.without_admission import TakesAll
from tests.kit.waits import until
from tests.sut.gateway.world import World, in_world

CAPACITY = 40.0
STEP_S = 0.01


class Seen(NamedTuple):
    answered_per_s: float
    longest_s: float
    refused: int
    largest_queue: int


def under_load(admission: Admission, times: float, *, devices: int = 200, seconds: float = 12.0) -> Seen:
    """Real clients of one conversation each, which want `times` what a service carries that works in order.

    The service answers CAPACITY a second, each SEND that it gets, a repetition too. Measured after two seconds.
    """
    rng = random.Random(5)
    settings = ClientSettings(max_outbox=2)
    clients = [Client(user=n, device=n, rng=rng, settings=settings) for n in range(devices)]
    queue: deque[tuple[int, f.Send, float]] = deque()
    acked = refused = largest = 0
    longest_s = budget = 0.0
    for number, client in enumerate(clients):
        client.connected(0.0)
        client.receive(f.encode(f.Welcome(number, number, 1, 30_000, f.MAX_BODY)), 0.0)
        client.frames()
    steps = round(seconds / STEP_S)
    for step in range(steps):
        now = step * STEP_S
        for _ in range(round((step + 1) * STEP_S * times * CAPACITY) - round(step * STEP_S * times * CAPACITY)):
            number = rng.randrange(devices)
            if not clients[number].untold:  # it writes no more while one waits
                clients[number].submit(number, b"hello", now)
        budget += CAPACITY * STEP_S
        while queue and budget >= 1:
            budget -= 1
            number, send, since = queue.popleft()
            admission.answered(0, (number, send.client_seq), now)
            clients[number].receive(f.encode(f.Ack(send.conv, send.client_seq, send.client_seq)), now)
            if now > 2:
                longest_s = max(longest_s, now - since)
        budget = min(budget, 1.0)
        for number, client in enumerate(clients):
            if client.next_wakeup() <= now:
                client.tick(now)
            answers = sum(isinstance(event, Acked) for event in client.events())
            acked += answers if now > 2 else 0
            for frame in map(f.decode_client, client.frames()):
                if not isinstance(frame, f.Send):
                    continue
                if retry_after_s := admission.refuses(0, now):
                    refused += 1
                    code = f.busy(retry_after_s)
                    client.receive(f.encode(f.Refused(frame.conv, frame.client_seq, code)), now)
                    client.frames()
                    continue
                admission.passed_on(0, (number, frame.client_seq), now)
                queue.append((number, frame, now))
        largest = max(largest, len(queue))
    return Seen(acked / (seconds - 2), longest_s, refused, largest)


def test_three_times_what_is_carried_is_refused_down_to_what_is_carried_in_time() -> None:
    seen = under_load(Admission(1), 3)
    assert seen.answered_per_s >= 0.9 * CAPACITY
    assert seen.longest_s < 1.0
    assert seen.refused


def test_without_admission_the_queue_grows_and_most_of_it_is_for_nobody() -> None:
    seen = under_load(TakesAll(1), 3)
    assert seen.longest_s > FORGET_S
    assert seen.answered_per_s < 0.9 * CAPACITY


def test_what_is_carried_is_not_refused() -> None:
    seen = under_load(Admission(1), 0.8)
    assert seen.refused == 0
    assert seen.answered_per_s == pytest.approx(0.8 * CAPACITY, rel=0.1)


def fill(admission: Admission, count: int, now_s: float, *, first: int = 0, partition: int = 0) -> None:
    for number in range(first, first + count):
        assert admission.refuses(partition, now_s) == 0
        admission.passed_on(partition, (number, 1), now_s)


def test_a_burst_is_taken() -> None:
    fill(Admission(1), 1000, 5.0)


def test_nothing_is_answered_so_all_but_a_few_are_refused_until_it_goes_on() -> None:
    admission = Admission(2)
    fill(admission, 50, 5.0)
    later = 5.0 + OLD_S + 0.01
    assert RETRY_S[0] <= admission.refuses(0, later) <= RETRY_S[1]
    assert admission.refuses(1, later) == 0, "the other partition is not to blame"
    for number in range(50):
        admission.answered(0, (number, 1), later)
    assert admission.refuses(0, later) == 0
    assert (admission.waiting, admission.refused) == (0, 1)


def test_what_its_device_repeats_by_now_is_no_part_of_the_queue() -> None:
    admission = Admission(1)
    fill(admission, 50, 5.0)
    assert admission.refuses(0, 5.0 + FORGET_S - 0.1) > 0
    assert admission.refuses(0, 5.0 + FORGET_S) == 0
    assert admission.waiting == 0


def test_a_few_are_always_under_way() -> None:
    admission = Admission(1)
    fill(admission, SPARE, 5.0)
    assert admission.refuses(0, 6.0) == 0


def test_an_answer_that_nobody_waits_for_changes_nothing() -> None:
    admission = Admission(1)
    admission.answered(0, (1, 1), 5.0)
    assert admission.waiting == 0


def test_a_gateway_that_is_late_itself_takes_none() -> None:
    admission = Admission(1)
    admission.late_s = 0.7
    assert admission.refuses(0, 5.0) == 0.7
    admission.late_s = 0.01
    assert admission.refuses(0, 5.0) == 0


@pytest.mark.parametrize(
    ("asked_s", "said_s"), [(0.0, 0.1), (0.1, 0.1), (0.11, 0.2), (0.95, 1.0), (3.0, 3.0), (99.0, 6.4)]
)
def test_a_code_says_when_to_come_again(asked_s: float, said_s: float) -> None:
    refused = f.Refused(1, 2, f.busy(asked_s))
    assert refused.retry_after_s == pytest.approx(said_s)
    assert not refused.definite


def test_a_gateway_refuses_what_would_wait_and_still_passes_on_what_is_not_new(tmp_path: Path) -> None:
    """The chat service answers nothing. Then it does, and the SEND that was refused is taken under its old number."""

    async def scenario(world: World) -> None:
        async with world.device() as device:
            for number in range(1, 21):
                await device.send(f.Send(5, number, b"x"))
            await until(lambda: len(world.forwarded) == 20)
            await asyncio.sleep(OLD_S + 0.05)
            refused = await device.ask(f.Send(5, 21, b"x"))
            assert isinstance(refused, f.Refused)
            assert (refused.conv, refused.client_seq, refused.definite) == (5, 21, False)
            assert RETRY_S[0] <= refused.retry_after_s <= RETRY_S[1] + 0.1
            await device.send(f.Sync(1, 0, ()))
            await until(lambda: len(world.forwarded) == 21)
            stats = await world.stats()
            assert (stats["sends_waiting"], stats["sends_refused"]) == (20, 1)
            conn = world.number_of(11)
            for number in range(1, 21):
                assert world.sequencer.send(Deliver((conn,), f.encode(f.Ack(5, number, number))))
                await device.receive()
            await device.send(f.Send(5, 21, b"x"))
            await until(lambda: len(world.forwarded) == 22)
            last = world.forwarded[-1]
            assert isinstance(last, Submit)
            assert last.client_seq == 21

    in_world(scenario, tmp_path)


def test_a_client_waits_at_least_as_long_as_it_is_told_and_repeats_the_same_message() -> None:
    for seed in range(50):
        client = Client(user=1, device=1, rng=random.Random(seed), settings=ClientSettings())
        client.connected(0.0)
        client.receive(f.encode(f.Welcome(1, 1, 1, 30_000, f.MAX_BODY)), 0.0)
        client.submit(9, b"hello", 0.0)
        sent = [f.decode_client(data) for data in client.frames()][-1]
        client.receive(f.encode(f.Refused(9, 1, f.busy(1.5))), 0.5)
        assert any(isinstance(event, Nacked) and not event.definite for event in client.events())
        client.tick(1.99)
        assert not [frame for frame in map(f.decode_client, client.frames()) if isinstance(frame, f.Send)]
        client.tick(3.6)
        assert [frame for frame in map(f.decode_client, client.frames()) if isinstance(frame, f.Send)] == [sent]
