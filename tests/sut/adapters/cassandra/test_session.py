"""The store while there is no Cassandra: in time, bounded, and gone when it is closed."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from sut.adapters.cassandra import session as cassandra_session
from sut.adapters.cassandra.opening import Home
from sut.adapters.cassandra.rows import BUCKET_ROWS, batches, bucket_of, fills, last_of, opens_bucket
from sut.adapters.cassandra.schema import Binding, columns_of, statements
from sut.adapters.cassandra.store import CassandraStore
from sut.ports import ConversationRow, ConversationWrite, StoredMessage, Unavailable
from tests.kit.waits import until

NOBODY = ("127.0.0.1", 1)


@contextlib.contextmanager
def silent_node() -> Iterator[tuple[str, int]]:
    """What a stopped node looks like: connections are accepted and nothing comes."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()


def store_at(address: tuple[str, int], *, deadline_s: float) -> CassandraStore:
    binding = Binding(keyspace="petrel", log_id="log", partitions=4, creates=False)
    return CassandraStore(Home({address: address}, binding), deadline_s=deadline_s)


@contextlib.asynccontextmanager
async def _waiting(store: CassandraStore, calls: int) -> AsyncIterator[list[asyncio.Task[object]]]:
    tasks: list[asyncio.Task[object]] = [asyncio.create_task(store.page(5, 0, 1)) for _ in range(calls)]
    await asyncio.sleep(0.05)
    try:
        yield tasks
    finally:
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_nobody_listens() -> None:
    store = store_at(NOBODY, deadline_s=0.4)
    begun = time.monotonic()
    with pytest.raises(Unavailable, match=r"no answer in 0.4 s \(no node can be asked \(127.0.0.1:1: .*refused"):
        await store.load(5)
    assert 0.4 <= time.monotonic() - begun < 1.0
    await store.close()


async def test_a_node_accepts_and_says_nothing() -> None:
    with silent_node() as address:
        store = store_at(address, deadline_s=0.4)
        begun = time.monotonic()
        with pytest.raises(Unavailable, match=r"no answer in 0.4 s"):
            await store.page(5, 0, 10)
        assert time.monotonic() - begun < 1.0
        await store.close()
        assert time.monotonic() - begun < 1.0


async def test_closing_ends_what_waits_at_once() -> None:
    with silent_node() as address:
        store = store_at(address, deadline_s=30.0)
        async with _waiting(store, 100) as tasks:
            begun = time.monotonic()
            await store.close()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert time.monotonic() - begun < 0.5
        assert all(isinstance(result, Unavailable) for result in results)
        with pytest.raises(Unavailable, match="closed"):
            await store.load(5)
        await store.close()


async def test_no_thread_outlives_a_closed_store() -> None:
    def driver_threads() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if not thread.name.startswith("asyncio_")]

    before = driver_threads()
    store = store_at(NOBODY, deadline_s=0.3)
    with pytest.raises(Unavailable):
        await store.load(5)
    await store.close()
    await until(lambda: not [thread for thread in driver_threads() if thread not in before], timeout_s=5.0)


async def test_one_call_that_is_given_up_leaves_the_others_alone() -> None:
    store = store_at(NOBODY, deadline_s=0.4)
    async with _waiting(store, 2) as (given_up, other):
        given_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await given_up
        with pytest.raises(Unavailable, match="no answer"):
            await other
    await store.close()


async def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cassandra_session, "MAX_WAITING", 10)
    store = store_at(NOBODY, deadline_s=0.4)
    async with _waiting(store, 10) as tasks:
        begun = time.monotonic()
        with pytest.raises(Unavailable, match="overloaded, 10 requests wait"):
            await store.page(5, 0, 1)
        assert time.monotonic() - begun < 0.1
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all("no answer" in str(result) for result in results)
    with pytest.raises(Unavailable, match="no answer"):
        await store.load(5)
    await store.close()


