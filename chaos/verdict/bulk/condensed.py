"""A history in two parts: what most of it is, as totals, and the rest, as a history of its own.

The rest holds every event but arrivals, displays and finals of acked messages. Of those it holds the rows whose number
a push names. A check may judge the rest alone if it reads nothing else.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from typing import Final, Protocol

import numpy as np
import polars as pl

from chaos.verdict.bulk.index import Ints
from chaos.verdict.bulk.marks import KINDS, SHOW, WIRE, Block, Marks, Taken
from chaos.verdict.bulk.pairs import THREADS, Bools, Pairs, Totals, devices_of
from chaos.verdict.bulk.tables import ACKED, NEVER, OPEN, Tables, Unsuited
from chaos.verdict.history.history import EVENT, SCHEMA, History, in_order
from chaos.verdict.relations.base import MESSAGE, PLACE
from chaos.verdict.relations.facts import UPON, Facts
from chaos.verdict.relations.stays import Stays, apart

OPEN_SHARE: Final = 0.1
"""The share of rows of messages that were never acked, from which on arrays save nothing."""
FEW: Final = 10_000
MANY: Final = 10_000_000
"""Displays that are looked at as rows at most."""
PART_ROWS: Final = 1_000_000
BLOCK_ROWS: Final = 1 << 17
_BLOCK: Final = dict.fromkeys(("t", "device", "conv", "msg", "seq", "hash"), pl.Int64)


class Source(Protocol):
    """A history that can be read in blocks."""

    rest: History
    """Without the events `wire`, `show` and `final`."""
    rows: int
    """The number of those, or an estimate."""

    def blocks(self) -> Iterable[Callable[[], Block]]:
        """Yield functions that return a part of them each. Raises Unsuited if they name authors."""


class RestFacts(Facts):
    """The relations of the rest, where those of the whole are larger."""

    def __init__(self, rest: History, bulk: Condensed) -> None:
        super().__init__(rest)
        self._bulk = bulk

    @property
    def delivered(self) -> int:
        return self._bulk.totals.deliveries

    @cached_property
    def samples(self) -> pl.DataFrame:
        """due, latency_ns: of all samples."""
        return self._bulk.samples

    @cached_property
    def stays(self) -> Stays:
        return Stays(self._history, also_lively=self._bulk.lively)


class Condensed:
    """The totals of one history, and its rest."""

    def __init__(self, source: Source) -> None:
        """Read the source. Raises Unsuited."""
        self._set_rest(source.rest)
        _check(self.rest, self.facts)
        self.tables = Tables(self.facts, source.rows)
        bounds = self.rest.bounds
        self.marks = Marks(
            self.tables, error_ns=round(bounds.clock_error_ms * 1e6), watched=self._pushed(self.facts.of("push"))
        )
        with ThreadPoolExecutor(THREADS) as threads:
            _drain(threads, self.marks, source.blocks())
        kept = _concat(self.marks.kept)
        if len(kept.t) > FEW + OPEN_SHARE * int(self.marks.rows.sum()):
            raise Unsuited
        if len(kept.t):
            self._put_open(self.facts, kept)
            self.marks.add(self.marks.take(kept, state=OPEN))
        if more := [_frame(block) for block in (kept, *self.marks.watched_rows) if len(block.t)]:
            self._set_rest(replace(self.rest, events=in_order([self.rest.events, *more])))
        self.lively = pl.Series("device", self.tables.devices.ids[self.marks.lively], dtype=pl.Int64)
        devices = devices_of(self.tables, self.facts.stays.returns, self._may_be_away())
        bound_s = min(bounds.catch_up_s, bounds.liveness_s)
        self.pairs = Pairs(self.tables, self.marks, devices, bound_ns=round(bound_s * 1e9))
        self.totals: Totals = self.pairs.totals()
        if self.totals.shown != self.marks.rows[SHOW]:
            raise Unsuited  # some message was displayed twice

    def _set_rest(self, rest: History) -> None:
        self.rest, self.facts = rest, RestFacts(rest, self)
        rest.keep(Facts, self.facts)

    @property
    def shows(self) -> int:
        """Number of displays on all devices, the senders' included."""
        return int(self.marks.rows[SHOW])

    @cached_property
    def messages(self) -> int:
        """Number of messages that have a number."""
        return int(np.count_nonzero(self._holds_message))

    @cached_property
    def seen(self) -> int:
        """Number of messages that any device got."""
        return int(np.count_nonzero(self.marks.seen))

    @cached_property
    def unread(self) -> bool:
        """Whether some acked message has no member device that could read it."""
        return bool((self.tables.covers()[self.tables.state == ACKED] == 0).any())

    @cached_property
    def samples(self) -> pl.DataFrame:
        """due, latency_ns: the deliveries by which latency is judged (see Facts.samples), in any order."""
        totals = self.totals
        told = {"due": _joined(totals.due), "latency_ns": _joined(totals.latency)}
        totals.due, totals.latency = [], []
        rows = self.pairs.frame(_joined(totals.returning)).rename({"shown": "t"})
        kept = apart(rows.select("device", "due", "t"), self.facts.stays.returns, start="due", end="t")
        late = kept.select("due", latency_ns=(pl.col("t") - pl.col("due")).clip(0))
        return pl.concat([pl.DataFrame(told), late])

    @cached_property
    def slow(self) -> pl.DataFrame:
        """See Pairs.frame: the messages of others that a device did not display within the least bound."""
        return self.pairs.frame(_joined(self.totals.slow))

    def pairs_of(self, rows: pl.DataFrame) -> Ints:
        """Return the pairs of rows with device, conv and seq; -1 for one that has none."""
        device, conv, seq = (_ints(rows[name]) for name in ("device", "conv", "seq"))
        device, conv = self.tables.devices.of(device), self.tables.convs.of(conv)
        found = self.tables.pair_of(device, conv, seq)
        found[(device < 0) | (conv < 0)] = -1
        return found

    @cached_property
    def senders_are_members(self) -> bool:
        """Whether each sender of a message with a number is a member at it."""
        tables, slot, conv = self.tables, *self._message_slots
        return bool((tables.pair_of(tables.sender[slot], conv, slot - tables.base[conv]) >= 0).all())

    @cached_property
    def sends_are_in_order(self) -> bool:
        """Whether numbers rise with the sends of each device, and from acks to later sends; False if that is unknown.

        Sends of one time prove no order.
        """
        tables, slot, conv = self.tables, *self._message_slots
        acked = tables.later_acks()
        if acked is None or (acked[slot] < tables.sent[slot]).any():
            return False
        order = np.argsort(tables.sender[slot], kind="stable")
        sender, conv, sent = tables.sender[slot][order], conv[order], tables.sent[slot][order]
        return not ((sent[1:] < sent[:-1]) & (sender[1:] == sender[:-1]) & (conv[1:] == conv[:-1])).any()

    @cached_property
    def _message_slots(self) -> tuple[Ints, Ints]:
        """The slots that hold messages, and their conversations by number."""
        slot = np.flatnonzero(self._holds_message)
        return slot, np.searchsorted(self.tables.base, slot, side="right") - 1

    def displayed(self, pairs: Ints) -> int:
        """Return how many of the pairs were displayed."""
        return int(np.count_nonzero(self.marks.shown[pairs] != NEVER))

    @cached_property
    def causal(self) -> pl.DataFrame | None:
        """device, conv, msg, t, sender, sent: the displays that the check causal looks at; None: not known."""
        if self.totals.inexact:
            return None
        rows = self.pairs.frame(_joined(self.totals.causal))
        return rows.select("device", *MESSAGE, "sender", "sent", t="shown")

    def shown_on(self, devices: pl.Series) -> pl.DataFrame | None:
        """Return device, conv, msg, seq, t: the displays of devices; None if they are more than MANY."""
        found = list(self.pairs.shown_on(self.tables.devices.of(_ints(devices))))
        if sum(len(pairs) for pairs in found) > MANY:
            return None
        return self.pairs.frame(_joined(found)).select("device", *PLACE, t="shown")

    def away(self) -> Iterator[pl.DataFrame]:
        """Yield the acked messages of others on devices that may be away (see Pairs.frame), in parts."""
        pairs = _joined(self.totals.away)
        for start in range(0, len(pairs), PART_ROWS):
            yield self.pairs.frame(pairs[start : start + PART_ROWS])

    @property
    def _holds_message(self) -> Bools:
        return self.tables.sender >= 0

    def _pushed(self, pushes: pl.DataFrame) -> Ints:
        found = self.pairs_of(pushes)
        return found[found >= 0]

    def _put_open(self, plain: Facts, kept: Block) -> None:
        """Give their slots to the messages that were never acked and yet seen."""
        rows = pl.DataFrame(kept._asdict(), schema={"kind": pl.UInt8, **_BLOCK})
        live = pl.when(pl.col("kind").is_in([WIRE, SHOW])).then("t").min()
        places = rows.group_by(PLACE).agg(known=live.fill_null(int(NEVER)))
        sent = plain.indeterminate.select(*MESSAGE, "due", sent="t", sender="device")
        bodies = plain.of("send").select(*MESSAGE, "hash").unique(MESSAGE)
        found = places.join(sent, on=MESSAGE).join(bodies, on=MESSAGE)
        if found.height != places.height:
            raise Unsuited  # never sent, or refused, or acked under another number
        self.tables.put(found, OPEN)

    def _may_be_away(self) -> Bools:
        """Return for each device whether some ack came while it was perhaps away (see the check push)."""
        stays, tables, acks = self.facts.stays, self.tables, self.facts.acks["t"]
        if not self.rest.meta.push and not self.facts.of("push").height:
            return np.zeros(len(tables.devices), np.bool_)  # nobody asks
        away = np.ones(len(tables.devices), np.bool_)
        if not acks.len():
            return away
        first, last = acks.min(), acks.max()
        assert isinstance(first, int) and isinstance(last, int)
        until = last + round(self.rest.bounds.push_s * 1e9)
        there = pl.concat([stays.sessions, stays.untold])
        always = there.filter((pl.col("start") <= first) & (pl.col("end") > until))
        away[tables.devices.of(_ints(always.join(self.facts.owners, on="device", how="semi")["device"]))] = False
        return away


