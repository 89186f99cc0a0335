"""Records the events of a process's devices: history, live counters, latencies, Locust's statistics.

The history comes first and is the only part that is judged; the rest is for people who watch.
"""

from __future__ import annotations

import logging
from collections.abc import Container, Mapping
from typing import Final, Protocol

import msgspec

from load.device import body as bodies
from load.history.events import SEALED, Event, Explanation, message_id
from load.history.latency import Histogram
from load.history.writer import HistoryWriter, machine_id, now_ns
from sut.protocol.device.events import Acked, GaveUp, HeldBack, Nacked, Notified, SentAgain, Show, Told, Wire
from sut.protocol.frames import Message
from sut.protocol.signals import ReceiptKind
from sut.protocol.tracing import is_traced

_LOGGER = logging.getLogger(__name__)
_LOGGED_VIOLATIONS: Final = 20
_I64: Final = (1 << 63) - 1
"""Mask for ids: even an invalid id from a broken service must fit the history, so that it can be judged a phantom."""
UNWATCHED: Final = 2
"""The state in a presence event that ends a picture: the viewer stopped watching."""
MAX_NOTIFIED: Final = 100_000
"""Maximum number of (device, conversation) pairs that wait for a body after a NOTIFY; others are not traced."""
MAX_NOTIFIED_HERE: Final = 64
"""Maximum number of NOTIFYs kept for one of them."""


class Counters(msgspec.Struct, kw_only=True):
    """Counts of what a process's devices did so far, and how many are online now."""

    devices: int = 0
    online: int = 0
    sends: int = 0
    acked: int = 0
    refused: int = 0
    """Number of definite NACKs."""
    not_taken: int = 0
    """NACKs that ask for a retry."""
    gave_up: int = 0
    expected: int = 0
    """Deliveries that the acked messages require; approximate, because groups change during the run."""
    shown: int = 0
    """Deliveries: displayed at a device other than the sender's."""
    wire: int = 0
    connects: int = 0
    drops: int = 0
    """Connections that ended unplanned, or could not be made."""
    violations: int = 0
    receipts: int = 0
    typing: int = 0
    """Typing notices that devices received."""
    presence: int = 0
    """States that viewers were told."""
    not_invoked: int = 0
    """Planned sends that were dropped because the device's outbox was full."""
    held: int = 0
    """Displays that waited for their dependencies, or behind one that did."""
    held_late: int = 0
    """The subset of `held` that was shown in the end without its dependencies."""

    @property
    def pending(self) -> int:
        """Sends without an answer yet."""
        return self.sends - self.acked - self.refused - self.gave_up

    def plus(self, other: Counters) -> Counters:
        """Return the sums of both."""
        names = self.__struct_fields__
        return Counters(**{name: getattr(self, name) + getattr(other, name) for name in names})


class Observer(Protocol):
    """Receives the events for Locust's statistics; latencies are in ns from the planned time."""

    def acked(self, latency_ns: int) -> None:
        """A send was acknowledged."""

    def shown(self, latency_ns: int, *, group: bool, size: int) -> None:
        """A message was displayed at a device other than its sender's."""

    def failed(self, text: str) -> None:
        """A send was refused or given up."""


class Nobody:
    """An observer that does not look."""

    def acked(self, latency_ns: int) -> None:
        pass

    def shown(self, latency_ns: int, *, group: bool, size: int) -> None:
        pass

    def failed(self, text: str) -> None:
        pass


