"""The files' troubles: a full disk, damage, the wrong directory, a writer that holds on, readers that never stop."""

import asyncio
import fcntl
import itertools
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sut.adapters.sqlite.file import CHECKPOINT_PAGES, Damaged
from sut.adapters.sqlite.log import SqliteLog
from sut.adapters.sqlite.store import SqliteStore
from sut.ports import LogRecord, Unavailable
from tests.sut.adapters.test_log_contract import read_all, record

BODY = b"the body of the message that will be damaged"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB."""
    if os.geteuid() != 0:
        pytest.skip("a full disk needs a small file system, which only root can mount")
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)], check=False, capture_output=True, text=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"a full disk needs a small file system: {mounted.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def records(first: int, count: int) -> list[LogRecord]:
    return [record(n, body=b"x" * 400) for n in range(first, first + count)]


async def test_a_full_disk_refuses_and_keeps_what_it_has(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"\0" * 600_000)
    log = SqliteLog(small_disk, 1)
    acked = 0
    with pytest.raises(Unavailable, match=r"no space left|full") as refused:
        while acked < 20_000:
            await log.append(0, records(acked, 20))
            acked += 20
    assert not isinstance(refused.value, Damaged)
    assert acked > 0
    for _ in range(3):  # and it goes on to do so
        with pytest.raises(Unavailable, match=r"no space left|full"):
            await log.append(0, records(acked, 20))
    found = [item.record.client_seq for item in await read_all(log, 0)]
    assert found == list(range(acked))

    ballast.unlink()
    await log.append(0, records(acked, 20))
    await log.close()
    log = SqliteLog(small_disk, 1)
    assert [item.record.client_seq for item in await read_all(log, 0)] == list(range(acked + 20))
    await log.close()


async def make_log(directory: Path, *, count: int = 400) -> None:
    log = SqliteLog(directory, 1)
    await log.append(0, [record(n, body=BODY + b"%d" % n) for n in range(count)])
    await log.close()


async def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    await make_log(tmp_path)
    file = tmp_path / "log-00.db"
    file.write_bytes(b"\x13" * 8192)
    with pytest.raises(Damaged, match=r"log-00\.db: damaged"):
        SqliteLog(tmp_path, 1)


async def test_a_file_cut_short(tmp_path: Path) -> None:
    await make_log(tmp_path)
    os.truncate(tmp_path / "log-00.db", (tmp_path / "log-00.db").stat().st_size // 3)
    with pytest.raises(Damaged, match=r"log-00\.db: damaged"):
        await _open_and_read(tmp_path)


async def test_a_changed_byte_in_a_record_is_noticed(tmp_path: Path) -> None:
    await make_log(tmp_path)
    file = tmp_path / "log-00.db"
    data = file.read_bytes()
    place = data.index(BODY + b"123")
    file.write_bytes(data[:place] + b"T" + data[place + 1 :])
    with pytest.raises(Damaged, match=r"log-00\.db: damaged, record 124 does not have its checksum"):
        await _open_and_read(tmp_path)


async def _open_and_read(directory: Path) -> None:
    log = SqliteLog(directory, 1)
    try:
        await read_all(log, 0)
    finally:
        await log.close()


async def test_a_torn_tail_of_the_wal_is_left_out(tmp_path: Path) -> None:
    """What a crash in the middle of a write leaves: no commit was ever reported for it."""
    log = SqliteLog(tmp_path / "live", 1)
    await log.append(0, records(0, 50))
    copy = tmp_path / "crashed"
    copy.mkdir()
    for name in ("log-00.db", "log-00.db-wal"):
        (copy / name).write_bytes((tmp_path / "live" / name).read_bytes())
    await log.close()
    with (copy / "log-00.db-wal").open("ab") as wal:
        wal.write(os.urandom(10_000))
    log = SqliteLog(copy, 1)
    assert [item.record.client_seq for item in await read_all(log, 0)] == list(range(50))
    await log.append(0, records(50, 1))
    await log.close()


async def test_another_number_of_partitions_is_refused(tmp_path: Path) -> None:
    await SqliteLog(tmp_path, 4).close()
    with pytest.raises(Damaged, match="made for 4 partitions, not 8"):
        SqliteLog(tmp_path, 8)


async def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    await SqliteLog(tmp_path, 1).close()
    (tmp_path / "log-00.db").rename(tmp_path / "store-00.db")
    with pytest.raises(Damaged, match="not a file of this kind"):
        SqliteStore(tmp_path, 1)


def test_a_place_that_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="file/data"):
        SqliteLog(tmp_path / "file" / "data", 1)


async def test_a_writer_that_holds_on_costs_the_deadline_and_the_loop_nothing(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path, 2, deadline_s=0.4)
    ticks: list[float] = []

    async def tick() -> None:
        while True:
            ticks.append(time.monotonic())
            await asyncio.sleep(0.01)

    ticking = asyncio.create_task(tick())
    with (tmp_path / "log-00.db-lock").open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        began = time.monotonic()
        with pytest.raises(Unavailable, match="locked by another process"):
            await log.append(0, records(0, 1))
        assert 0.2 < time.monotonic() - began < 1.0
        await log.append(1, records(0, 1))  # the other partition has its own turn
    await log.append(0, records(1, 1))
    ticking.cancel()
    assert max(late - early for early, late in itertools.pairwise(ticks)) < 0.25
    assert [item.record.client_seq for item in await read_all(log, 0)] == [1]
    await log.close()


async def test_too_many_appends_are_refused_at_once(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path, 1, deadline_s=0.4)
    with (tmp_path / "log-00.db-lock").open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        appends = [asyncio.create_task(log.append(0, records(n, 1_000))) for n in range(14)]
        done, _ = await asyncio.wait(appends, timeout=0.2)
        assert done
        assert all("overloaded" in str(task.exception()) for task in done)
        await asyncio.wait(appends)
        assert all(isinstance(task.exception(), Unavailable) for task in appends)
    await log.close()


async def test_the_wal_stays_small_while_readers_never_stop(tmp_path: Path) -> None:
    log, reader = SqliteLog(tmp_path, 1), SqliteLog(tmp_path, 1)

    async def follow() -> int:
        seen = 0
        while seen < 40_000:
            page = await reader.read(0, seen, 500)
            seen = page[-1].offset if page else seen
        return seen

    following = asyncio.create_task(follow())
    for n in range(400):
        await log.append(0, records(n * 100, 100))
    assert await following == 40_000
    assert (tmp_path / "log-00.db-wal").stat().st_size < 3 * CHECKPOINT_PAGES * 4096
    assert (tmp_path / "log-00.db").stat().st_size > 16 << 20
    await reader.close()
    await log.close()
