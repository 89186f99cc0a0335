"""The log on Kafka while brokers die, stop and come back: nothing confirmed is lost, order is kept, it goes on itself.

The bounds are about twice what was measured on two busy cores.
"""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import psutil
import pytest

from sut.adapters.kafka import probe as kafka_probe
from sut.adapters.kafka.log import MAX_WAITING_BYTES, KafkaLog
from sut.ports import Kind, Logged, LogRecord, Unavailable
from tests.kit.pace import scaled
from tests.kit.waits import until, wait_until
from tests.sut.adapters.kafka_system import PARTITIONS, KafkaSystem

pytestmark = [pytest.mark.slow, pytest.mark.cluster]

BACK_S = 8.0
"""From a broker's death or stop to the first append that is confirmed again."""
BACK_AFTER_HEAL_S = 10.0


def record(device: int, client_seq: int, size: int = 100) -> LogRecord:
    return LogRecord(Kind.MESSAGE, 1 << 40, 7, device, client_seq, b"." * size, (), None)


async def read_all(log: KafkaLog, partition: int) -> list[Logged]:
    """Up to the end as it is now."""
    end = await log.end(partition)
    found: list[Logged] = []
    while (position := found[-1].offset if found else 0) < end:
        found += await log.read(partition, position, 500)
    return found


class Devices:
    """One a partition: each sends a message after the other, each again until it is confirmed."""

    def __init__(self, log: KafkaLog) -> None:
        self._log = log
        self.confirmed: dict[int, dict[int, int]] = {partition: {} for partition in range(PARTITIONS)}
        """By partition: the offset of each client_seq."""
        self.last_s: dict[int, float] = {}
        self.failed = 0
        self.longest_call_s = 0.0

    async def run(self, partition: int) -> None:
        for n in itertools.count(1):
            while n not in self.confirmed[partition]:
                begun_s = time.monotonic()
                try:
                    [self.confirmed[partition][n]] = await self._log.append(partition, [record(partition + 1, n)])
                    self.last_s[partition] = time.monotonic()
                except Unavailable:
                    self.failed += 1
                    await asyncio.sleep(0.05)
                self.longest_call_s = max(self.longest_call_s, time.monotonic() - begun_s)
            await asyncio.sleep(0.005)

    async def until_all_confirmed_since(self, since_s: float, *, timeout_s: float) -> float:
        """How long it took from then until each partition confirmed again."""
        await until(lambda: len(self.last_s) >= PARTITIONS and min(self.last_s.values()) >= since_s, timeout_s)
        return time.monotonic() - since_s

    async def check(self, *logs: KafkaLog) -> None:
        """Every log reads the same, with all that was confirmed where it was confirmed, each sender in order."""
        for partition, confirmed in self.confirmed.items():
            found = await read_all(logs[0], partition)
            for other in logs[1:]:
                assert await read_all(other, partition) == found
            by_offset = {item.offset: item.record for item in found}
            for client_seq, offset in confirmed.items():
                assert by_offset[offset] == record(partition + 1, client_seq)
            first_seen = list(dict.fromkeys(item.record.client_seq for item in found))
            assert first_seen == list(range(1, len(first_seen) + 1))


@asynccontextmanager
async def sending(log: KafkaLog) -> AsyncIterator[Devices]:
    """Devices at work, all of them confirmed at least once."""
    devices = Devices(log)
    tasks = [asyncio.create_task(devices.run(partition)) for partition in range(PARTITIONS)]
    try:
        await devices.until_all_confirmed_since(0.0, timeout_s=20.0)
        yield devices
    finally:
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(result, asyncio.CancelledError), result


@pytest.mark.parametrize("how", ["kill leader", "pause leader", "kill controller"])
async def test_a_broker_that_goes_away_loses_nothing_and_costs_seconds(kafka_system: KafkaSystem, how: str) -> None:
    topic = kafka_system.new_topic()
    async with kafka_system.log(topic) as log, sending(log) as devices:
        controller = await asyncio.to_thread(kafka_system.controller)
        leaders = (await asyncio.to_thread(kafka_system.view, topic)).leaders
        assert controller is not None
        # A leader that is not the controller as well, where there is one.
        node = controller if "controller" in how else next(n for n in (*leaders.values(), 0) if n != controller)
        await asyncio.sleep(0.5)
        begun_s = time.monotonic()
        (kafka_system.pause if "pause" in how else kafka_system.kill)(node)
        try:
            # What was on its way may still come back in the first moment; the partitions it led may not.
            await asyncio.sleep(0.2)
            back_s = await devices.until_all_confirmed_since(time.monotonic(), timeout_s=BACK_S + 5)
            back_s = time.monotonic() - begun_s
            print(f"{how}: confirmed everywhere again after {back_s:.2f} s, {devices.failed} failed")
            view = await asyncio.to_thread(kafka_system.view, topic)
            assert node not in view.leaders.values()
            assert node not in view.node_ids
            assert await asyncio.to_thread(kafka_system.controller) != node
            with pytest.raises(Unavailable):
                await asyncio.to_thread(kafka_probe.view, kafka_system.addresses[node], 0.5, topic)
            await asyncio.sleep(0.5)
        finally:
            await asyncio.to_thread(kafka_system.heal)
        await devices.until_all_confirmed_since(time.monotonic(), timeout_s=BACK_AFTER_HEAL_S)
        assert back_s < scaled(BACK_S)
        assert devices.longest_call_s < scaled(3.5)
        sent = devices
    async with kafka_system.log(topic) as one, kafka_system.log(topic) as other:
        await sent.check(one, other)