class Recorder:
    """Writes what happens to the devices of one process. `begin` must be called before the first send."""

    def __init__(
        self,
        history: HistoryWriter,
        *,
        groups: Container[int],
        recipients: Mapping[int, int],
        observer: Observer,
        trace_every: int = 0,
    ) -> None:
        """`recipients`: recipients of a message to each conversation, as planned, without membership changes."""
        self._history = history
        self.groups = groups
        """The ids of the conversations that are groups."""
        self._recipients = recipients
        self._observer = observer
        self._t0_ns = 0
        self._due: dict[int, int] = {}  # message id -> when an unsettled send was planned
        self._there_ns: dict[int, int] = {}
        """Device -> time since which it is online by its plan, whether or not the connection broke meanwhile."""
        self._trace_every = trace_every
        self._notified: dict[tuple[int, int], list[tuple[int, int]]] = {}
        """(device, conv) -> numbers in NOTIFYs whose bodies have not arrived, each with its arrival time."""
        if trace_every:
            history.append(Explanation.MACHINE, msg=machine_id(), seq=trace_every)
        self.counters = Counters()
        self.ack_latency = Histogram()
        self.show_latency = Histogram()
        self.hold = Histogram()

    def begin(self, t0_ns: int) -> None:
        """Set the time from which planned times count."""
        self._t0_ns = t0_ns

    def due_online(self, device: int) -> None:
        """The device begins to connect, as its user wants; from now on its absence is not planned."""
        self._history.append(Event.DUE_ONLINE, device=device)

    def online(self, device: int) -> None:
        """Record that the device is connected, registered and knows what it missed."""
        self.counters.online += 1
        self._history.append(Event.ONLINE, device=device)
        self._there_ns.setdefault(device, now_ns())

    def offline(self, device: int, *, planned: bool, t: int = 0) -> None:
        """Record that an online device went offline. `t`: when, on the history's clock in ns; 0: now."""
        self.counters.online -= 1
        self._history.append(Event.OFFLINE, t=t, device=device, arg=int(planned))
        if planned:
            self._there_ns.pop(device, None)

    def stays_away(self, device: int) -> None:
        """Record that a device that is due online, and is not, has reached its planned absence."""
        self._history.append(Event.OFFLINE, device=device, arg=1)
        self._there_ns.pop(device, None)

    def sent(self, device: int, conv: int, client_seq: int, *, due_ns: int, hash_: int) -> None:
        """Record the first transmission of a message. Call it before the bytes reach the socket."""
        msg = message_id(device, client_seq)
        self._history.append(Event.SEND, due=due_ns, device=device, conv=conv, msg=msg, hash_=hash_)
        self._due[msg] = due_ns
        self.counters.sends += 1

    def sent_again(self, device: int, event: SentAgain) -> None:
        """Record a further transmission of a message."""
        if is_traced(device, event.client_seq, self._trace_every):
            msg = message_id(device, event.client_seq)
            self._history.append(Explanation.SENT_AGAIN, device=device, conv=event.conv, msg=msg)

    def acked(self, device: int, event: Acked) -> None:
        """Record the ack of a send."""
        t = now_ns()
        msg = message_id(device, event.client_seq)
        self._history.append(Event.ACK, t=t, device=device, conv=event.conv, msg=msg, seq=event.seq)
        self.counters.acked += 1
        self.counters.expected += self._recipients.get(event.conv, 0)
        due_ns = self._due.pop(msg, None)
        if due_ns is not None:
            self.ack_latency.add_ns(t - due_ns)
            self._observer.acked(t - due_ns)

    def nacked(self, device: int, event: Nacked) -> None:
        """Record a NACK, definite or not."""
        msg = message_id(device, event.client_seq)
        self._history.append(Event.NACK, device=device, conv=event.conv, msg=msg, arg=int(event.definite))
        if event.definite:
            self.counters.refused += 1
            self._due.pop(msg, None)
            self._observer.failed(f"refused for good, NACK code {event.code}")
        else:
            self.counters.not_taken += 1
            self._observer.failed(f"not taken, to be tried again, NACK code {event.code}")

    def gave_up(self, device: int, event: GaveUp) -> None:
        """Record that the device stopped waiting for an answer; the outcome stays open."""
        self.counters.gave_up += 1
        self._due.pop(message_id(device, event.client_seq), None)
        self._observer.failed("given up without an answer")

    def not_invoked(self) -> None:
        """Count a planned send that was dropped because the outbox was full. The history does not hold it."""
        self.counters.not_invoked += 1

    def violation(self, device: int, text: str) -> None:
        """Count a protocol violation of the service. The first _LOGGED_VIOLATIONS are logged."""
        self.counters.violations += 1
        if self.counters.violations <= _LOGGED_VIOLATIONS:
            _LOGGER.warning("device %d: the service broke its protocol: %s", device, text)

    def held_back(self, device: int, event: HeldBack) -> None:
        """Record that the next displayed message waited for its dependencies, or behind one that did."""
        self.counters.held += 1
        self.hold.add_ns(round(event.for_s * 1e9))
        if event.late:
            self.counters.held_late += 1
        if event.late and self.counters.held_late <= _LOGGED_VIOLATIONS:
            _LOGGER.warning("device %d: number %d of conversation %d waited %.1f s in vain", device, event.seq,
                            event.conv, event.for_s)  # fmt: skip

    def notified(self, device: int, event: Notified) -> None:
        """Keep a NOTIFY until its messages arrive: only then is it known whether they are traced."""
        if self._trace_every and len(self._notified) < MAX_NOTIFIED:
            waiting = self._notified.setdefault((device, event.conv), [])
            if len(waiting) < MAX_NOTIFIED_HERE:
                waiting.append((event.head, now_ns()))

    def receipt(self, device: int, event: Told) -> None:
        """Record a receipt at the author's device."""
        if event.kind in (ReceiptKind.DELIVERED, ReceiptKind.READ):
            self.counters.receipts += 1
            self._history.append(
                Event.RECEIPT,
                device=device,
                conv=event.conv & _I64,
                seq=event.seq,
                msg=event.by & _I64,
                arg=event.kind,
            )

    def presence(self, viewer: int, user: int, state: int) -> None:
        """Record that a viewer is told that a user is online (1) or offline (0), or stops watching (UNWATCHED)."""
        self.counters.presence += state != UNWATCHED
        self._history.append(Event.PRESENCE, device=viewer, msg=user, arg=state)

    def _body_is_here(self, device: int, conv: int, seq: int, msg: int, *, traced: bool) -> None:
        waiting = self._notified.get((device, conv))
        if waiting is None:
            return
        if traced:
            told = next(((head, t) for head, t in waiting if head >= seq), None)
            if told is not None:
                head, t = told
                self._history.append(Explanation.NOTIFIED, t=t, device=device, conv=conv, msg=msg, seq=head)
        left = [(head, t) for head, t in waiting if head > seq]
        if left:
            self._notified[device, conv] = left
        else:
            del self._notified[device, conv]

    def wire(self, device: int, event: Wire) -> None:
        """Record the arrival of a message, duplicates included."""
        self.counters.wire += 1
        conv, seq, _, _, sender, client_seq, body = event.message
        msg = message_id(sender, client_seq) & _I64
        if self._notified:
            traced = is_traced(sender, client_seq, self._trace_every)
            self._body_is_here(device, conv, seq, msg, traced=traced)
        self._history.append(Event.WIRE, device=device, conv=conv, msg=msg, seq=seq, hash_=bodies.digest(body))

    def spoiled(self, device: int, message: Message, text: str) -> None:
        """Record an encrypted message that is not what was sent, with another content."""
        self.violation(device, f"number {message.seq} of conversation {message.conv}: {text}")
        msg = message_id(message.device, message.client_seq) & _I64
        hash_ = bodies.digest(message.body + b"spoiled")
        self._history.append(Event.WIRE, device=device, conv=message.conv, msg=msg, seq=message.seq, hash_=hash_)

    def shown(self, device: int, event: Show, *, plain: bytes | None = None, sealed: bool = False) -> None:
        """Record the display of a message; `plain`: its plaintext if it was encrypted, `sealed`: unreadable yet."""
        t = now_ns()
        conv, seq, _, _, sender, client_seq, body = event.message
        msg = message_id(sender, client_seq) & _I64
        self._history.append(
            Event.SHOW, t=t, device=device, conv=conv, msg=msg, seq=seq, hash_=bodies.digest(body),
            arg=SEALED if sealed else int(event.incomplete),
        )  # fmt: skip
        if sender == device:
            return
        self.counters.shown += 1
        offset_ns = bodies.due_offset_ns(body if plain is None else plain)
        if offset_ns is None or not self._t0_ns:
            return
        # As in the verdict: a message that waited for a device away as planned says nothing about the system.
        since_ns = self._there_ns.get(device)
        if since_ns is not None and since_ns <= self._t0_ns + offset_ns:
            latency_ns = t - self._t0_ns - offset_ns
            self.show_latency.add_ns(latency_ns)
            self._observer.shown(latency_ns, group=conv in self.groups, size=len(body))
