"""A sequencer's worker on a real log and a real store: crashed at any moment, it ends with what the log says."""

from __future__ import annotations

import asyncio
import contextlib
import random
from pathlib import Path

import pytest

from sut.adapters.sqlite import backup
from sut.adapters.sqlite.log import SqliteLog
from sut.adapters.sqlite.store import SqliteStore
from sut.ports import Kind, LogRecord, Unavailable
from sut.services.sequencer import rule
from sut.services.sequencer import worker as worker_module
from sut.services.sequencer.emitter import Emitter
from sut.services.sequencer.worker import PartitionWorker
from sut.variants.commit_before_store import HastyWorker
from tests.defects.store_put_back.old_piece import Believing
from tests.kit.pace import scaled
from tests.kit.waits import until

CONVS = (11, 12, 13)


class NobodyOnline:
    """A registry in which no one has a route: this is about the store."""

    generation = 1
    certain_s = 0.0

    async def routes(self, users):
        return {}


def records(rng: random.Random, count: int) -> list[LogRecord]:
    made = [LogRecord(Kind.CREATE, conv, 1, 0, 0, b"g", (1, 2, 3), None) for conv in CONVS]
    next_seq = dict.fromkeys((1, 2, 3), 0)
    for _ in range(count):
        conv, user = rng.choice(CONVS), rng.choice((1, 2, 3))
        if rng.random() < 0.1:
            kind = rng.choice((Kind.ADD, Kind.REMOVE, Kind.ROLE))
            body = bytes([rng.randint(0, 2)]) if kind is Kind.ROLE else b""
            made.append(LogRecord(kind, conv, rng.choice((1, 2)), 0, 0, body, (rng.choice((2, 3, 4)),), None))
            continue
        if rng.random() < 0.8:
            next_seq[user] += 1
        client_seq = max(1, next_seq[user])
        made.append(LogRecord(Kind.MESSAGE, conv, user, user * 10, client_seq, b"%d" % client_seq, (), None))
    return made


def expected(log: list[LogRecord]) -> dict[int, list[tuple[int, int, bytes]]]:
    states: dict[int, rule.Conversation | None] = dict.fromkeys(CONVS)
    rows: dict[int, list[tuple[int, int, bytes]]] = {conv: [] for conv in CONVS}
    for offset, record in enumerate(log, 1):
        states[record.conv], outcome = rule.apply(states[record.conv], offset, record, group_cap=500)
        if isinstance(outcome, rule.Sequenced):
            rows[record.conv].append((outcome.message.seq, outcome.message.device, outcome.message.body))
    return rows


async def crash_through(directory: Path, seed: int, worker_class: type[PartitionWorker]) -> bool:
    """Feed a log to workers that are torn down at random moments; whether the store ends as the log says."""
    rng = random.Random(seed)
    log = records(rng, 300)
    message_log = SqliteLog(directory, 1)
    emitter = Emitter(NobodyOnline(), {})
    written = 0
    ended = False
    for _ in range(300):
        store = SqliteStore(directory, 1)
        worker = worker_class(0, message_log=message_log, store=store, emitter=emitter, group_cap=500)
        running = [asyncio.create_task(worker.run()), asyncio.create_task(emitter.run())]
        if written < len(log):
            size = rng.randint(1, 40)
            await message_log.append(0, log[written : written + size])
            written += size
            worker.poke()
            await asyncio.sleep(rng.uniform(0.0, 0.25))
        else:
            await message_log.append(0, log[-1:])  # a repeat: gives the last life something to commit
            end = await message_log.end(0)
            await until(lambda worker=worker, end=end: worker.committed >= end, 30)
            ended = True
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await store.close()
        if ended:
            break
    store = SqliteStore(directory, 1)
    found = {}
    for conv in CONVS:
        rows = await store.page(conv, 0, 10_000)
        found[conv] = [(row.seq, row.device, row.body) for row in rows]
    await store.close()
    await message_log.close()
    return found == expected(log)


@pytest.mark.parametrize("seed", range(5))
def test_crashed_at_any_moment_the_store_ends_as_the_log_says(tmp_path, seed):
    assert asyncio.run(crash_through(tmp_path, seed, PartitionWorker))


def test_the_same_crashes_show_the_variant_that_commits_first(tmp_path):
    """The test above can fail: this is how it does."""
    results = [asyncio.run(crash_through(tmp_path / str(seed), seed, HastyWorker)) for seed in range(2)]
    assert not any(results)