async def test_without_a_majority_in_sync_nothing_is_confirmed_and_little_is_held(kafka_system: KafkaSystem) -> None:
    topic = kafka_system.new_topic()
    async with kafka_system.log(topic) as log:
        async with sending(log) as devices:
            before = {partition: len(confirmed) for partition, confirmed in devices.confirmed.items()}
            kafka_system.pause(2, 3)
            try:
                await asyncio.sleep(2.5)  # what was in sync is out
                stopped_s = time.monotonic()
                await asyncio.sleep(2.0)
                assert max(devices.last_s.values()) < stopped_s
                assert devices.longest_call_s < scaled(3.5)
                memory = psutil.Process().memory_info().rss
                floods = [asyncio.create_task(log.append(0, [record(99, n, size=16_000)])) for n in range(2_000)]
                done, waiting = await asyncio.wait(floods, timeout=1.0)
                assert len(waiting) <= MAX_WAITING_BYTES / 16_000
                assert all(isinstance(task.exception(), Unavailable) for task in done)
                assert "overloaded" in str(floods[-1].exception())
                assert psutil.Process().memory_info().rss - memory < 10 * MAX_WAITING_BYTES
                results = await asyncio.gather(*floods, return_exceptions=True)
                assert all(isinstance(result, Unavailable) for result in results)
            finally:
                healed_s = time.monotonic()
                await asyncio.to_thread(kafka_system.heal)
            await devices.until_all_confirmed_since(healed_s, timeout_s=BACK_AFTER_HEAL_S)
            print(f"confirmed everywhere again {max(devices.last_s.values()) - healed_s:.2f} s after the heal")
            assert all(len(devices.confirmed[p]) > before[p] for p in before)
            sent = devices
        async with kafka_system.log(topic) as other:
            found = [item for item in await read_all(other, 0) if item.record.device != 99]
            assert {item.record.client_seq for item in found} >= set(sent.confirmed[0])


async def test_a_log_is_opened_before_there_is_a_cluster(kafka_system: KafkaSystem) -> None:
    topic = kafka_system.new_topic()
    kafka_system.pause(1, 2, 3)
    try:
        async with kafka_system.log(topic, deadline_s=0.5, ready=False) as log:
            begun_s = time.monotonic()
            calls = (
                partial(log.append, 0, [record(1, 1)]),
                partial(log.read, 0, 0, 1),
                partial(log.end, 0),
                partial(log.committed, 0),
            )
            for call in calls:
                with pytest.raises(Unavailable, match=r"no connection|no broker has answered|no answer in"):
                    await call()
            assert time.monotonic() - begun_s < 4 * 0.5 + scaled(1.0)
            await asyncio.to_thread(kafka_system.heal)
            async with asyncio.timeout(scaled(BACK_AFTER_HEAL_S)):
                while True:
                    try:
                        assert await log.append(0, [record(1, 1)])
                        break
                    except Unavailable:
                        await asyncio.sleep(0.1)
    finally:
        await asyncio.to_thread(kafka_system.heal)


def test_the_probe_sees_what_is_there(kafka_system: KafkaSystem) -> None:
    async def make(topic: str) -> None:
        async with kafka_system.log(topic) as log:
            await log.append(0, [record(1, 1)])

    topic = kafka_system.new_topic()
    unknown = kafka_system.view(topic)
    assert unknown.node_ids == {1, 2, 3}
    assert (unknown.leaders, unknown.isr) == ({}, {})
    asyncio.run(make(topic))
    wait_until(lambda: kafka_system.whole(topic), timeout_s=10.0)
    for address in kafka_system.addresses.values():
        view = kafka_probe.view(address, 1.0, topic)
        assert view.node_ids == {1, 2, 3}
        assert set(view.leaders) == set(range(PARTITIONS))
        assert set(view.isr.values()) == set(view.replicas.values()) == {frozenset({1, 2, 3})}
    assert len({kafka_probe.controller(address, 1.0) for address in kafka_system.addresses.values()}) == 1
    with pytest.raises(Unavailable):
        kafka_probe.view(("127.0.0.1", 1), 0.5, topic)
