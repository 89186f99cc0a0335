"""The live ledger: counts from the swarm's histories so far, for the progress line and to know when all is delivered.

Read-only and incremental: each `update` reads what the swarm's processes appended since the last one. It is for people
who watch a run; the verdict reads the same files afterwards and does not depend on it.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from load.history.events import Event, Record
from load.history.writer import HistoryTail, now_ns

S_NS = 1_000_000_000


class Ledger(NamedTuple):
    """The counts at one moment."""

    devices: int
    online: int
    sends: int
    acked: int
    nacked: int
    """Number of definite refusals."""
    shown: int
    """Deliveries: displayed at a device other than the sender's, once each."""
    expected: int
    """Deliveries that the acked messages require: one at each member device other than the sender's."""
    duplicates: int
    """Messages displayed at or below a number that the device had displayed."""

    @property
    def unanswered(self) -> int:
        """Sends without a final answer."""
        return self.sends - self.acked - self.nacked

    @property
    def undelivered(self) -> int:
        """Deliveries still to come."""
        return max(0, self.expected - self.shown)


class _Acked:
    """An acked message that some member's device has not displayed yet."""

    __slots__ = ("acked_ns", "waiting")

    def __init__(self, acked_ns: int, waiting: set[int]) -> None:
        self.acked_ns = acked_ns
        self.waiting = waiting


class LedgerReader:
    """Follows all history files of a directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._tails: dict[Path, HistoryTail] = {}
        self._devices: dict[int, int] = {}  # device -> user
        self._online: set[int] = set()
        self._devices_of: defaultdict[int, set[int]] = defaultdict(set)
        self._members: defaultdict[int, list[tuple[int, int, bool]]] = defaultdict(list)  # conv -> (seq, user, add)
        self._acks: defaultdict[int, list[tuple[int, int, int]]] = defaultdict(list)  # conv -> (seq, msg, acked at)
        self._open: dict[int, _Acked] = {}  # msg -> not displayed everywhere yet
        self._early: defaultdict[int, set[int]] = defaultdict(set)  # msg -> devices that displayed it early
        self._shown_to: dict[tuple[int, int], int] = {}  # (device, conv) -> last number displayed
        self._sends = self._acked = self._nacked = self._shown = self._expected = self._duplicates = 0

    def update(self) -> Ledger:
        """Read the new records and return the counts. Raises OSError."""
        for path in self._directory.glob("*.bin"):
            if path not in self._tails:
                self._tails[path] = HistoryTail(path)
        records = [record for tail in self._tails.values() for record in tail.read()]
        # Within one batch, memberships first: a message's recipients must be known when its ack is counted.
        late: list[Record] = []
        for record in records:
            if record[7] == Event.MEMBER:
                self._member(record)
            elif record[7] == Event.DEVICE:
                self._devices[record[2]] = record[4]
                self._devices_of[record[4]].add(record[2])
            else:
                late.append(record)
        for record in sorted(late):
            self._take(record)
        return self.ledger()

    def ledger(self) -> Ledger:
        """Return the counts as of the last `update`."""
        return Ledger(
            devices=len(self._devices),
            online=len(self._online),
            sends=self._sends,
            acked=self._acked,
            nacked=self._nacked,
            shown=self._shown,
            expected=self._expected,
            duplicates=self._duplicates,
        )

    def overdue(self, after_s: float, *, at_ns: int = 0) -> int:
        """Return the missing deliveries to devices that are online now, of messages acked more than `after_s` ago."""
        limit_ns = (at_ns or now_ns()) - int(after_s * S_NS)
        return sum(len(item.waiting & self._online) for item in self._open.values() if item.acked_ns < limit_ns)

    def all_drained(self) -> bool:
        """Return True if every send has its final answer and every acked message is displayed at all member devices.

        It may never become true: a device can abandon a send, and a swarm process can die with its devices. Wait with a
        bound.
        """
        return self._sends > 0 and self._sends <= self._acked + self._nacked and not self._open

    def close(self) -> None:
        for tail in self._tails.values():
            tail.close()
        self._tails.clear()

    def _take(self, record: Record) -> None:
        t, _, device, conv, msg, seq, _, kind, arg, _, _ = record
        if kind == Event.SHOW:
            self._display(device, conv, msg, seq)
        elif kind == Event.ACK:
            self._acked += 1
            self._expect(conv, msg, seq, sender=device, t=t)
        elif kind == Event.SEND:
            self._sends += 1
        elif kind == Event.NACK:
            self._nacked += arg
        elif kind == Event.ONLINE:
            self._online.add(device)
        elif kind == Event.OFFLINE:
            self._online.discard(device)

    def _member(self, record: Record) -> None:
        conv, user, seq, add = record[3], record[4], record[5], bool(record[8])
        self._members[conv].append((seq, user, add))
        if seq == 0:
            return
        self._members[conv].sort()
        # The answer to a change may come after messages behind it were counted with the old members.
        for acked_seq, msg, acked_ns in self._acks[conv]:
            if acked_seq > seq:
                devices = self._devices_of[user] - {msg >> 32}
                self._expected += len(devices) if add else -len(devices)
                item = self._open.get(msg)
                waiting = item.waiting if item else set()
                missing = waiting | (devices - self._early[msg]) if add else waiting - devices
                self._wait_for(msg, acked_ns, missing)

    def _wait_for(self, msg: int, acked_ns: int, devices: set[int]) -> None:
        if devices:
            self._open[msg] = _Acked(acked_ns, devices)
        else:
            self._open.pop(msg, None)

    def _expect(self, conv: int, msg: int, seq: int, *, sender: int, t: int) -> None:
        devices: set[int] = set()
        for user in self._members_at(conv, seq):
            devices |= self._devices_of[user]
        devices.discard(sender)
        self._expected += len(devices)
        self._acks[conv].append((seq, msg, t))
        self._wait_for(msg, t, devices - self._early.pop(msg, set()))

    def _members_at(self, conv: int, seq: int) -> set[int]:
        members: set[int] = set()
        for changed_at, user, add in self._members[conv]:
            if changed_at > seq:
                break
            if add:
                members.add(user)
            else:
                members.discard(user)
        return members

    def _display(self, device: int, conv: int, msg: int, seq: int) -> None:
        if seq <= self._shown_to.get((device, conv), 0):
            self._duplicates += 1
            return
        self._shown_to[device, conv] = seq
        if msg >> 32 == device:
            return
        self._shown += 1
        item = self._open.get(msg)
        if item is None or device not in item.waiting:
            self._early[msg].add(device)
            return
        item.waiting.discard(device)
        if not item.waiting:
            del self._open[msg]
