"""The stamps' file: what is in it, what a kill costs, and that nothing waits for the disk or fails because of it."""

import asyncio
import errno
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path

from sut.deploy.topology import Settings
from sut.process import trace as tracing
from sut.process.trace import OFF, RECORD, RECORD_SIZE, Hop, Trace, machine_id, open_trace
from sut.protocol.frames import Ack, Entry, Message, Notify, encode
from tests.sut.gateway.world import topology


def stamps(path: Path) -> list[tuple[int, ...]]:
    """device, client_seq, conv, seq, hop of each whole record; the times must rise."""
    data = path.read_bytes()
    records = list(RECORD.iter_unpack(data[: len(data) - len(data) % RECORD_SIZE]))
    assert [record[0] for record in records] == sorted(record[0] for record in records)
    return [record[1:] for record in records]


def traced(
    path: Path, work: Callable[[Trace], Coroutine[None, None, None]], *, every: int = 1
) -> list[tuple[int, ...]]:
    async def live() -> None:
        trace = Trace(path, every=every)
        await work(trace)
        await trace.close()

    asyncio.run(live())
    return stamps(path)


def test_stamps_are_in_the_file_with_the_time_of_the_runs_clock(tmp_path: Path, monkeypatch) -> None:
    offset_ns = 1_700_000_000_000_000_000
    monkeypatch.setenv("PETREL_CLOCK_OFFSET_NS", str(offset_ns))

    async def live() -> None:
        trace = open_trace(topology(tmp_path), "chat-1")
        assert trace.every == Settings().trace_every == 16
        trace.message(Hop.TAKEN, 1, 15)
        trace.message(Hop.TAKEN, 1, 16)
        trace.message(Hop.APPLIED, 2, 14, 1 << 63, (1 << 48) - 1)
        await trace.close()

    before = time.monotonic_ns()
    asyncio.run(live())
    path = tmp_path / "metrics" / "trace-chat-1.bin"
    assert stamps(path) == [
        (machine_id(), 16, 0, 0, Hop.START),
        (1, 15, 0, 0, Hop.TAKEN),
        (2, 14, 1 << 63, (1 << 48) - 1, Hop.APPLIED),
    ]
    for t, *_ in RECORD.iter_unpack(path.read_bytes()):
        assert before <= t - offset_ns <= time.monotonic_ns()


def test_what_was_delivered_is_stamped_by_its_kind(tmp_path: Path) -> None:
    async def work(trace: Trace) -> None:
        trace.delivered(encode(Notify((Entry(7, 9, 0),))), trace.now_ns())
        trace.delivered(encode(Message(7, 10, 0, 1, 1, 3, b"x")), trace.now_ns())
        trace.delivered(encode(Message(7, 11, 0, 1, 1, 4, b"x")), trace.now_ns())
        trace.delivered(encode(Ack(7, 1, 9)), trace.now_ns())

    found = traced(tmp_path / "t.bin", work, every=4)
    assert found[1:] == [(0, 0, 7, 9, Hop.TOLD), (0, 0, 7, 10, Hop.SENT)]


def test_stamps_are_written_soon_and_without_a_close(tmp_path: Path) -> None:
    async def work(trace: Trace) -> None:
        trace.stamp(Hop.TAKEN, device=5)
        await asyncio.sleep(2 * tracing.FLUSH_S)
        assert stamps(tmp_path / "t.bin")[-1] == (5, 0, 0, 0, Hop.TAKEN)

    traced(tmp_path / "t.bin", work)


def test_a_new_life_drops_what_the_old_one_left_half_written(tmp_path: Path) -> None:
    path = tmp_path / "t.bin"

    async def work(trace: Trace) -> None:
        trace.stamp(Hop.TAKEN, device=5)

    traced(path, work)
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:17])
    found = traced(path, work)
    assert [record[-1] for record in found] == [Hop.START, Hop.TAKEN, Hop.START, Hop.TAKEN]
    assert path.stat().st_size == 4 * RECORD_SIZE


def test_a_disk_that_takes_nothing_holds_up_nobody_and_costs_stamps_only(tmp_path: Path, monkeypatch) -> None:
    free = threading.Event()
    write = tracing._write

    def slow(fd: int, data: bytes) -> None:
        free.wait(20)
        write(fd, data)

    monkeypatch.setattr(tracing, "_write", slow)
    monkeypatch.setattr(tracing, "FLUSH_S", 0.01)
    monkeypatch.setattr(tracing, "MAX_BUFFERED", 100 * RECORD_SIZE)

    async def work(trace: Trace) -> None:
        await asyncio.sleep(0.05)  # START is being written, for as long as the disk likes
        begun = time.monotonic()
        for device in range(150):
            trace.stamp(Hop.TAKEN, device=device)
            await asyncio.sleep(0)
        assert time.monotonic() - begun < 5
        assert trace.dropped == 50
        await asyncio.sleep(0.05)
        free.set()
        await asyncio.sleep(0.2)
        assert len(stamps(tmp_path / "t.bin")) == 101, "what waited is written once the disk goes on, unasked"
        trace.stamp(Hop.TAKEN, device=150)

    found = traced(tmp_path / "t.bin", work)
    assert [record[0] for record in found[1:]] == [*range(100), 150]


def test_a_file_that_cannot_be_opened_ends_the_tracing_and_nothing_else(tmp_path: Path, caplog) -> None:
    (tmp_path / "file").write_text("")

    async def live() -> None:
        trace = Trace(tmp_path / "file" / "t.bin", every=1)
        assert trace.every == 0
        trace.stamp(Hop.TAKEN, device=1)
        await trace.close()

    asyncio.run(live())
    assert "no more tracing" in caplog.text


def test_a_full_disk_ends_the_tracing_and_nothing_else(tmp_path: Path, monkeypatch, caplog) -> None:
    write = tracing._write

    def full(fd: int, data: bytes) -> None:
        write(fd, data[:-20])
        raise OSError(errno.ENOSPC, "No space left on device")

    async def work(trace: Trace) -> None:
        await asyncio.sleep(2 * tracing.FLUSH_S)
        monkeypatch.setattr(tracing, "_write", full)
        trace.stamp(Hop.TAKEN, device=1)
        trace.stamp(Hop.TAKEN, device=2)
        await asyncio.sleep(2 * tracing.FLUSH_S)
        assert trace.every == 0
        trace.stamp(Hop.TAKEN, device=3)

    found = traced(tmp_path / "t.bin", work)
    assert [record[-1] for record in found] == [Hop.START, Hop.TAKEN]
    assert "No space left on device" in caplog.text


def test_a_file_has_an_end(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(tracing, "MAX_FILE", 10 * RECORD_SIZE)
    monkeypatch.setattr(tracing, "FLUSH_S", 0.01)

    async def work(trace: Trace) -> None:
        for device in range(40):
            trace.stamp(Hop.TAKEN, device=device)
            await asyncio.sleep(0.02)
        assert trace.every == 0

    assert 5 <= len(traced(tmp_path / "t.bin", work)) <= 10


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_off_is_off(tmp_path: Path) -> None:
    OFF.stamp(Hop.TAKEN, device=16)
    OFF.message(Hop.TAKEN, 8, 8)
    assert OFF.dropped == 0

    async def live() -> None:
        trace = open_trace(topology(tmp_path, trace_every=0), "gateway-1")
        trace.stamp(Hop.TAKEN, device=16)
        await trace.close()

    before = open_files()
    asyncio.run(live())
    assert open_files() == before
    assert not (tmp_path / "metrics").exists()
