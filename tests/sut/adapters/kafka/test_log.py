"""What only the log on Kafka has: links to brokers, answers that are lost, zombies, and how far a log was stored."""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest
from aiokafka.protocol.admin import CreateTopicsRequest

from sut.adapters.kafka import fetch as kafka_fetch
from sut.adapters.kafka import topics as kafka_topics
from sut.adapters.kafka.cluster import META, KafkaCluster
from sut.adapters.kafka.log import KafkaLog
from sut.adapters.kafka.map import Place
from sut.adapters.sqlite.store import SqliteStore
from sut.ports import ConversationWrite, Kind, LogRecord, Registry, Unavailable
from sut.services.sequencer import rule
from sut.services.sequencer.emitter import Emitter
from sut.services.sequencer.worker import PartitionWorker
from tests.kit.pace import scaled
from tests.kit.waits import until
from tests.sut.adapters.kafka_system import PARTITIONS, KafkaSystem, beside, ways

CONV = 11
GIVEN_UP_S = 0.5
"""After an append was Unavailable, its last attempt is over."""


def create() -> LogRecord:
    return LogRecord(Kind.CREATE, CONV, 1, 0, 0, b"g", (1, 2, 3), None)


def message(user: int, client_seq: int) -> LogRecord:
    return LogRecord(Kind.MESSAGE, CONV, user, user * 10, client_seq, b"%d" % client_seq, (), None)


async def again(action: Callable[[], Awaitable[object]], *, timeout_s: float) -> None:
    """Until it succeeds."""
    async with asyncio.timeout(scaled(timeout_s)):
        while True:
            with contextlib.suppress(Unavailable):
                await action()
                return
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("replicas", "settings", "told"),
    [
        (3, {"retention.ms": "1000"}, "has retention.ms=1000, not -1"),
        (3, {}, r"has (min\.insync\.replicas|retention\.ms)="),
        (1, {}, "has 1 replicas, not 3"),
    ],
)
async def test_a_topic_that_somebody_made_otherwise_is_refused(
    kafka_system: KafkaSystem, replicas: int, settings: dict[str, str], told: str
) -> None:
    topic = kafka_system.new_topic()
    wanted = kafka_topics.records_topic(topic, PARTITIONS).settings if settings else {}
    made = [(topic, PARTITIONS, replicas, [], list({**wanted, **settings}.items()))]
    direct = {address: address for address in kafka_system.addresses.values()}
    cluster = KafkaCluster(direct, (topic,), client_id="an operator")
    answer = await cluster.ask(next(iter(direct)), CreateTopicsRequest(made, 5_000, False), lane=META, timeout_s=10.0)
    assert [error for _, error, _ in answer.topic_errors] == [0]
    await cluster.close()
    async with kafka_system.log(topic, deadline_s=scaled(20.0), ready=False) as log:
        with pytest.raises(Unavailable, match=f"kafka: topic {topic} {told}"):
            await log.end(0)


async def test_brokers_are_dialed_where_their_links_are(kafka_system: KafkaSystem) -> None:
    """Of three brokers one is behind its link and two are where nobody listens: the first still names all three."""
    topic = kafka_system.new_topic()
    async with kafka_system.log(topic) as log:
        await log.append(0, [create()])
    leaders = kafka_system.view(topic).leaders
    there = leaders[0]
    async with ways(kafka_system) as links:
        nowhere = dict.fromkeys(kafka_system.addresses.values(), ("127.0.0.1", 1))
        dialed = nowhere | {kafka_system.addresses[there]: links[there].address}
        async with kafka_system.log(topic, dialed=dialed, deadline_s=1.0) as log:
            assert len(await log.read(0, 0, 10)) == 1
            elsewhere = next(partition for partition, leader in leaders.items() if leader != there)
            with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1"):
                await log.append(elsewhere, [create()])
            links[there].hold()
            with pytest.raises(Unavailable):
                await log.read(0, 1, 10)


async def test_a_reader_is_back_within_a_second_of_the_heal(kafka_system: KafkaSystem) -> None:
    async with beside(kafka_system) as (_, direct, log, links):
        [first] = await direct.append(0, [create()])
        assert [item.offset for item in await log.read(0, 0, 10)] == [first]
        for link in links:
            link.hold()
        [second] = await direct.append(0, [message(1, 1)])
        for _ in range(2):
            with pytest.raises(Unavailable):
                await log.read(0, first, 10)
        for link in links:
            link.restore()
        async with asyncio.timeout(1.5):
            while True:
                with contextlib.suppress(Unavailable):
                    if found := await log.read(0, first, 10):
                        break
        assert [item.offset for item in found] == [second]


