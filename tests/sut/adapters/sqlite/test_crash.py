"""SIGKILL of real writers, again and again: what had returned is there, in order, and nothing is there in part."""

import random
import subprocess
import sys
import threading
from collections import defaultdict
from pathlib import Path

from sut.adapters.sqlite.log import SqliteLog
from sut.adapters.sqlite.store import SqliteStore
from tests.kit.pace import scaled
from tests.sut.adapters import writer
from tests.sut.adapters.test_log_contract import read_all

ROUNDS = 5
LINES = (5, 400)
"""A writer is killed while it is at work, after a random number of writes in these bounds."""


class Life:
    """One writer process, from its start to its SIGKILL, and what it said."""

    def __init__(self, what: str, directory: Path, *, device: int, first: int, lines: int) -> None:
        self.device = device
        self.first = first
        self.acked: list[list[int]] = []
        self._lines = lines
        self._process = subprocess.Popen(
            [sys.executable, writer.__file__, what, str(directory), str(device), str(first)], stdout=subprocess.PIPE
        )
        self._thread = threading.Thread(target=self._follow)
        self._thread.start()

    def _follow(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                if line.endswith(b"\n"):
                    self.acked.append([int(word) for word in line.split()])
                if len(self.acked) == self._lines:
                    self._process.kill()

    def end(self) -> None:
        self._thread.join(timeout=scaled(60))
        self._process.kill()
        assert self._process.wait() == -9
        assert len(self.acked) >= self._lines, "the writer ended by itself"


async def test_two_writers_of_the_log_killed_again_and_again(tmp_path: Path) -> None:
    rng = random.Random(3)
    first = {1: 1, 2: 1}
    acked: dict[tuple[int, int], list[int]] = {}
    for _ in range(ROUNDS):
        lives = [Life("log", tmp_path, device=d, first=first[d], lines=rng.randint(*LINES)) for d in first]
        for life in lives:
            life.end()
            acked |= {(life.device, n): offsets for n, *offsets in life.acked}
            first[life.device] = life.acked[-1][0] + 1_000
    log = SqliteLog(tmp_path, 1)
    found = await read_all(log, 0)
    await log.close()

    batches: dict[tuple[int, int], list[int]] = defaultdict(list)
    for item in found:
        batches[item.record.device, item.record.client_seq].append(item.offset)
    by_offset = {item.offset: item.record for item in found}
    assert len(acked) >= ROUNDS * 2 * LINES[0]
    for (device, n), offsets in acked.items():
        assert [by_offset[offset] for offset in offsets] == writer.records_of(device, n)
    for (device, n), offsets in batches.items():
        assert offsets == list(range(offsets[0], offsets[0] + writer.size_of(n))), "half a batch, or one torn apart"
        assert acked.get((device, n), offsets) == offsets, "twice"
    for device in first:
        order = [n for d, n in batches if d == device]
        assert order == sorted(order)
    unacked = len(batches) - len(acked)
    assert 0 <= unacked <= ROUNDS * 2


async def test_a_writer_of_the_store_killed_again_and_again(tmp_path: Path) -> None:
    rng = random.Random(4)
    first = 1
    for _ in range(ROUNDS):
        life = Life("store", tmp_path, device=1, first=first, lines=rng.randint(*LINES))
        life.end()
        store = SqliteStore(tmp_path, 1)
        image = await store.load(writer.CONV)
        rows = await store.page(writer.CONV, 0, 1 << 30)
        await store.close()
        assert image is not None
        head = image.row.head
        assert head in (life.acked[-1][0], life.acked[-1][0] + 1)
        assert image.row.applied == head
        assert [row.seq for row in rows] == list(range(1, head + 1))
        assert [span.user for span in image.spans] == list(range(1, head + 1))
        assert [(mark.client_seq, mark.seq) for mark in image.marks] == [(head, head)]
        first = head + 1
