"""SENDs that would wait too long are refused: against a service of a known speed, by arithmetic, at a real gateway."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from pathlib import Path
from typing import NamedTuple

import pytest

from sut.gateway.admission import FEW_WAIT, FORGET_S, MANY, MANY_WAIT, OLD_S, RETRY_S, SPARE, UNKNOWN_S, Admission
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


class Service:
    """A service that answers CAPACITY a second in order, each SEND that it gets, a repetition too; and its clients.

    Each answer takes `delay_s` besides. The clients are real ones of one conversation each.
    """

    def __init__(self, admission: Admission, *, devices: int = 200, delay_s: float = 0.0) -> None:
        self.admission, self.delay_s, self.now = admission, delay_s, 0.0
        self._rng = random.Random(5)
        settings = ClientSettings(max_outbox=2)
        self._clients = [Client(user=n, device=n, rng=self._rng, settings=settings) for n in range(devices)]
        self._queue: deque[tuple[int, f.Send, float]] = deque()
        self._on_its_way: deque[tuple[float, int, f.Send, float]] = deque()
        self._due = self._free = 0.0
        for number, client in enumerate(self._clients):
            client.connected(0.0)
            client.receive(f.encode(f.Welcome(number, number, 1, 30_000, f.MAX_BODY)), 0.0)
            client.frames()

    def run(self, times: float, seconds: float, *, away: bool = False) -> Seen:
        """Have people want `times` the capacity for so long. `away`: the service loses all it gets."""
        acked, refused_before, longest_s = 0, self.admission.refused, 0.0
        for _ in range(round(seconds / STEP_S)):
            self.now += STEP_S
            self._write(times)
            if away:
                self._queue.clear()
                self._on_its_way.clear()
            longest_s = max(longest_s, self._serve())
            for number, client in enumerate(self._clients):
                if client.next_wakeup() <= self.now:
                    client.tick(self.now)
                acked += sum(isinstance(event, Acked) for event in client.events())
                for frame in map(f.decode_client, client.frames()):
                    if isinstance(frame, f.Send):
                        self._arrived(number, frame)
        return Seen(acked / seconds, longest_s, self.admission.refused - refused_before)

    def _write(self, times: float) -> None:
        self._due += times * CAPACITY * STEP_S
        while self._due >= 1:
            self._due -= 1
            number = self._rng.randrange(len(self._clients))
            if not self._clients[number].untold:  # it writes no more while one waits
                self._clients[number].submit(number, b"hello", self.now)

    def _arrived(self, number: int, frame: f.Send) -> None:
        if retry_after_s := self.admission.refuses(0, self.now):
            refused = f.Refused(frame.conv, frame.client_seq, f.busy(retry_after_s))
            self._clients[number].receive(f.encode(refused), self.now)
        else:
            self.admission.passed_on(0, (number, frame.client_seq), self.now)
            self._queue.append((number, frame, self.now))

    def _serve(self) -> float:
        """Answer what is due; returns the longest time that one of these took."""
        self._free, longest_s = min(self._free + CAPACITY * STEP_S, 1.0 + CAPACITY * STEP_S), 0.0
        while self._queue and self._free >= 1:
            self._free -= 1
            self._on_its_way.append((self.now + self.delay_s, *self._queue.popleft()))
        while self._on_its_way and self._on_its_way[0][0] <= self.now:
            _, number, send, since = self._on_its_way.popleft()
            self.admission.answered(0, (number, send.client_seq), self.now)
            self._clients[number].receive(f.encode(f.Ack(send.conv, send.client_seq, send.client_seq)), self.now)
            longest_s = max(longest_s, self.now - since)
        return longest_s


def test_three_times_what_is_carried_is_refused_down_to_what_is_carried_in_time() -> None:
    service = Service(Admission(1))
    service.run(0.5, 3)
    seen = service.run(3, 10)
    assert seen.answered_per_s >= 0.9 * CAPACITY
    assert seen.longest_s < 1.0
    assert seen.refused


def test_without_admission_the_queue_grows_but_clients_that_wait_longer_keep_it_useful() -> None:
    service = Service(TakesAll(1))
    service.run(0.5, 3)
    seen = service.run(3, 10)
    assert seen.longest_s > FORGET_S
    assert seen.answered_per_s >= 0.9 * CAPACITY, "most of the queue is repetitions"


@pytest.mark.parametrize(("asked", "wait_s", "taken"), [
    (MANY, MANY_WAIT.soon_s - 0.02, True), (MANY, MANY_WAIT.soon_s + MANY_WAIT.hold_s + 0.02, False),
    (MANY - 1, MANY_WAIT.soon_s + MANY_WAIT.hold_s + 0.02, True), (MANY - 1, FEW_WAIT.soon_s + 0.4, False),
])  # fmt: skip
def test_a_queue_of_many_is_held_shorter_than_one_of_few(asked: int, wait_s: float, taken: bool) -> None:
    admission, per_s = Admission(1), asked / wait_s
    for number in range(round(per_s)):  # the rate of the last second
        admission.passed_on(0, (number, 0), 5.0)
        admission.answered(0, (number, 0), 5.0)
    fill(admission, asked, 5.0)
    assert (admission.refuses(0, 5.0 + OLD_S + 0.01) == 0) == taken


def test_what_is_carried_is_not_refused() -> None:
    seen = Service(Admission(1)).run(0.8, 10)
    assert seen.refused == 0
    assert seen.answered_per_s == pytest.approx(0.8 * CAPACITY, rel=0.1)


@pytest.mark.parametrize("delay_s", [0.3, 1.0])
def test_a_service_that_is_slow_without_a_queue_carries_as_much(delay_s: float) -> None:
    service = Service(Admission(1), delay_s=delay_s)
    service.run(0.5, 6)
    seen = service.run(0.8, 8)
    assert seen.answered_per_s >= 0.9 * 0.8 * CAPACITY, seen
    seen = service.run(3, 10)
    assert seen.answered_per_s >= 0.85 * CAPACITY, seen


def test_a_service_that_becomes_slow_under_overload_goes_on() -> None:
    service = Service(Admission(1))
    service.run(0.5, 3)
    service.run(3, 5)
    service.delay_s = 1.2
    service.run(3, 10)
    assert service.run(3, 10).answered_per_s >= 3 * SPARE / service.delay_s


def test_after_an_outage_all_is_soon_as_before() -> None:
    service = Service(Admission(1))
    service.run(0.5, 3)
    service.run(0.5, 6, away=True)
    service.run(0.5, 8)
    seen = service.run(0.5, 8)
    assert (seen.refused, seen.answered_per_s) == (0, pytest.approx(0.5 * CAPACITY, rel=0.1))
    assert seen.longest_s < 0.3


def test_after_an_overload_all_is_soon_as_before() -> None:
    service = Service(Admission(1))
    service.run(0.5, 3)
    service.run(3, 10)
    service.run(0.5, 20)
    seen = service.run(0.5, 8)
    assert (seen.refused, seen.answered_per_s) == (0, pytest.approx(0.5 * CAPACITY, rel=0.1))
    assert seen.longest_s < 0.3


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
    assert admission.refuses(0, later) == UNKNOWN_S
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
    fill(admission, SPARE - 1, 5.0)
    assert admission.refuses(0, 6.0) == 0


def test_an_answer_that_nobody_waits_for_changes_nothing() -> None:
    admission = Admission(1)
    admission.answered(0, (1, 1), 5.0)
    assert admission.waiting == 0


def test_a_gateway_that_is_late_itself_takes_one_of_a_partition_at_a_time() -> None:
    admission = Admission(2)
    fill(admission, 1, 5.0)
    admission.ticked(6.0)
    assert admission.refuses(0, 5.0) == 0, "it was stopped, and has caught up"
    admission.ticked(0.7)
    assert admission.refuses(0, 5.0) == 0.7
    assert admission.refuses(1, 5.0) == 0, "on a machine that others use it is late all the time"
    admission.answered(0, (0, 1), 5.0)
    assert admission.refuses(0, 5.0) == 0
    fill(admission, 1, 5.0)
    admission.ticked(0.01)
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
