"""One byte changes on the disk: the last byte of one stored message of each partition. That is no defect by itself.

A sequencer changes it in the file, behind the store's back, some seconds after the first message.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

from sut.deploy.topology import Topology
from sut.services.sequencer.pieces import SequencerPieces
from sut.services.sequencer.worker import PartitionWorker

AFTER_S = 4.0


class Flipping(PartitionWorker):
    """Changes one byte of what it has stored, once; a process that is started again does not."""

    directory: Path
    _due_s = 0.0

    async def store(self) -> None:
        await super().store()
        self._due_s = self._due_s or time.monotonic() + AFTER_S
        done = self.directory / f"flipped-{self.partition}"
        if time.monotonic() > self._due_s and not done.exists() and flip(self._file()):
            done.touch()

    def _file(self) -> Path:
        path: Path = self._store._files[self.partition].path  # type: ignore[attr-defined]
        return path


def flip(file: Path) -> bool:
    """Change the last byte of one message in the file. Return False where there is none."""
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        found = connection.execute("SELECT conv, seq, body FROM message WHERE length(body) > 0 LIMIT 1").fetchone()
        if found is None:
            return False
        conv, seq, body = found
        changed = body[:-1] + bytes([body[-1] ^ 1])
        connection.execute("UPDATE message SET body = ? WHERE conv = ? AND seq = ?", (changed, conv, seq))
        return True


def sequencer(topology: Topology) -> SequencerPieces:
    Flipping.directory = Path(topology.dir)
    return SequencerPieces(worker=Flipping)