def condense(source: Source) -> Condensed | None:
    """Return the history in two parts; None if it must be judged row by row."""
    try:
        return Condensed(source)
    except Unsuited:
        return None


class InMemory:
    """A history that is in memory already."""

    def __init__(self, history: History) -> None:
        is_bulk = pl.col("e").is_in(list(KINDS))
        self._rows = history.events.filter(is_bulk)
        self.rows = self._rows.height
        rest = history.events.filter(~is_bulk) if self.rows else history.events
        self.rest = replace(history, events=rest, ends=(history.first_ns, history.last_ns))

    def blocks(self) -> Iterable[Callable[[], Block]]:
        if self._rows["user"].null_count() < self.rows:
            raise Unsuited
        for part in self._rows.iter_slices(BLOCK_ROWS):
            yield functools.partial(block_of, part)


def block_of(rows: pl.DataFrame) -> Block:
    """Return rows of events as a block."""
    kind = np.empty(len(rows), np.uint8)
    names = rows["e"].cast(pl.String)
    for number, name in enumerate(KINDS):
        kind[(names == name).to_numpy()] = number
    return Block(kind, *(_ints(rows[name]) for name in _BLOCK))


def _check(rest: History, facts: Facts) -> None:
    """Raise Unsuited if the arrays cannot hold what the history tells."""
    sent = facts.of("send").select(*MESSAGE, "device", "hash").unique()
    if (
        rest.holes
        or not facts.sends.height
        or any(facts.of(kind).height for kind in UPON)
        or facts.of("push")["hash"].null_count() < facts.of("push").height
        or facts.owners["device"].is_duplicated().any()
        or sent.height != facts.sends.height  # one message of two devices, or with two contents
        or facts.acks.join(facts.refused, on=MESSAGE, how="semi").height
    ):
        raise Unsuited


