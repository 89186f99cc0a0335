"""Walks over the arrivals, displays and finals of a history and marks each in its pair (see tables).

The blocks may be taken by several threads at a time: numpy lets go of the interpreter, and a mark is only ever set.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from chaos.verdict.bulk.index import Ints
from chaos.verdict.bulk.tables import ACKED, NEVER, OPEN, Tables, Unsuited

WIRE, SHOW, FINAL = range(3)
KINDS: Final = ("wire", "show", "final")
UNITS: Final = 900
"""Times that differ by less than this factor are in one unit (see the check clocks, which allows 990)."""


class Block(NamedTuple):
    """Some rows of a history, in any order. `kind` is WIRE, SHOW or FINAL."""

    kind: npt.NDArray[np.uint8]
    t: Ints
    device: Ints
    conv: Ints
    msg: Ints
    seq: Ints
    hash: Ints

    def only(self, rows: npt.NDArray[np.bool_]) -> Block:
        kind, *columns = self
        return Block(kind[rows], *(column[rows] for column in columns))


class Taken(NamedTuple):
    """What a block adds: rows of each kind, and displays that may be the first of their slot."""

    rows: Ints
    slot: Ints
    t: Ints


class Marks:
    """What was seen of each pair, and what of each slot."""

    def __init__(self, tables: Tables, *, error_ns: int, watched: Ints) -> None:
        """`error_ns`: how far clocks may be apart. `watched`: pairs whose rows are kept."""
        self._tables, self._error_ns = tables, error_ns
        self._watched = None
        if len(watched):
            self._watched = np.zeros(tables.pairs, np.bool_)
            self._watched[watched] = True
        self.wire = np.zeros(tables.pairs, np.bool_)
        self.shown = np.full(tables.pairs, NEVER)
        """When the message was displayed; NEVER if it was not."""
        self.final = np.zeros(tables.pairs, np.bool_)
        self.seen = np.zeros(len(tables.state), np.bool_)
        self.born = np.full(len(tables.state), NEVER)
        """The first display of the message anywhere."""
        self.lively = np.zeros(len(tables.devices), np.bool_)
        """Devices to which something arrived, or that displayed something."""
        self.rows = np.zeros(3, np.int64)
        """Number of rows of each kind."""
        self.early = self.odd_times = False
        """Whether a row is earlier than its send beyond the error of clocks, or perhaps in another unit."""
        self.kept: list[Block] = []
        """Rows whose message was never acked."""
        self.watched_rows: list[Block] = []

    def take(self, block: Block, *, state: int = ACKED) -> Taken:
        """Mark the rows whose slot is in `state`, and keep the others; for `add`. Raises Unsuited."""
        tables = self._tables
        conv, device = tables.convs.of(block.conv), tables.devices.of(block.device)
        if (conv < 0).any() or (device < 0).any():
            raise Unsuited  # an unknown conversation, or a device without a user
        inside = (block.seq > 0) & (block.seq <= tables.top[conv])
        if not inside.all():
            raise Unsuited
        slot = tables.base[conv] + block.seq
        mine = (tables.msg[slot] == block.msg) & (tables.state[slot] == state)
        if not mine.all():
            if state == OPEN:
                raise Unsuited
            self.kept.append(block.only(~mine))
            block, conv, device, slot = block.only(mine), conv[mine], device[mine], slot[mine]
        pair = tables.pair_of(device, conv, block.seq)
        if (tables.hash[slot] != block.hash).any() or (pair < 0).any():
            raise Unsuited  # another content, or no member
        if self._watched is not None and state == ACKED and (watched := self._watched[pair]).any():
            self.watched_rows.append(block.only(watched))
        self._times(block.t, tables.sent[slot])
        self.seen[slot] = True
        is_show = block.kind == SHOW
        self.wire[pair[block.kind == WIRE]] = True
        self.final[pair[block.kind == FINAL]] = True
        self.shown[pair[is_show]] = block.t[is_show]
        self.lively[device[block.kind != FINAL]] = True
        earlier = is_show & (block.t < self.born[slot])
        return Taken(np.bincount(block.kind, minlength=3), slot[earlier], block.t[earlier])

    def add(self, taken: Taken) -> None:
        """Count what `take` returned. Not to be called by several threads at a time."""
        self.rows += taken.rows
        slot, t = taken.slot, taken.t
        earlier = np.flatnonzero(t < self.born[slot])
        latest_first = earlier[np.argsort(-t[earlier], kind="stable")]
        self.born[slot[latest_first]] = t[latest_first]  # of several rows of one slot the last one stays

    def _times(self, t: Ints, sent: Ints) -> None:
        if (t + self._error_ns < sent).any():
            self.early = True
        if not len(t):
            return
        low, high = min(int(t.min()), int(sent.min())), max(int(t.max()), int(sent.max()))
        if low > 0 and high < UNITS * low:
            return
        ours = (t > 0) & (sent > 0)
        high_, low_ = np.maximum(t, sent)[ours], np.minimum(t, sent)[ours]
        if (high_ // low_ >= UNITS).any():
            self.odd_times = True
