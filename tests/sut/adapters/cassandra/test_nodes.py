"""The store on three real nodes of which some are killed or stopped. Each test leaves all of them well."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from sut.adapters.cassandra import probe as cql_probe
from sut.adapters.cassandra.policies import HEARTBEAT_TIMEOUT_S, WRITE_PATIENCE_S
from sut.adapters.cassandra.retention import DAY_S
from sut.adapters.cassandra.rows import BUCKET_ROWS
from sut.adapters.cassandra.schema import WrongLog
from sut.adapters.cassandra.session import MAX_IN_FLIGHT
from sut.adapters.cassandra.store import CassandraStore
from sut.ports import (
    ConversationImage,
    ConversationRow,
    ConversationWrite,
    SenderMark,
    Span,
    StoredMessage,
    Unavailable,
)
from tests.kit.pace import scaled
from tests.kit.waits import until
from tests.sut.adapters.cassandra_system import ONE, CassandraSystem

pytestmark = [pytest.mark.slow, pytest.mark.cluster, pytest.mark.timeout(300)]

DEADLINE_S = 4.0
"""Twice what services have: a machine that runs other tests too is slow, and that is not what these are about."""
SLACK_S = 2.0
CONV = 5
ASKED_FIRST = 2
"""The node whose token range CONV is in: the driver asks it before the others."""


@pytest.fixture
def nodes(cassandra_system: CassandraSystem) -> Iterator[CassandraSystem]:
    """Empty at the start, whole at the end."""
    cassandra_system.empty()
    try:
        yield cassandra_system
    finally:
        cassandra_system.heal()


def message(seq: int) -> StoredMessage:
    return StoredMessage(seq, 0, 7, 1, seq, b"body %d" % seq)


def messages(first: int, last: int) -> tuple[StoredMessage, ...]:
    return tuple(message(seq) for seq in range(first, last + 1))


def change(first: int, last: int, *, conv: int = CONV, spans: tuple[Span, ...] = ()) -> ConversationWrite:
    """Numbers first..last, as a sequencer at log offset last + 1 writes them; offset 1 created the conversation."""
    row = ConversationRow(conv, "g", 7, last, last + 1)
    return ConversationWrite(row, messages(first, last), spans, (SenderMark(1, last, last),))


CREATION = ConversationWrite(ConversationRow(CONV, "g", 7, 0, 1), (), (Span(7, 1), Span(8, 1)), ())


def image_at(last: int) -> ConversationImage:
    return ConversationImage(change(last, last).row, CREATION.spans, (SenderMark(1, last, last),))


class Work:
    """Writes number after number, and reads, until told to stop; each call is timed."""

    def __init__(self, store: CassandraStore) -> None:
        self._store = store
        self.confirmed = 0
        self.failures: list[float] = []
        """When calls ended as Unavailable, on time.monotonic."""
        self.longest_s = 0.0

    @contextlib.asynccontextmanager
    async def going_on(self) -> AsyncIterator[None]:
        stop = asyncio.Event()
        tasks = [asyncio.create_task(action(stop)) for action in (self._write, self._read)]
        try:
            yield
        finally:
            stop.set()
            await asyncio.gather(*tasks)

    async def _write(self, stop: asyncio.Event) -> None:
        await self._store.write(0, [CREATION])
        while not stop.is_set():
            with self._timed():
                await self._store.write(0, [change(self.confirmed + 1, self.confirmed + 3)])
                self.confirmed += 3

    async def _read(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            with self._timed():
                confirmed = self.confirmed
                page = await self._store.page(CONV, max(0, confirmed - 10), 20)
                assert page[: confirmed - max(0, confirmed - 10)] == list(
                    messages(max(0, confirmed - 10) + 1, confirmed)
                )
            await asyncio.sleep(0.005)

    @contextlib.contextmanager
    def _timed(self) -> Iterator[None]:
        begun = time.monotonic()
        try:
            yield
        except Unavailable:
            self.failures.append(time.monotonic())
        finally:
            self.longest_s = max(self.longest_s, time.monotonic() - begun)


async def everything(store: CassandraStore) -> list[StoredMessage]:
    found: list[StoredMessage] = []
    while page := await store.page(CONV, len(found), 2_000):
        found += page
    return found


@pytest.mark.parametrize("how", ["stopped", "killed"])
async def test_one_node_away_costs_no_message_and_no_deadline(nodes: CassandraSystem, how: str) -> None:
    async with nodes.opened(deadline_s=DEADLINE_S) as store:
        work = Work(store)
        async with work.going_on():
            await until(lambda: work.confirmed > 10)
            (nodes.pause if how == "stopped" else nodes.kill)(ASKED_FIRST)
            await asyncio.sleep(3.0)
            before, settled = work.confirmed, time.monotonic()
            await asyncio.sleep(2.0)
            assert work.confirmed > before + 20
        assert not [at for at in work.failures if at > settled]
        assert work.longest_s < DEADLINE_S + scaled(SLACK_S)
        if how == "stopped":
            assert work.longest_s > WRITE_PATIENCE_S, "nobody noticed: it was not asked first"
        assert store._session._places._value == MAX_IN_FLIGHT
        await asyncio.to_thread(nodes.heal)
        # Whatever two of the three say has it all; and the one that was away counts again.
        nodes.pause(0)
        async with nodes.opened(deadline_s=DEADLINE_S) as other:
            assert (await everything(other))[: work.confirmed] == list(messages(1, work.confirmed))
        nodes.resume(0)
        await work_again(store, work.confirmed)
        await asyncio.sleep(HEARTBEAT_TIMEOUT_S)  # what was on its way to the one that was away has ended
        assert store._session._places._value == MAX_IN_FLIGHT


async def work_again(store: CassandraStore, confirmed: int) -> None:
    """It takes writes and tells them."""
    async with asyncio.timeout(scaled(10.0)):
        await until_available(lambda: store.write(0, [change(confirmed + 1, confirmed + 1)]))
        assert (await until_available(lambda: store.page(CONV, confirmed, 1))) == [message(confirmed + 1)]


async def until_available(action: Callable[[], object]) -> object:
    while True:
        with contextlib.suppress(Unavailable):
            return await action()  # type: ignore[misc]
        await asyncio.sleep(0.1)


async def test_without_a_quorum_every_call_says_so_in_time_and_with_it_all_works_again(nodes: CassandraSystem) -> None:
    async with nodes.opened(deadline_s=DEADLINE_S) as store:
        await store.write(0, [change(1, 2)])
        nodes.pause(0, 2)

        async def unavailable(action: Callable[[], object]) -> None:
            begun = time.monotonic()
            with pytest.raises(Unavailable) as raised:
                await action()  # type: ignore[misc]
            assert "TypeError" not in str(raised.value)
            assert time.monotonic() - begun < DEADLINE_S + scaled(SLACK_S)

        for _ in range(3):
            await asyncio.gather(
                unavailable(lambda: store.write(0, [change(3, 3)])),
                unavailable(lambda: store.load(CONV)),
                unavailable(lambda: store.page(CONV, 0, 10)),
                unavailable(lambda: store.heads(7, [CONV])),
                unavailable(lambda: store.save_cursors([(1, CONV, 2)])),
            )
        nodes.resume(0, 2)
        await work_again(store, 2)
        await asyncio.sleep(DEADLINE_S)
        assert store._session._places._value == MAX_IN_FLIGHT


async def test_closing_in_the_middle_of_trouble(nodes: CassandraSystem) -> None:
    async with nodes.opened(deadline_s=scaled(10.0)) as store:
        nodes.pause(0, 2)
        calls = [asyncio.create_task(store.page(CONV, 0, 10)) for _ in range(3 * MAX_IN_FLIGHT)]
        await asyncio.sleep(0.5)
        begun = time.monotonic()
        closing = asyncio.create_task(store.close())
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert time.monotonic() - begun < scaled(SLACK_S)
        assert all(isinstance(result, Unavailable) for result in results)
        await closing
        assert time.monotonic() - begun < scaled(5.0)


async def test_all_nodes_killed_at_once_lose_nothing_confirmed(nodes: CassandraSystem) -> None:
    async with nodes.opened(deadline_s=DEADLINE_S) as store:
        work = Work(store)
        async with work.going_on():
            await until(lambda: work.confirmed > 30)
            nodes.kill(0, 1, 2)
        confirmed = work.confirmed
        await asyncio.to_thread(nodes.heal)
        async with asyncio.timeout(scaled(10.0)):
            found = await until_available(lambda: everything(store))
        assert found[:confirmed] == list(messages(1, confirmed))  # type: ignore[index]


async def test_an_owner_makes_durable_what_only_one_node_has(nodes: CassandraSystem) -> None:
    """Its predecessor's last write came to node 0 and no further. The owner sees it there; then node 0 goes.

    Node 1 may get the write by itself, as a hint or because its clock stood still: then this shows less. The model
    (test_cassandra_model.py) tries the same without luck.
    """
    async with nodes.opened(deadline_s=DEADLINE_S) as store, nodes.opened(dialed=nodes.via(0)) as predecessor:
        await predecessor.write(0, [CREATION])
        await predecessor.write(0, [change(1, 70)])
        nodes.pause(1, 2)
        with pytest.raises(Unavailable, match="timed out waiting for replica nodes"):
            await predecessor.write(0, [change(71, 130)])
        await asyncio.sleep(4.0)  # what lies in the sockets of 1 and 2 is too old for them by now
        nodes.resume(1)
        async with asyncio.timeout(scaled(10.0)):
            image = await until_available(lambda: store.load(CONV, confirmed=71))
        assert image == image_at(130)
        nodes.pause(0)
        assert await asyncio.to_thread(head_at, nodes, 1) == 130
        nodes.resume(2)
        async with asyncio.timeout(scaled(10.0)):
            assert await until_available(lambda: store.load(CONV)) == image
            assert await until_available(lambda: everything(store)) == list(messages(1, 130))


def head_at(nodes: CassandraSystem, node: int) -> int:
    """The head as this node has it: the others are stopped, and one is enough."""
    with contextlib.closing(nodes.cql(node)) as cql:
        ((head,),) = cql.run(f"SELECT DISTINCT head FROM petrel.message WHERE conv = {CONV} AND bucket = 0", ONE)
    assert isinstance(head, int)
    return head


async def test_a_zombie_changes_nothing_on_either_side_of_a_boundary(nodes: CassandraSystem) -> None:
    last = BUCKET_ROWS + 70
    async with nodes.opened(deadline_s=scaled(20.0)) as store, nodes.opened(deadline_s=scaled(20.0)) as zombie:
        await store.write(0, [CREATION])
        await store.write(0, [change(1, BUCKET_ROWS - 2)])
        assert await store.load(CONV) == image_at(BUCKET_ROWS - 2)
        await store.write(0, [change(BUCKET_ROWS - 1, last)])
        assert await store.load(CONV) == image_at(last)
        assert await store.heads(7, [CONV]) == {CONV: last}
        await store.write(0, [change(last + 1, last + 1, spans=(Span(8, 1, last + 1),))])
        image, found = await store.load(CONV), await everything(store)
        assert found == list(messages(1, last + 1))
        for late in (
            change(BUCKET_ROWS - 1, BUCKET_ROWS - 1),
            change(BUCKET_ROWS - 1, BUCKET_ROWS + 1, spans=(Span(8, 1),)),
            change(BUCKET_ROWS, last, spans=(Span(8, 1),)),
        ):
            await zombie.write(0, [late])
            assert await store.load(CONV) == image
            assert await store.heads(7, [CONV]) == {CONV: last + 1}
            assert await store.heads(8, [CONV]) == {CONV: last}
        assert await everything(store) == found
        assert await store.page(CONV, BUCKET_ROWS - 3, 5) == found[BUCKET_ROWS - 3 : BUCKET_ROWS + 2]


async def test_a_bucket_that_was_emptied_while_a_node_was_away_is_empty_for_all(nodes: CassandraSystem) -> None:
    now = [100.5 * DAY_S]
    last = BUCKET_ROWS + 10
    left = list(messages(BUCKET_ROWS, last))

    async with nodes.opened(deadline_s=scaled(20.0), wall_clock=lambda: now[0]) as store:
        await store.write(0, [CREATION])
        await store.write(0, [change(1, last)])
        nodes.kill(2)
        now[0] += 10 * DAY_S
        async with asyncio.timeout(scaled(30.0)):
            while await until_available(lambda: store.expire(0, 2 * DAY_S)):
                pass
            assert await until_available(lambda: store.page(CONV, 0, 100)) == left
            late = change(BUCKET_ROWS - 30, BUCKET_ROWS - 20)
            await until_available(lambda: store.write(0, [late]))
            assert await until_available(lambda: store.page(CONV, 0, 100)) == left
        await asyncio.to_thread(nodes.heal)
    for away in range(3):
        nodes.pause(away)
        async with nodes.opened(deadline_s=DEADLINE_S) as other, asyncio.timeout(scaled(30.0)):
            assert await until_available(lambda: other.page(CONV, 0, 100)) == left
            assert await until_available(lambda: other.page_before(CONV, last + 1, 100)) == left
            assert await until_available(lambda: other.load(CONV)) == image_at(last)
        nodes.resume(away)


async def test_a_keyspace_serves_one_log(nodes: CassandraSystem) -> None:
    store = nodes.store(log_id="another", deadline_s=scaled(20.0))
    with pytest.raises(WrongLog, match="belongs to log log of 4 partitions, not to another of 4"):
        await store.load(CONV)
    begun = time.monotonic()
    with pytest.raises(WrongLog):
        await store.write(0, [change(1, 1)])
    assert time.monotonic() - begun < scaled(0.1)
    await store.close()


async def test_who_comes_before_the_tables_waits_for_them(nodes: CassandraSystem) -> None:
    early = nodes.store(keyspace="later", creates=False, deadline_s=1.0)
    with pytest.raises(Unavailable, match=r"no answer in 1.0 s"):
        await early.load(CONV)
    creator, twin = (nodes.store(keyspace="later", deadline_s=scaled(60.0)) for _ in range(2))
    await asyncio.gather(creator.write(0, [change(1, 1)]), twin.load(CONV))
    async with asyncio.timeout(scaled(10.0)):
        assert await until_available(lambda: early.page(CONV, 0, 10)) == [message(1)]
    for store in (early, creator, twin):
        await store.close()
    with contextlib.closing(nodes.cql()) as cql:
        cql.run("DROP KEYSPACE later")


async def test_the_probe_tells_who_lives(nodes: CassandraSystem) -> None:
    hosts = {host for host, _ in nodes.addresses}
    first = cql_probe.view(nodes.addresses[0], 2.0)
    assert first.host == nodes.addresses[0][0]
    assert first.heartbeats.keys() == hosts
    assert cql_probe.replicas(nodes.addresses[0], 2.0) == cql_probe.Replicas(alive=3, required=3)
    nodes.pause(1)
    with pytest.raises(Unavailable):
        cql_probe.view(nodes.addresses[1], 0.3)
    await asyncio.sleep(1.0)
    first = cql_probe.view(nodes.addresses[0], 2.0)
    living = hosts - {nodes.addresses[1][0]}
    async with asyncio.timeout(scaled(15.0)):  # a heartbeat a second, on a busy machine later
        while not cql_probe.view(nodes.addresses[0], 2.0).heard_since(first) >= living:  # noqa: ASYNC110 (outside of here)
            await asyncio.sleep(0.5)
    assert cql_probe.view(nodes.addresses[0], 2.0).heard_since(first) == living
    assert cql_probe.replicas(nodes.addresses[0], 3.0) == cql_probe.Replicas(alive=2, required=3)
    nodes.resume(1)
    assert cql_probe.view(nodes.addresses[1], 2.0).heartbeats.keys() == hosts