async def put_back(directory: Path, worker_class: type[PartitionWorker]) -> bool:
    """Work through a log, put the store back to a copy of half-way, and go on; whether it ends as the log says."""
    log = records(random.Random(7), 300)
    message_log, emitter = SqliteLog(directory, 1), Emitter(NobodyOnline(), {})

    async def life(upto: int) -> None:
        store = SqliteStore(directory, 1)
        worker = worker_class(0, message_log=message_log, store=store, emitter=emitter, group_cap=500)
        running = [asyncio.create_task(worker.run()), asyncio.create_task(emitter.run())]
        await message_log.append(0, log[await message_log.end(0) : upto])
        await until(lambda: worker.committed >= upto, scaled(30))
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await store.close()

    await life(100)
    backup.copy(directory, directory / "copy")
    await life(200)
    assert len(backup.rows(directory)) > len(backup.rows(directory / "copy"))
    backup.put_back(directory / "copy", directory)
    await life(len(log))
    store = SqliteStore(directory, 1)
    found = {conv: [(r.seq, r.device, r.body) for r in await store.page(conv, 0, 10_000)] for conv in CONVS}
    of_users = {user: await store.conversations_of(user, 0, 10) for user in (1, 2, 3)}
    await store.close()
    await message_log.close()
    return found == expected(log) and all(convs == list(CONVS) for convs in of_users.values())


def test_a_store_that_was_put_back_gets_the_rest_from_the_log(tmp_path):
    assert asyncio.run(put_back(tmp_path, PartitionWorker))


def test_the_old_worker_believed_the_commit_and_lost_them(tmp_path):
    """The test above can fail: this is how it does."""
    assert not asyncio.run(put_back(tmp_path, Believing))


async def two_at_once(directory: Path, seed: int) -> bool:
    """As above with two workers of one partition, each torn down at moments of its own."""
    rng = random.Random(seed)
    log = records(rng, 300)
    message_log = SqliteLog(directory, 1)
    emitter = Emitter(NobodyOnline(), {})
    emitting = asyncio.create_task(emitter.run())
    store = SqliteStore(directory, 1)
    done = asyncio.Event()

    async def lives(life: random.Random) -> None:
        while not done.is_set():
            worker = PartitionWorker(0, message_log=message_log, store=store, emitter=emitter, group_cap=500)
            running = asyncio.create_task(worker.run())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(done.wait(), life.uniform(0.0, 0.6))
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    owners = [asyncio.create_task(lives(random.Random(f"{seed} {place}"))) for place in range(2)]
    written = 0
    while written < len(log):
        size = rng.randint(1, 20)
        await message_log.append(0, log[written : written + size])
        written += size
        await asyncio.sleep(rng.uniform(0.0, 0.15))
    done.set()
    await asyncio.gather(*owners)
    last = PartitionWorker(0, message_log=message_log, store=store, emitter=emitter, group_cap=500)
    running = asyncio.create_task(last.run())
    await message_log.append(0, log[-1:])
    end = await message_log.end(0)
    await until(lambda: last.committed >= end, 30)
    for task in (running, emitting):
        task.cancel()
    await asyncio.gather(running, emitting, return_exceptions=True)
    found = {conv: [(r.seq, r.device, r.body) for r in await store.page(conv, 0, 10_000)] for conv in CONVS}
    await store.close()
    await message_log.close()
    return found == expected(log)


@pytest.mark.parametrize("seed", range(5))
def test_two_at_once_store_what_the_log_says(tmp_path, seed):
    """A sequencer that is back, and its understudy for a moment longer."""
    assert asyncio.run(two_at_once(tmp_path, seed))


class TricklingLog(SqliteLog):
    """Hands out one record a read, and now and then says that there is none yet: a log is free to."""

    reads = 0

    async def read(self, partition, after, limit):
        self.reads += 1
        return [] if self.reads % 3 == 1 else await super().read(partition, after, 1)