async def test_what_landed_without_an_answer_and_came_again_is_numbered_once(kafka_system: KafkaSystem) -> None:
    """The answer to an append is lost; the device repeats it through another process; more copies land late."""
    async with beside(kafka_system) as (_, other, log, links):
        await log.append(0, [create(), message(1, 1)])
        for link in links:
            link.hold(requests=False)
        with pytest.raises(Unavailable):
            await log.append(0, [message(1, 2), message(2, 1)])
        for link in links:
            link.restore()
        await again(lambda: log.append(0, [message(3, 1)]), timeout_s=5.0)
        for link in links:
            link.hold()
        with pytest.raises(Unavailable):
            await log.append(0, [message(1, 2), message(2, 1)])  # on its way when the link is cut: lands late
        await asyncio.sleep(GIVEN_UP_S)
        await other.append(0, [message(1, 2), message(2, 1)])
        await other.append(0, [message(1, 3)])
        for link in links:
            link.pass_new()
        await again(lambda: log.append(0, [message(2, 2)]), timeout_s=5.0)
        for link in links:
            link.restore()
        sent: list[LogRecord] = []
        async with asyncio.timeout(scaled(5.0)):
            while sent.count(message(1, 2)) < 3 or sent[-1] != message(2, 1):
                found = await other.read(0, 0, 100)
                sent = [item.record for item in found]
        assert sent.index(message(2, 2)) < len(sent) - 2, "the test is about what lands late"
        state, numbered = None, []
        for item in found:
            state, outcome = rule.apply(state, item.offset, item.record, group_cap=500)
            if isinstance(outcome, rule.Sequenced):
                numbered.append((outcome.message.device, outcome.message.client_seq))
        assert sorted(numbered) == [(10, 1), (10, 2), (10, 3), (20, 1), (20, 2), (30, 1)]
        for device in (10, 20):
            mine = [client_seq for sender, client_seq in numbered if sender == device]
            assert mine == sorted(mine)


async def test_an_append_larger_than_a_batch_lands_in_order(kafka_system: KafkaSystem) -> None:
    records = [LogRecord(Kind.MESSAGE, n, 7, 1, n, b"x" * 16_000, (), None) for n in range(200)]
    async with kafka_system.log(kafka_system.new_topic()) as log:
        offsets = await log.append(1, records)
        found = await log.read(1, 0, 100)
        while len(found) < len(records):
            found += await log.read(1, found[-1].offset, 100)
        assert [(item.offset, item.record) for item in found] == list(zip(offsets, records, strict=True))


async def test_a_partition_that_failed_goes_on_and_never_another(kafka_system: KafkaSystem) -> None:
    """Ten times its leader's answers are lost; each time the next append works, and another leader's all the while."""
    topic = kafka_system.new_topic()
    async with kafka_system.log(topic) as log:
        await log.append(0, [create()])
    leaders = kafka_system.view(topic).leaders
    elsewhere = next(partition for partition, leader in leaders.items() if leader != leaders[0])
    async with ways(kafka_system) as links:
        dialed = {kafka_system.addresses[node]: link.address for node, link in links.items()}
        async with kafka_system.log(topic, dialed=dialed, deadline_s=0.5) as log:
            await log.append(elsewhere, [create()])
            for n in range(10):
                links[leaders[0]].hold(requests=n % 2 == 0)
                with pytest.raises(Unavailable):
                    await log.append(0, [message(1, n)])
                await log.append(elsewhere, [message(1, n)])
                links[leaders[0]].restore()
                await again(lambda n=n: log.append(0, [message(2, n)]), timeout_s=3.0)
            confirmed = [item.record.client_seq for item in await log.read(0, 0, 500) if item.record.user == 2]
            assert list(dict.fromkeys(confirmed)) == list(range(10))


