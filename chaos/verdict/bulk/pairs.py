"""Looks at all pairs (see tables) once they are marked: counts them, and finds those that need a closer look.

The pairs are looked at in chunks of whole devices, by several threads.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from chaos.verdict.bulk.index import Ints
from chaos.verdict.bulk.marks import Marks
from chaos.verdict.bulk.tables import ACKED, CHANGE, EMPTY, NEVER, TIME_BITS, Tables
from chaos.verdict.relations.base import EVER

CHUNK_PAIRS: Final = 1 << 17
THREADS: Final = 2
Bools = npt.NDArray[np.bool_]


@dataclass(kw_only=True)
class Totals:
    """What the pairs show. The lists hold an array for each chunk."""

    copies: int = 0
    """Pairs whose message is on the device in any way."""
    shown: int = 0
    required: int = 0
    """Pairs with an acked message."""
    expected: int = 0
    """The subset of `required` at other devices than the sending one."""
    owed: int = 0
    """Pairs of messages at other devices than the sending one, if it is known when they took their place."""
    deliveries: int = 0
    """Displays at other devices than the sending one."""
    lost: bool = False
    """Some final lacks an acked message, or there is no complete final of it."""
    gap: bool = False
    """Some complete final lacks a number."""
    forgotten: bool = False
    """Some final lacks what its device displayed, or there is no complete final."""
    reordered: bool = False
    inexact: bool = False
    """The history is too long to look for answers before their question."""
    slow: list[Ints] = field(default_factory=list)
    """Pairs of other devices that were not displayed within the least bound from `known` on."""
    away: list[Ints] = field(default_factory=list)
    """The subset of `expected` on devices that may be away."""
    causal: list[Ints] = field(default_factory=list)
    """Displays after which the device displayed something that was displayed elsewhere before the answer was sent."""
    due: list[Ints] = field(default_factory=list)
    latency: list[Ints] = field(default_factory=list)
    """With `due`: the deliveries by which latency is judged (see Facts.samples)."""
    returning: list[Ints] = field(default_factory=list)
    """Deliveries on devices with several planned absences: whether they count is still to be told."""


@dataclass(frozen=True, kw_only=True)
class Devices:
    """What is known of each device, by its number in the tables."""

    back: Ints
    """The end of the planned absence from before the first event; EVER without one."""
    many: Bools
    """It has other planned absences."""
    may_be_away: Bools
    """It is not certainly online all the time in which acks come."""


class _Displays(NamedTuple):
    """The displayed pairs of a chunk: pair, seat, slot, and whether another device sent the message."""

    pair: Ints
    seat: Ints
    slot: Ints
    other: Bools


class Pairs:
    """The pairs of one history."""

    def __init__(self, tables: Tables, marks: Marks, devices: Devices, *, bound_ns: int) -> None:
        """`bound_ns`: the least bound from the ack to the display."""
        self._tables, self._marks, self._devices, self._bound_ns = tables, marks, devices, bound_ns
        known = marks.born[marks.born != NEVER]
        self._low = int(known.min()) if len(known) else 0

    def totals(self) -> Totals:
        """Look at all pairs."""
        with ThreadPoolExecutor(THREADS) as threads:
            parts = list(threads.map(lambda chunk: self._chunk(*chunk), self._chunks()))
        whole = Totals()
        for part in parts:
            for name, value in vars(part).items():
                setattr(whole, name, getattr(whole, name) + value)
        return whole

    def frame(self, pairs: Ints) -> pl.DataFrame:
        """Return device, conv, msg, seq, known, shown, sender of pairs; `shown` is null if they never were."""
        tables = self._tables
        seat = np.searchsorted(tables.offset, pairs, side="right") - 1
        seq = tables.first[seat] + 1 + pairs - tables.offset[seat]
        slot = tables.base[tables.seat_conv[seat]] + seq
        columns = {
            "device": tables.devices.ids[tables.seat_device[seat]],
            "conv": tables.convs.ids[tables.seat_conv[seat]],
            "msg": tables.msg[slot],
            "seq": seq,
            "known": tables.known[slot],
            "shown": self._marks.shown[pairs],
            "sender": tables.devices.ids[tables.sender[slot]],
            "sent": tables.sent[slot],
            "due": tables.due[slot],
            "acked": tables.state[slot] == ACKED,
        }
        shown = pl.when(pl.col("shown") != NEVER).then("shown")
        return pl.DataFrame(columns).with_columns(shown)

    def shown_on(self, devices: Ints) -> Iterator[Ints]:
        """Yield the displayed pairs of devices (by number)."""
        wanted = np.zeros(len(self._tables.devices), np.bool_)
        wanted[devices] = True
        offset = self._tables.offset
        for seat in np.flatnonzero(wanted[self._tables.seat_device]).tolist():
            yield int(offset[seat]) + np.flatnonzero(self._marks.shown[offset[seat] : offset[seat + 1]] != NEVER)

    def _chunks(self) -> list[tuple[int, int]]:
        """Return (first, last + 1) of runs of seats: whole devices with about CHUNK_PAIRS pairs."""
        device = self._tables.seat_device
        if not len(device):
            return []
        starts = np.flatnonzero(np.concatenate([[True], device[1:] != device[:-1]]))
        number = self._tables.offset[starts] // CHUNK_PAIRS
        cuts = starts[np.concatenate([[True], number[1:] != number[:-1]])].tolist()
        return list(zip(cuts, [*cuts[1:], len(device)], strict=True))

    def _chunk(self, first: int, last: int) -> Totals:
        tables, marks = self._tables, self._marks
        begin, end = int(tables.offset[first]), int(tables.offset[last])
        widths = np.diff(tables.offset[first : last + 1])
        seat = np.repeat(np.arange(first, last), widths)
        # the slot of a pair is its own place plus a constant of its seat
        shift = tables.base[tables.seat_conv[first:last]] + tables.first[first:last] + 1 - tables.offset[first:last]
        slot = np.arange(begin, end) + np.repeat(shift, widths)
        device, state, shown = tables.seat_device[seat], tables.state[slot], marks.shown[begin:end]
        was_shown, final = shown != NEVER, marks.final[begin:end]
        found = Totals(
            copies=int(np.count_nonzero(was_shown | final | marks.wire[begin:end])),
            shown=int(np.count_nonzero(was_shown)),
        )
        message = (state != EMPTY) & (state != CHANGE)
        acked, others = state == ACKED, message & (tables.sender[slot] != device)
        head = tables.head[tables.chair[seat]]
        seq = slot - tables.base[tables.seat_conv[seat]]
        absent = ~final
        found.lost = bool((acked & (absent | (head < 0))).any())
        found.gap = bool((absent & (seq <= head) & (state != CHANGE)).any())
        found.forgotten = bool((was_shown & (absent | (head < 0))).any())
        found.required = int(np.count_nonzero(acked))
        expected = acked & others
        found.expected = int(np.count_nonzero(expected))
        known = tables.known[slot]
        others_known = others & (known != NEVER)
        found.owed = int(np.count_nonzero(others_known))
        slow = others_known & (shown > np.minimum(known, NEVER - self._bound_ns) + self._bound_ns)
        found.slow = [begin + np.flatnonzero(slow)]
        found.away = [begin + np.flatnonzero(expected & self._devices.may_be_away[device])]
        place = np.flatnonzero(was_shown)
        if len(place):
            self._displays(found, _Displays(begin + place, seat[place], slot[place], others[place]))
        return found

    def _displays(self, found: Totals, displays: _Displays) -> None:
        """Add what the displays of a chunk tell."""
        tables = self._tables
        pair, seat, slot, other = displays
        t, device, chair = self._marks.shown[pair], tables.seat_device[seat], tables.chair[seat]
        found.reordered = bool(((t[1:] < t[:-1]) & (chair[1:] == chair[:-1])).any())
        found.deliveries = int(np.count_nonzero(other))
        due, many = tables.due[slot], self._devices.many[device]
        sample = other & ~many & (due >= self._devices.back[device])
        found.due = [due[sample]]
        found.latency = [np.maximum(t[sample] - due[sample], 0)]
        found.returning = [pair[other & many]]
        candidates = self._before_their_cause(device, t, slot, other)
        if candidates is None:
            found.inexact = True
        else:
            found.causal = [pair[candidates]]

    def _before_their_cause(self, device: Ints, t: Ints, slot: Ints, other: Bools) -> Ints | None:
        """Return the displays of others' messages that the check causal must look at; None if that cannot be told."""
        local = device - device[0]
        if int(t.max()) - self._low >= 1 << TIME_BITS or int(local[-1]) >= 1 << (63 - TIME_BITS):
            return None
        key = local << TIME_BITS | (t - self._low)
        order = np.argsort(key, kind="stable") if (key[1:] < key[:-1]).any() else np.arange(len(key))
        key = key[order]
        born = local[order] << TIME_BITS | (self._marks.born[slot[order]] - self._low)
        oldest = np.minimum.accumulate(born[::-1])[::-1]  # of this display and the device's later ones
        starts = np.flatnonzero(key[1:] != key[:-1]) + 1
        run = np.zeros(len(key), np.int64)
        run[starts] = 1
        later = np.concatenate([starts, [len(key)]])[np.cumsum(run)]  # the first display of a later time
        last = later == len(key)
        later[last] = 0
        is_there = ~last & (key[later] >> TIME_BITS == local[order])
        cause = (oldest[later] & ((1 << TIME_BITS) - 1)) + self._low
        wrong = is_there & other[order] & (cause < self._tables.sent[slot[order]])
        found: Ints = order[wrong]
        return found


def devices_of(tables: Tables, returns: pl.DataFrame, away: Bools) -> Devices:
    """Return what the planned absences (device, start, end) tell of each device."""
    number = tables.devices.of(np.ascontiguousarray(returns["device"].to_numpy(), np.int64))
    start = np.ascontiguousarray(returns["start"].to_numpy(), np.int64)
    end = np.ascontiguousarray(returns["end"].to_numpy(), np.int64)
    back, many = np.full(len(tables.devices), EVER, np.int64), np.zeros(len(tables.devices), np.bool_)
    mine = number >= 0
    first = mine & (start == EVER)
    back[number[first]] = end[first]
    many[number[mine & (start != EVER)]] = True
    return Devices(back=back, many=many, may_be_away=away)