def test_it_has_caught_up_when_it_has_applied_what_was_there_when_it_started(tmp_path):
    async def follow() -> None:
        message_log, store, emitter = TricklingLog(tmp_path, 1), SqliteStore(tmp_path, 1), Emitter(NobodyOnline(), {})
        log = records(random.Random(1), 20)
        await message_log.append(0, log)
        worker = PartitionWorker(0, message_log=message_log, store=store, emitter=emitter, group_cap=500)
        running = [asyncio.create_task(worker.run()), asyncio.create_task(emitter.run())]
        seen = []
        async with asyncio.timeout(scaled(10)):
            while worker.applied < len(log):
                seen.append((worker.applied, worker.caught_up))
                worker.poke()
                await asyncio.sleep(0)
            await until(lambda: worker.caught_up)
        assert not any(caught_up for _, caught_up in seen)
        assert message_log.reads > len(log)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await store.close()
        await message_log.close()

    asyncio.run(follow())


def test_with_nothing_in_its_log_it_has_caught_up_at_once(tmp_path):
    async def follow() -> None:
        message_log, store, emitter = SqliteLog(tmp_path, 1), SqliteStore(tmp_path, 1), Emitter(NobodyOnline(), {})
        worker = PartitionWorker(0, message_log=message_log, store=store, emitter=emitter, group_cap=500)
        running = asyncio.create_task(worker.run())
        await until(lambda: worker.caught_up)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await store.close()
        await message_log.close()

    asyncio.run(follow())


class SlowToLoad(SqliteStore):
    """Takes its time to find a conversation."""

    loads = 0

    async def load(self, conv, *, confirmed=None):
        self.loads += 1
        image = await super().load(conv, confirmed=confirmed)
        await asyncio.sleep(0.2)
        return image


def test_what_is_asked_about_after_a_restart_is_loaded_once_and_never_over_what_was_applied_meanwhile(tmp_path):
    log = [LogRecord(Kind.CREATE, conv, 1, 0, 0, b"g", (1, 2), None) for conv in CONVS]
    message = LogRecord(Kind.MESSAGE, 11, 1, 10, 1, b"1", (), None)

    async def follow() -> None:
        message_log, store, emitter = SqliteLog(tmp_path, 1), SlowToLoad(tmp_path, 1), Emitter(NobodyOnline(), {})
        await message_log.append(0, log)

        def born() -> PartitionWorker:
            return PartitionWorker(0, message_log=message_log, store=store, emitter=emitter, group_cap=500)

        first = born()
        running = asyncio.create_task(first.run())
        await until(lambda: first.applied == len(log) and not first.unstored)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        worker = born()
        running = asyncio.create_task(worker.run())
        await until(lambda: worker.caught_up)
        store.loads = 0
        assert [worker.live(conv) for conv in (*CONVS, *CONVS)] == [None] * 6
        await asyncio.sleep(0.05)  # the loading is under way
        await message_log.append(0, [message])
        worker.poke()
        await until(lambda: worker.conversations == len(CONVS) and worker.applied)
        await asyncio.sleep(0.3)
        assert worker.live(11).state.head == 1
        assert [worker.live(conv).state.head for conv in (12, 13)] == [0, 0]
        assert store.loads == len(CONVS) + 1  # one more: for the message, which did not wait
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await store.close()
        await message_log.close()

    asyncio.run(follow())


class AwayStore(SqliteStore):
    """Takes no write until it is told to."""

    away = True

    async def write(self, partition, writes):
        if self.away:
            raise Unavailable("away")
        await super().write(partition, writes)


def test_while_the_store_is_away_the_log_waits_at_a_bound_in_bytes(tmp_path, monkeypatch):
    size, bound, at_once = 1_000, 10_000, 5
    monkeypatch.setattr(worker_module, "MAX_UNSTORED_BYTES", bound)
    monkeypatch.setattr(worker_module, "READ_LIMIT", at_once)
    log = [LogRecord(Kind.CREATE, 11, 1, 0, 0, b"g", (1, 2), None)]
    log += [LogRecord(Kind.MESSAGE, 11, 1, 10, seq, bytes(size), (), None) for seq in range(1, 101)]

    async def follow() -> None:
        message_log, store, emitter = SqliteLog(tmp_path, 1), AwayStore(tmp_path, 1), Emitter(NobodyOnline(), {})
        await message_log.append(0, log)
        worker = PartitionWorker(0, message_log=message_log, store=store, emitter=emitter, group_cap=500)
        running = asyncio.create_task(worker.run())
        await until(lambda: worker.applied * size > bound)
        await asyncio.sleep(0.5)
        assert worker.applied <= bound // size + 2 * at_once
        store.away = False
        await until(lambda: worker.applied == len(log) and not worker.unstored, scaled(10.0))
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await store.close()
        await message_log.close()

    asyncio.run(follow())
