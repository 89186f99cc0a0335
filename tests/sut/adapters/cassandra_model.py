"""What of Cassandra the store's argument stands on, in memory: cells with timestamps on three replicas, and a quorum.

It is there to try orders of events that three real nodes show once in a million: a write that reached one replica
only, one that arrives when everybody has forgotten it, reads of any two replicas in between. A deletion hides cells of
its timestamp and older ones, whichever comes first. That real nodes behave
like this is for the tests on real nodes to show.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sut.adapters.cassandra import rows as cassandra_rows
from sut.adapters.cassandra.rows import Batch
from sut.ports import Unavailable

REPLICAS = 3
QUORUM = 2
STATE = ("kind", "creator", "head", "applied")
ROW = ("flags", "user", "device", "client_seq", "body")

Cell = tuple[int, Any]
"""(write timestamp, value)"""
Partition = dict[tuple[Any, ...], Cell]
"""Cells by name: ("head",), ("spans", (user, first)), ("row", seq, "body")... A deletion is one too, ("gone", ...)."""
Key = tuple[Any, ...]
"""Of a partition: (table, ...)."""


class Nodes:
    """Three replicas of everything. `rng` decides who gets a write when, and who answers a read."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.calm = False
        """Whether every write reaches all at once from here on."""
        self.away: int | None = None
        """A replica that gets no write, now or later."""
        self.asked: list[str] = []
        """The names of all statements so far, of reads and of writes."""
        self.row_by_row: list[str] = []
        """The reads with a limit that met rows which one replica had deleted and another had not.

        The coordinator asks for more of them as often as the limit goes into their number.
        """
        self._replicas: list[defaultdict[Key, Partition]] = [defaultdict(dict) for _ in range(REPLICAS)]
        self._late: list[tuple[int, Batch]] = []

    def deliver_late(self) -> None:
        """Some of what is still under way arrives now, out of order."""
        self.rng.shuffle(self._late)
        for _ in range(self.rng.randint(0, len(self._late))):
            replica, batch = self._late.pop()
            self._apply(replica, batch)

    async def write(self, batch: Batch) -> None:
        """To a quorum, or fewer and Unavailable; what did not arrive may do so later, or never."""
        self.asked += [name for name, _ in batch.statements]
        await self._moment()
        if self.calm:
            reached = {replica for replica in range(REPLICAS) if replica != self.away}
        else:
            reached = {replica for replica in range(REPLICAS) if self.rng.random() < 0.7}
        for replica in range(REPLICAS):
            if replica in reached:
                self._apply(replica, batch)
            elif replica != self.away and self.rng.random() < 0.7:
                self._late.append((replica, batch))
        if len(reached) < QUORUM or (not self.calm and self.rng.random() < 0.1):
            raise Unavailable("not enough replicas answered, or the answer was lost")

    async def read(self, name: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Two replicas' cells, the newer one of each."""
        self.asked.append(name)
        await self._moment()
        if name in _RETENTION_READS:
            return self._read_retention(name, parameters)
        if name == "states":
            # Each partition by itself.
            convs, bucket = parameters
            asked = ((conv, self._seen("message", conv, bucket, limited=name)) for conv in convs)
            return [(conv, *_state(cells), _value(cells, ("newest",))) for conv, cells in asked if cells]
        conv, bucket, *rest = parameters
        cells = self._seen("message", conv, bucket, limited=name != "page" and name)
        if name == "state":
            return [(*_state(cells), _value(cells, ("newest",)))] if cells else []
        if name == "page":
            first, last = rest
            return [row for row in _rows(cells) if first <= row[0] <= last]
        bound, limit = rest
        if name == "state_and_rows":
            rows = [row for row in _rows(cells) if row[0] <= bound][::-1][:limit]
            return [(*_state(cells), *row) for row in rows]  # none where no row matches, as there is a condition on seq
        assert name == "newest_rows", name
        return [row for row in _rows(cells) if row[0] < bound][::-1][:limit]

    def _read_retention(self, name: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        cells = self._seen(_RETENTION_READS[name], *parameters[: 2 if name == "full" else 1])
        if name == "emptied":
            return [(_value(cells, ("emptied",)),)] if cells else []
        found = sorted((cell[1], cells[cell][1]) for cell in cells if cell[0] == "row")
        if name == "due_days":
            return [(day,) for day, _ in found if day < parameters[1]][:2]
        if name == "full":
            return [key for key, _ in found][: parameters[2]]
        assert name == "full_on", name
        return [(bucket, day) for bucket, day in found if parameters[1] <= bucket <= parameters[2]]

    def _seen(self, *key: Any, limited: str | bool = False) -> Partition:
        """What two replicas say of a partition, without what is deleted. `limited`: the name of a read with a limit."""
        one, other = (replica.get(key, {}) for replica in self.rng.sample(self._replicas, QUORUM))
        cells = _merged(one, other)
        differ = any(
            name[0] == "gone" and name not in there and any(row[0] == "row" and name[1](row[1]) for row in there)
            for name in cells
            for there in (one, other)
        )
        if limited and differ and (limited in _FROM_THE_END or ("mark",) not in cells):
            self.row_by_row.append(str(limited))
        gone = [(name[1], timestamp) for name, (timestamp, _) in cells.items() if name[0] == "gone"]
        return {
            name: cell
            for name, cell in cells.items()
            if name[0] not in ("gone", "mark")
            and not (name[0] == "row" and any(covers(name[1]) and timestamp >= cell[0] for covers, timestamp in gone))
        }

    async def _moment(self) -> None:
        """Whoever else is under way may be first."""
        for _ in range(self.rng.randint(0, 3)):
            await asyncio.sleep(0)

    def _apply(self, replica: int, batch: Batch) -> None:
        for name, parameters in batch.statements:
            key, timestamp, values = (_retention_cells if name in _RETENTION_WRITES else _cells)(name, parameters)
            partition = self._replicas[replica][key]
            for cell, value in values.items():
                old = partition.get(cell)
                if old is not None and old[0] == timestamp:
                    assert old[1] == value, f"{cell}: {old[1]} and {value}, both written at {timestamp}"
                if old is None or old[0] < timestamp:
                    partition[cell] = (timestamp, value)


_FROM_THE_END = ("state_and_rows", "newest_rows")
"""Reads with a limit that do not find the mark of an emptied bucket first."""
_RETENTION_READS = {"emptied": "retention", "full_on": "retention", "due_days": "bucket_day", "full": "full_bucket"}
_RETENTION_WRITES = (
    *("put_full", "put_day", "put_full_on", "put_emptied"),
    *("delete_rows", "mark_emptied", "delete_full", "delete_day", "delete_full_on"),
)


@dataclass(frozen=True)
class UpTo:
    """Covers all keys of rows up to this one; None: all."""

    last: Any

    def __call__(self, key: Any) -> bool:
        return self.last is None or key <= self.last


@dataclass(frozen=True)
class Just:
    """Covers this key."""

    key: Any

    def __call__(self, key: Any) -> bool:
        return bool(key == self.key)


def _retention_cells(name: str, parameters: Sequence[Any]) -> tuple[Key, int, dict[tuple[Any, ...], Any]]:
    """The same for what retention writes; an INSERT has its timestamp at the end."""
    match name, tuple(parameters):
        case "put_full", (partition, day, *note, timestamp):
            return ("full_bucket", partition, day), timestamp, {("row", tuple(note)): True}
        case "put_day", (partition, day, timestamp):
            return ("bucket_day", partition), timestamp, {("row", day): True}
        case "put_full_on", (conv, bucket, day, timestamp):
            return ("retention", conv), timestamp, {("row", bucket): day}
        case "put_emptied", (conv, emptied, timestamp):
            return ("retention", conv), timestamp, {("emptied",): emptied}
        case "delete_rows", (timestamp, conv, bucket):
            return ("message", conv, bucket), timestamp, {("gone", UpTo(None)): True}
        case "mark_emptied", (conv, bucket, timestamp):
            return ("message", conv, bucket), timestamp, {("mark",): True}
        case "delete_full", (timestamp, partition, day, *last):
            return ("full_bucket", partition, day), timestamp, {("gone", UpTo(tuple(last))): True}
        case "delete_day", (timestamp, partition, day):
            return ("bucket_day", partition), timestamp, {("gone", Just(day)): True}
        case "delete_full_on", (timestamp, conv, bucket):
            return ("retention", conv), timestamp, {("gone", Just(bucket)): True}
    raise AssertionError(name)


def _cells(name: str, parameters: Sequence[Any]) -> tuple[Key, int, dict[tuple[Any, ...], Any]]:
    """Partition key, timestamp and cells of a statement."""
    timestamp, *rest = parameters
    values: dict[tuple[Any, ...], Any] = {}
    if name == "put_newest":
        newest, conv = rest
        return ("message", conv, 0), timestamp, {("newest",): newest}
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
    return ("message", conv, bucket), timestamp, values


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