async def test_a_commit_that_lands_late_moves_nothing_back(kafka_system: KafkaSystem) -> None:
    """A zombie's, and a writer's own from before its link was cut."""
    async with beside(kafka_system) as (topic, zombie, owner, links):
        assert await zombie.committed(2) == 0
        await owner.commit(2, 5)
        for link in links:
            link.hold()
        with pytest.raises(Unavailable):
            await owner.commit(2, 7)
        await asyncio.sleep(GIVEN_UP_S)
        for link in links:
            link.pass_new()
        await again(lambda: owner.commit(2, 9), timeout_s=5.0)
        for link in links:
            link.restore()
        place = Place(f"{topic}-commits", 0)
        async with asyncio.timeout(scaled(5.0)):
            while await kafka_fetch.end(zombie._cluster, place, within_s=2.0) < 3:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await zombie.commit(2, 8)
        assert await owner.committed(2) == await zombie.committed(2) == 9
        async with kafka_system.log(topic) as successor:
            assert await successor.committed(2) == 9
        # As compaction will leave it: of each key the last value. The largest of them is still the largest.
        page = await kafka_fetch.fetch(zombie._cluster, place, 0, wait_s=0.0, within_s=2.0)
        values = [int.from_bytes(raw.value, "big") for raw in page.records]
        assert values == [5, 9, 7, 8], "the test is about low values that come last"
        assert max({raw.key: int.from_bytes(raw.value, "big") for raw in page.records}.values()) == 9


class NobodyOnline:
    """A registry in which no one has a route: this is about the store."""

    generation = 1
    certain_s = 0.0

    async def routes(self, users: Sequence[int]) -> dict[int, tuple[()]]:
        return {}


class Sleeper:
    """A process that is stopped at the worst moment: when it has computed its rows, or when it has stored them."""

    def __init__(self, store: SqliteStore, log: KafkaLog, *, before: str) -> None:
        self._store, self._log, self._before = store, log, before
        self.asleep, self.awake = asyncio.Event(), asyncio.Event()
        self.late_commits = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._store if hasattr(self._store, name) else self._log, name)

    async def write(self, partition: int, writes: Sequence[ConversationWrite]) -> None:
        if self._before == "store":
            self.asleep.set()
            await self.awake.wait()
        await self._store.write(partition, writes)

    async def commit(self, partition: int, offset: int) -> None:
        self.asleep.set()
        await self.awake.wait()
        await self._log.commit(partition, offset)
        self.late_commits += 1


@pytest.mark.parametrize("before", ["store", "commit"])
async def test_an_owner_that_was_stopped_and_wakes_up_late_does_no_harm(
    kafka_system: KafkaSystem, tmp_path: Path, before: str
) -> None:
    rng = random.Random(before)
    records = [create()]
    next_seq = dict.fromkeys((1, 2, 3), 0)
    for _ in range(120):
        user = rng.choice((1, 2, 3))
        next_seq[user] += rng.random() < 0.8  # else a repetition
        records.append(message(user, max(1, next_seq[user])))
    emitter = Emitter(registry(), {})
    topic = kafka_system.new_topic()
    async with kafka_system.log(topic) as log, kafka_system.log(topic) as zombies_log:
        store, zombies_store = SqliteStore(tmp_path, 1), SqliteStore(tmp_path, 1)
        sleeper = Sleeper(zombies_store, zombies_log, before=before)
        tasks = [asyncio.create_task(emitter.run())]

        def start(message_log: object, message_store: object) -> PartitionWorker:
            worker = PartitionWorker(
                0,
                message_log=message_log,
                store=message_store,
                emitter=emitter,
                group_cap=500,  # type: ignore[arg-type]
            )
            tasks.append(asyncio.create_task(worker.run()))
            return worker

        await log.append(0, records[:40])
        zombie = start(sleeper, sleeper)
        async with asyncio.timeout(scaled(10)):
            await sleeper.asleep.wait()
        await log.append(0, records[40:80])
        owner = start(log, store)
        await until(lambda: owner.committed >= 80)
        committed = await log.committed(0)
        await log.append(0, records[80:])  # both apply these, each in its own time
        zombie.poke()
        owner.poke()
        sleeper.awake.set()
        await until(lambda: sleeper.late_commits > 0 and owner.committed >= len(records))
        await until(lambda: zombie.committed >= len(records))
        assert await log.committed(0) >= committed
        assert await log.committed(0) == len(records)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

        state, expected = None, []
        for offset, record in enumerate(records, 1):
            state, outcome = rule.apply(state, offset, record, group_cap=500)
            if isinstance(outcome, rule.Sequenced):
                expected.append(outcome.message)
        assert await store.page(CONV, 0, 1_000) == expected
        image = await store.load(CONV)
        assert image is not None
        assert state is not None
        assert image.row == state.row()
        assert {mark.device: mark for mark in image.marks} == state.marks
        await store.close()
        await zombies_store.close()


def registry() -> Registry:
    return NobodyOnline()  # type: ignore[return-value]
