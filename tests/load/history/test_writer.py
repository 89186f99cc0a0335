"""The history survives what it is made for: SIGKILL of its writer at any moment, a torn tail, a full disk."""

import os
import random
import resource
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from load.history import writer as history
from load.history.events import DTYPE, RECORD_SIZE, Event, message_id
from load.history.writer import CHUNK_BYTES, HistoryError, HistoryTail, HistoryWriter

WRITER = textwrap.dedent("""
    import os, sys
    from pathlib import Path
    from load.history.events import Event
    from load.history.writer import HistoryWriter
    writer = HistoryWriter(Path(sys.argv[1]))
    count = 0
    while True:
        count += 1
        writer.append(Event.SEND, device=count, msg=count * 3, hash_=count * 7)
        os.write(1, count.to_bytes(8, "big"))  # said only after append returned
""")


def test_what_was_appended_survives_sigkill_of_the_writer(tmp_path: Path) -> None:
    rng = random.Random(5)
    for attempt in range(8):
        path = tmp_path / f"{attempt}.bin"
        with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            said = writer.stdout.read(8)
            time.sleep(rng.random() * 0.05)
            writer.send_signal(signal.SIGKILL)
            said += writer.stdout.read()
        claimed = int.from_bytes(said[len(said) // 8 * 8 - 8 : len(said) // 8 * 8], "big")
        tail = HistoryTail(path)
        records = tail.read()
        tail.close()
        assert claimed <= len(records) <= claimed + 2
        assert [record[2] for record in records] == list(range(1, len(records) + 1))
        assert all(record[4] == record[2] * 3 and record[6] == record[2] * 7 for record in records)


def test_numpy_reads_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    writer = HistoryWriter(path)
    writer.append(Event.ACK, t=5, due=4, device=3, conv=2, msg=message_id(3, 9), seq=1, hash_=6, arg=1)
    writer.close()
    (row,) = np.fromfile(path, dtype=DTYPE)
    assert row.tolist()[:9] == (5, 4, 3, 2, (3 << 32) + 9, 1, 6, Event.ACK, 1)


def test_a_tail_follows_a_growing_file_and_each_record_comes_once(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    writer = HistoryWriter(path)
    tail = HistoryTail(path)
    assert tail.read() == []
    seen = []
    for batch in (1, 0, 3000, 5):
        for _ in range(batch):
            writer.append(Event.WIRE, device=len(seen) + 1)
        fresh = tail.read()
        assert len(fresh) == batch
        seen += fresh
    writer.close()
    writer.close()
    assert tail.read() == []
    tail.close()
    assert path.stat().st_size == len(seen) * RECORD_SIZE


def test_a_torn_record_is_not_read_until_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    writer = HistoryWriter(path)
    for device in (1, 2, 3):
        writer.append(Event.SHOW, device=device)
    writer.close()
    whole = path.read_bytes()
    for cut in range(2 * RECORD_SIZE + 1, 3 * RECORD_SIZE):
        path.write_bytes(whole[:cut] + bytes(4 * RECORD_SIZE))
        tail = HistoryTail(path)
        assert [record[2] for record in tail.read()] == [1, 2]
        path.write_bytes(whole + bytes(2 * RECORD_SIZE))
        assert [record[2] for record in tail.read()] == [3]
        tail.close()


def test_the_file_grows_by_chunks(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    writer = HistoryWriter(path)
    per_chunk = CHUNK_BYTES // RECORD_SIZE
    for device in range(per_chunk + 1):
        writer.append(Event.WIRE, t=1, device=device)
    assert path.stat().st_size == 2 * CHUNK_BYTES
    writer.close()
    rows = np.fromfile(path, dtype=DTYPE)
    assert rows["device"].tolist() == list(range(per_chunk + 1))


FILLER = textwrap.dedent("""
    import resource, signal, sys
    from pathlib import Path
    from load.history import writer as history
    from load.history.events import RECORD_SIZE, Event
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limit = history.CHUNK_BYTES + history.CHUNK_BYTES // 2
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    writer = history.HistoryWriter(Path(sys.argv[1]))
    written = 0
    errors = set()
    for _ in range(history.CHUNK_BYTES // RECORD_SIZE + 3):
        try:
            writer.append(Event.SEND, t=1, device=1)
            written += 1
        except history.HistoryError as error:
            errors.add(str(error))
    writer.close()
    assert len(errors) == 1, errors
    print(written, errors.pop())
""")


def test_a_full_disk_is_one_clear_error_and_loses_nothing_that_was_appended(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    done = subprocess.run([sys.executable, "-c", FILLER, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    written, _, error = done.stdout.strip().partition(" ")
    assert int(written) == CHUNK_BYTES // RECORD_SIZE
    assert error == f"{path}: {os.strerror(27)}"  # EFBIG: what the limit of this test answers instead of ENOSPC
    assert len(np.fromfile(path, dtype=DTYPE)) == int(written)


def test_a_history_is_never_written_over(tmp_path: Path) -> None:
    HistoryWriter(tmp_path / "a.bin").close()
    with pytest.raises(HistoryError, match=r"a\.bin: File exists"):
        HistoryWriter(tmp_path / "a.bin")
    with pytest.raises(HistoryError, match="No such file"):
        HistoryWriter(tmp_path / "missing" / "a.bin")


def test_an_append_costs_microseconds(tmp_path: Path) -> None:
    writer = HistoryWriter(tmp_path / "a.bin")
    before = resource.getrusage(resource.RUSAGE_SELF)
    for device in range(50_000):
        writer.append(Event.WIRE, device=device, conv=1 << 60, msg=device << 32, seq=5, hash_=1 << 61)
    after = resource.getrusage(resource.RUSAGE_SELF)
    writer.close()
    used_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert used_s / 50_000 < 30e-6


def test_the_clock_never_steps_back_and_reads_as_wall_clock() -> None:
    assert abs(history.now_ns() - time.time_ns()) < 5e9
    first = history.now_ns()
    assert history.now_ns() >= first
