"""Reads the binary files of a run in blocks, twice: for what the rest is made of, and for the marks."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from chaos.verdict.bulk.condensed import InMemory
from chaos.verdict.bulk.marks import KINDS, Block
from chaos.verdict.bulk.pairs import THREADS
from chaos.verdict.history.history import build_run, files_of
from chaos.verdict.history.jsonl import HistoryError
from chaos.verdict.history.native import RECORD_TYPE, are_whole, events_of
from load.history.events import RECORD_SIZE, Event

BLOCK_RECORDS: Final = 1 << 16
_NUMBERS: Final = [int(Event[name.upper()]) for name in KINDS]
"""The kind bytes of arrivals, displays and finals."""
_PLACE: Final = np.full(256, len(KINDS), np.uint8)
"""The kind of a block for each kind byte; len(KINDS) for others."""
_PLACE[_NUMBERS] = np.arange(len(KINDS))


class _Torn(Exception):
    """A file is damaged or was not closed."""


class _Part(NamedTuple):
    """Some records of a file."""

    path: Path
    start: int
    """The number of the first."""
    records: int

    def read(self) -> np.ndarray:
        with self.path.open("rb", buffering=0) as file:
            file.seek(self.start * RECORD_SIZE)
            records = np.fromfile(file, RECORD_TYPE, self.records)
        if len(records) < self.records:
            raise _Torn
        return records


class _Read(NamedTuple):
    """What the first reading of a part gives."""

    rest: pl.DataFrame
    bulk: int
    ends: tuple[int, int] | None
    """Times of the first and the last event in ns; None without events."""


class RunInBlocks:
    """The history of a run; see Source."""

    def __init__(self, run_dir: Path) -> None:
        """Read what the rest is made of. Raises HistoryError, _Torn."""
        binaries, texts = files_of(run_dir)
        self._parts = [part for path in binaries for part in _parts_of(path)]
        with ThreadPoolExecutor(THREADS) as threads:
            read = list(threads.map(_first_reading, self._parts))
        ends = [part.ends for part in read if part.ends is not None]
        self.rows = sum(part.bulk for part in read)
        frames = [part.rest for part in read if part.rest.height]
        read.clear()
        history = build_run(run_dir, frames, texts, [])
        if history.holes or not history.ids.are_integers:
            raise _Torn
        told = InMemory(history)  # texts may hold any event
        ends += [(history.first_ns, history.last_ns)] if history.events.height else []
        first, last = min((end[0] for end in ends), default=0), max((end[1] for end in ends), default=0)
        self.rest = replace(told.rest, ends=(first, last))
        self._told = told
        self.rows += told.rows

    def blocks(self) -> Iterable[Callable[[], Block]]:
        yield from self._told.blocks()
        for part in self._parts:
            yield functools.partial(_second_reading, part)


def run_in_blocks(run_dir: Path) -> RunInBlocks | None:
    """Return the history of a run; None if it must be read as a whole. Raises HistoryError."""
    try:
        return RunInBlocks(run_dir)
    except _Torn:
        return None
    except OSError as error:
        raise HistoryError(f"{error.filename or run_dir}: {error.strerror}") from None


def _parts_of(path: Path) -> Iterator[_Part]:
    whole, torn = divmod(path.stat().st_size, RECORD_SIZE)
    if torn:
        raise _Torn
    for start in range(0, whole, BLOCK_RECORDS):
        yield _Part(path, start, min(BLOCK_RECORDS, whole - start))


def _first_reading(part: _Part) -> _Read:
    """Check the records and return those that the rest is made of."""
    records = part.read()
    if not are_whole(records.view(np.uint8).data):
        raise _Torn
    kind = records["kind"]
    rest = events_of(records[_PLACE[kind] == len(KINDS)])
    judged = records["t"][(kind >= 1) & (kind <= len(Event))]
    ends = (int(judged.min()), int(judged.max())) if len(judged) else None
    return _Read(rest, int(np.count_nonzero(_PLACE[kind] < len(KINDS))), ends)


def _second_reading(part: _Part) -> Block:
    """Return the arrivals, displays and finals."""
    records = part.read()
    kind = _PLACE[records["kind"]]
    chosen = records[kind < len(KINDS)]
    columns = ("t", "device", "conv", "msg", "seq", "hash")
    return Block(kind[kind < len(KINDS)], *(np.ascontiguousarray(chosen[name], np.int64) for name in columns))