def _drain(threads: ThreadPoolExecutor, marks: Marks, blocks: Iterable[Callable[[], Block]]) -> None:
    """Take all blocks, a few at a time."""
    waiting: list[Future[Taken]] = []
    for block in blocks:
        waiting.append(threads.submit(_take, marks, block))
        if len(waiting) > THREADS:
            marks.add(waiting.pop(0).result())
    for one in waiting:
        marks.add(one.result())


def _take(marks: Marks, block: Callable[[], Block]) -> Taken:
    return marks.take(block())


def _concat(blocks: list[Block]) -> Block:
    if not blocks:
        return Block(np.empty(0, np.uint8), *(np.empty(0, np.int64) for _ in _BLOCK))
    return Block(*(np.concatenate(columns) for columns in zip(*blocks, strict=True)))


def _frame(block: Block) -> pl.DataFrame:
    """Return a block as events."""
    names = pl.Series(list(KINDS), dtype=EVENT)
    columns = {name: getattr(block, name) for name in _BLOCK}
    frame = pl.DataFrame(columns, schema=_BLOCK).with_columns(names.gather(block.kind).alias("e"))
    missing = [pl.lit(None, dtype=dtype).alias(name) for name, dtype in SCHEMA.items() if name not in frame.columns]
    return frame.with_columns(missing).select(list(SCHEMA))


def _joined(arrays: list[Ints]) -> Ints:
    return np.concatenate(arrays) if arrays else np.empty(0, np.int64)


def _ints(column: pl.Series) -> Ints:
    return np.ascontiguousarray(column.to_numpy(), np.int64)
