"""What of Cassandra the store's argument stands on, in memory: cells with timestamps on three replicas, and a quorum.

It is there to try orders of events that three real nodes show once in a million: a write that reached one replica
only, one that arrives when everybody has forgotten it, reads of any two replicas in between. That real nodes behave
like this is for the tests on real nodes to show.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sut.adapters import cassandra_rows
from sut.adapters.cassandra_rows import Batch
from sut.ports import Unavailable

REPLICAS = 3
QUORUM = 2
STATE = ("kind", "creator", "head", "applied")
ROW = ("flags", "user", "device", "client_seq", "body")

Cell = tuple[int, Any]
"""(write timestamp, value)"""
Partition = dict[tuple[Any, ...], Cell]
"""Cells by name: ("head",), ("spans", (user, first)), ("row", seq, "body")..."""


class Nodes:
    """Three replicas of everything. `rng` decides who gets a write when, and who answers a read."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.calm = False
        """Whether every write reaches all at once from here on."""
        self._replicas: list[defaultdict[tuple[int, int], Partition]] = [defaultdict(dict) for _ in range(REPLICAS)]
        self._late: list[tuple[int, Batch]] = []

    def deliver_late(self) -> None:
        """Some of what is still under way arrives now, out of order."""
        self.rng.shuffle(self._late)
        for _ in range(self.rng.randint(0, len(self._late))):
            replica, batch = self._late.pop()
            self._apply(replica, batch)

    async def write(self, batch: Batch) -> None:
        """To a quorum, or fewer and Unavailable; what did not arrive may do so later, or never."""
        await self._moment()
        if self.calm:
            reached = set(range(REPLICAS))
        else:
            reached = {replica for replica in range(REPLICAS) if self.rng.random() < 0.7}
        for replica in range(REPLICAS):
            if replica in reached:
                self._apply(replica, batch)
            elif self.rng.random() < 0.7:
                self._late.append((replica, batch))
        if len(reached) < QUORUM or (not self.calm and self.rng.random() < 0.1):
            raise Unavailable("not enough replicas answered, or the answer was lost")

    async def read(self, name: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Two replicas' cells, the newer one of each."""
        await self._moment()
        pair = self.rng.sample(self._replicas, QUORUM)
        if name == "state":
            cells = _merged(*(replica.get((parameters[0], parameters[1]), {}) for replica in pair))
            return [(*_state(cells), _value(cells, ("newest",)))] if cells else []
        if name == "states":
            found = []
            for conv in parameters[0]:
                pair = self.rng.sample(self._replicas, QUORUM)  # each partition is read by itself
                if cells := _merged(*(replica.get((conv, 0), {}) for replica in pair)):
                    found.append((conv, *_state(cells), _value(cells, ("newest",))))
            return found
        if name == "state_and_rows":
            conv, bucket, last, limit = parameters
            cells = _merged(*(replica.get((conv, bucket), {}) for replica in pair))
            rows = [row for row in _rows(cells) if row[0] <= last][::-1][:limit]
            return [(*_state(cells), *row) for row in rows]  # none where no row matches, as there is a condition on seq
        if name == "page_before":
            conv, bucket, before, limit = parameters
            cells = _merged(*(replica.get((conv, bucket), {}) for replica in pair))
            return [row for row in _rows(cells) if row[0] < before][::-1][:limit]
        assert name == "page", name
        conv, bucket, after, limit = parameters
        cells = _merged(*(replica.get((conv, bucket), {}) for replica in pair))
        return [row for row in _rows(cells) if row[0] > after][:limit]

    async def _moment(self) -> None:
        """Whoever else is under way may be first."""
        for _ in range(self.rng.randint(0, 3)):
            await asyncio.sleep(0)

    def _apply(self, replica: int, batch: Batch) -> None:
        for name, parameters in batch.statements:
            key, timestamp, values = _cells(name, parameters)
            partition = self._replicas[replica][key]
            for cell, value in values.items():
                old = partition.get(cell)
                if old is not None and old[0] == timestamp:
                    assert old[1] == value, f"{cell}: {old[1]} and {value}, both written at {timestamp}"
                if old is None or old[0] < timestamp:
                    partition[cell] = (timestamp, value)


def _cells(name: str, parameters: Sequence[Any]) -> tuple[tuple[int, int], int, Partition]:
    """Partition key, timestamp and cells of a statement."""
    timestamp, *rest = parameters
    values: dict[tuple[Any, ...], Any] = {}
    if name == "put_newest":
        newest, conv = rest
        return (conv, 0), timestamp, {("newest",): newest}
    if name in ("put_state", "put_both"):
        state, rest = rest[:7], rest[7:]
        values |= {(column,): value for column, value in zip(STATE, state[:4], strict=True)}
        values |= {("spans", key): value for key, value in state[4].items()}
        values |= {("marks", key): value for key, value in state[5].items()}
        values |= {("roles", key): value for key, value in state[6].items()}
    if name in ("put_row", "put_both"):
        row, (conv, bucket, seq) = rest[:5], rest[5:]
        values |= {("row", seq, column): value for column, value in zip(ROW, row, strict=True)}
        assert cassandra_rows.bucket_of(seq) == bucket
    else:
        conv, bucket = rest
    return (conv, bucket), timestamp, values


def _merged(one: Partition, other: Partition) -> Partition:
    return one | {name: cell for name, cell in other.items() if name not in one or one[name][0] < cell[0]}


def _value(cells: Partition, name: tuple[Any, ...]) -> Any:
    return cells[name][1] if name in cells else None


def _state(cells: Partition) -> tuple[Any, ...]:
    maps = [
        {name[1]: cell[1] for name, cell in cells.items() if name[0] == column}
        for column in ("spans", "marks", "roles")
    ]
    return (*(_value(cells, (column,)) for column in STATE), *(found or None for found in maps))


def _rows(cells: Partition) -> list[tuple[Any, ...]]:
    seqs = sorted({name[1] for name in cells if name[0] == "row"})
    return [(seq, *(cells["row", seq, column][1] for column in ROW)) for seq in seqs]
