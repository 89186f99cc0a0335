"""The places of a history's messages and members, as arrays.

- A *slot* is a number of a conversation, from 0 to the highest that an ack, a change or a head names.
- A *seat* is one stay of a device in a conversation: a row of `Facts.device_spans`. The stays of one device in one
  conversation are one *chair*.
- A *pair* is a slot of a seat: a message that the device must have, if the slot holds one.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from chaos.verdict.bulk.index import Index, Ints
from chaos.verdict.relations.base import MESSAGE
from chaos.verdict.relations.facts import Facts

NEVER: Final = np.int64((1 << 63) - 1)
"""The time of what did not happen."""
EMPTY, ACKED, OPEN, CHANGE = range(4)
"""What a slot holds: nothing, an acked message, one that was never acked but seen, a change."""
ROOM: Final = 4
"""At most this many slots and pairs a row of the history: more is not a history that arrays suit."""
TIME_BITS: Final = 43
"""Times of a history of up to 2^43 ns (2.4 hours) are compared within groups in one walk."""
LEAST: Final = 1_000_000
"""This many slots and pairs are allowed however short the history is."""


class Tables:
    """The slots and seats of one history."""

    def __init__(self, facts: Facts, rows: int) -> None:
        """`facts`: without the arrivals, displays and finals. Raises Unsuited."""
        self._limit = ROOM * rows + LEAST
        self.devices = Index(_sorted(facts.owners["device"]))
        self.convs = Index(
            _sorted(pl.concat([facts.of(kind)["conv"] for kind in ("member", "send", "ack", "final_done")]))
        )
        self._slots(facts)
        self._seats(facts)
        self._fill(facts)

    def _slots(self, facts: Facts) -> None:
        self.top = np.zeros(len(self.convs), np.int64)
        """The highest number of each conversation."""
        for rows, seq in ((facts.acks, "seq"), (facts.changes, "seq"), (facts.heads, "head")):
            highest = rows.group_by("conv").agg(pl.col(seq).max())
            numbers = self.convs.of(_ints(highest["conv"]))
            self.top[numbers] = np.maximum(self.top[numbers], _ints(highest[seq]))
        if float(self.top.sum(dtype=np.float64)) + len(self.top) > self._limit:
            raise Unsuited
        self.base = np.concatenate([[0], np.cumsum(self.top + 1)]).astype(np.int64)
        """The slot of number 0 of each conversation."""
        slots = int(self.base[-1])
        self.state = np.full(slots, EMPTY, np.uint8)
        self.msg, self.hash = np.zeros(slots, np.int64), np.zeros(slots, np.int64)
        self.sent, self.due = np.zeros(slots, np.int64), np.zeros(slots, np.int64)
        self.known = np.full(slots, NEVER)
        """When the message was acked, or else first seen; NEVER if only finals tell of it."""
        self.sender = np.full(slots, -1, np.int64)
        """The device's number in `devices`."""

    def _seats(self, facts: Facts) -> None:
        spans = facts.device_spans.sort("device", "conv", "first")
        device, conv = self.devices.of(_ints(spans["device"])), self.convs.of(_ints(spans["conv"]))
        self.seat_device, self.seat_conv = device, conv
        self.first = _ints(spans["first"])
        stop = np.minimum(_ints(spans["last"]), self.top[conv] + 1)
        self.stop = np.maximum(stop, self.first + 1)
        widths = self.stop - self.first - 1
        if float(widths.sum(dtype=np.float64)) > self._limit or (self.first < 0).any():
            raise Unsuited
        self.offset = np.concatenate([[0], np.cumsum(widths)]).astype(np.int64)
        """The pair of the first number of each seat."""
        both = device * len(self.convs) + conv
        is_new = np.concatenate([[True], both[1:] != both[:-1]])[: len(both)]
        self.chair = np.cumsum(is_new) - 1
        self.chairs = Index(both[is_new])
        self.chair_seat = np.flatnonzero(is_new)
        self.most = int(np.bincount(self.chair).max()) if len(both) else 0
        """The most seats of a chair."""
        self.head = np.full(len(self.chairs), -1, np.int64)
        """The head of each chair's complete read-back; -1 without one."""
        heads = self.chair_of(self.devices.of(_ints(facts.heads["device"])), self.convs.of(_ints(facts.heads["conv"])))
        self.head[heads[heads >= 0]] = _ints(facts.heads["head"])[heads >= 0]
        if (self.head < -1).any():
            raise Unsuited

    def _fill(self, facts: Facts) -> None:
        """Put the acked messages and the changes into their slots."""
        taken = facts.acks.join(
            facts.sends.select(*MESSAGE, "due", sent="t", sender="device"), on=MESSAGE, maintain_order="left"
        )
        bodies = facts.of("send").select(*MESSAGE, "hash").unique(MESSAGE)
        taken = taken.join(bodies, on=MESSAGE, maintain_order="left")
        if taken.height != facts.acks.height or (taken["sender"] != taken["device"]).any():
            raise Unsuited  # acked and never sent, or acked on another device
        self.put(taken.with_columns(known="t"), ACKED)
        numbers = facts.changes
        slots = self.slot_of(self.convs.of(_ints(numbers["conv"])), _ints(numbers["seq"]))
        if (self.state[slots] != EMPTY).any():
            raise Unsuited
        self.state[slots] = CHANGE

    def put(self, messages: pl.DataFrame, state: int) -> None:
        """Put messages (conv, msg, seq, hash, sent, due, sender, known) into their slots. Raises Unsuited."""
        conv, seq = self.convs.of(_ints(messages["conv"])), _ints(messages["seq"])
        sender = self.devices.of(_ints(messages["sender"]))
        if (conv < 0).any() or (sender < 0).any() or (seq < 1).any() or (seq > self.top[conv]).any():
            raise Unsuited
        slots = self.slot_of(conv, seq)
        if (self.state[slots] != EMPTY).any():
            raise Unsuited  # a message and a change under one number
        self.state[slots] = state
        if np.count_nonzero(self.state == state) != len(slots):
            raise Unsuited  # two messages under one number
        if messages.select(MESSAGE).unique().height != len(slots):
            raise Unsuited  # one message under two numbers
        self.sender[slots] = sender
        for name in ("msg", "hash", "sent", "due", "known"):
            getattr(self, name)[slots] = _ints(messages[name])

    def slot_of(self, conv: Ints, seq: Ints) -> Ints:
        """Return the slots of numbers that conversations (by their numbers in `convs`) have."""
        return self.base[conv] + seq

    def chair_of(self, device: Ints, conv: Ints) -> Ints:
        """Return the chair of each device in each conversation (both by number); -1 if it has none."""
        known = (device >= 0) & (conv >= 0)
        return np.where(known, self.chairs.of(device * len(self.convs) + conv), -1)

    def pair_of(self, device: Ints, conv: Ints, seq: Ints) -> Ints:
        """Return the pair of each number at each device; -1 if it is no member there."""
        if not len(self.chairs):
            return np.full(len(seq), -1, np.int64)
        chair = self.chairs.of(device * len(self.convs) + conv)
        seat = self.chair_seat[chair]
        found = self.offset[seat] + seq - self.first[seat] - 1
        inside = (chair >= 0) & (self.first[seat] < seq) & (seq < self.stop[seat])
        found[~inside] = -1
        for place in range(1, self.most):
            left = np.flatnonzero((found < 0) & (chair >= 0))
            seat = self.chair_seat[chair[left]] + place
            ok = seat < len(self.chair)
            left, seat = left[ok], seat[ok]
            ok = (self.chair[seat] == chair[left]) & (self.first[seat] < seq[left]) & (seq[left] < self.stop[seat])
            left, seat = left[ok], seat[ok]
            found[left] = self.offset[seat] + seq[left] - self.first[seat] - 1
        return found

    def later_acks(self) -> Ints | None:
        """Return for each slot the first ack of a higher number of its conversation; NEVER without one.

        None if the history is too long or has too many conversations to tell.
        """
        acked = self.state == ACKED
        if not acked.any():
            return np.full(len(self.state), NEVER)
        low, high = int(self.known[acked].min()), int(self.known[acked].max())
        if high - low >= (1 << TIME_BITS) - 1 or len(self.convs) >= 1 << (63 - TIME_BITS):
            return None
        none = (1 << TIME_BITS) - 1
        conv = np.repeat(np.arange(len(self.convs)), self.top + 1)
        times = conv << TIME_BITS | np.where(acked, self.known - low, none)
        least = np.minimum.accumulate(times[::-1])[::-1] & none  # of this slot and the later ones of its conversation
        later = np.full(len(times), none)
        later[:-1] = np.where(conv[1:] == conv[:-1], least[1:], none)
        return np.where(later == none, NEVER, later + low)

    @property
    def pairs(self) -> int:
        return int(self.offset[-1])

    def covers(self) -> Ints:
        """Return the number of pairs of each slot."""
        steps = np.zeros(len(self.state) + 1, np.int64)
        wide = self.stop > self.first + 1
        base = self.base[self.seat_conv[wide]]
        np.add.at(steps, base + self.first[wide] + 1, 1)
        np.add.at(steps, base + self.stop[wide], -1)
        return np.cumsum(steps)[:-1]


class Unsuited(Exception):
    """The history is not one that arrays suit."""


def _ints(column: pl.Series) -> npt.NDArray[np.int64]:
    return np.ascontiguousarray(column.to_numpy(), np.int64)


def _sorted(column: pl.Series) -> Ints:
    return _ints(column.drop_nulls().unique().sort())