@pytest.mark.parametrize("keyspace", ["", "Petrel", "p; drop", "1p", "p" * 49])
def test_a_keyspace_that_is_none_is_refused(keyspace: str) -> None:
    with pytest.raises(ValueError, match="keyspace"):
        Binding(keyspace=keyspace, log_id="log", partitions=4, creates=False)


def test_the_schema_is_statements_without_comments() -> None:
    found = statements()
    assert [statement.split()[5] for statement in found] == [
        *("message", "membership", "cursor", "key_device", "one_time_prekey", "device_list"),
        *("full_bucket", "bucket_day", "retention"),
        *("receipt", "log_of_this_store", "device", "device_of_user", "push_address", "refuses_groups"),
    ]
    assert not any("--" in statement or ";" in statement for statement in found)


def test_the_columns_of_a_statement_are_read_with_their_types() -> None:
    found = {statement.split()[5]: columns_of(statement) for statement in statements()}
    assert found["bucket_day"] == {"partition": ("int", False), "day": ("bigint", False)}
    assert found["log_of_this_store"]["one"] == ("int", False)
    assert found["message"]["spans"] == ("map<frozen<tuple<bigint, bigint>>, bigint>", True)
    assert len(found["message"]) == 16


def write(first: int, last: int) -> ConversationWrite:
    messages = tuple(StoredMessage(seq, 0, 1, 1, seq, b"") for seq in range(first, last + 1))
    return ConversationWrite(ConversationRow(5, "g", 1, last, last), messages, (), ())


@pytest.mark.parametrize(
    ("first", "last", "opens", "shape"),
    [
        (1, 1, False, [("put_both",)]),
        (1, 0, False, [("put_state",)]),
        (1, 3, False, [("put_row", "put_row", "put_both")]),
        (1, 65, False, [("put_row",), ("put_row",) * 63 + ("put_both",)]),
        (BUCKET_ROWS - 1, BUCKET_ROWS - 1, False, [("put_both",)]),
        (BUCKET_ROWS, BUCKET_ROWS, True, [("put_newest",), ("put_both",)]),
        (BUCKET_ROWS - 1, BUCKET_ROWS + 1, True, [("put_row",), ("put_newest",), ("put_row", "put_both")]),
    ],
)
def test_batches(first: int, last: int, opens: bool, shape: list[tuple[str, ...]]) -> None:
    change = write(first, last)
    assert opens_bucket(change) == opens
    found = list(batches(change, opens=opens))
    assert [tuple(name for name, _ in batch.statements) for batch in found] == shape
    for batch in found:
        keys = {
            parameters[-3:-1] if name in ("put_row", "put_both") else parameters[-2:]
            for name, parameters in batch.statements
        }
        assert len(keys) == 1, "a batch is for one partition"


@pytest.mark.parametrize(
    ("first", "last", "full"),
    [
        (1, BUCKET_ROWS - 1, []),
        (BUCKET_ROWS - 1, BUCKET_ROWS, [0]),
        (BUCKET_ROWS, BUCKET_ROWS, [0]),  # the write before has filled it, and did not know that it was the last one
        (BUCKET_ROWS + 1, 2 * BUCKET_ROWS - 1, []),
        (BUCKET_ROWS + 1, 4 * BUCKET_ROWS, [1, 2, 3]),
        (BUCKET_ROWS + 1, BUCKET_ROWS, []),  # no rows: a change of the state alone
    ],
)
def test_a_write_fills_the_buckets_that_it_leaves_behind(first: int, last: int, full: list[int]) -> None:
    assert list(fills(write(first, last))) == full


def test_buckets_have_room_for_every_number() -> None:
    assert [bucket_of(seq) for seq in (1, BUCKET_ROWS - 1, BUCKET_ROWS, (1 << 63) - 1)] == [0, 0, 1, (1 << 51) - 1]
    assert last_of(0) == BUCKET_ROWS - 1
