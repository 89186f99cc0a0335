"""One simulated person with one device, without I/O: takes bytes and the time, returns bytes and history events.

It joins three machines: the plan (what the person does, and when), the chat client (sut.protocol.device.client), and
the WebSocket connection (sut.protocol.client_socket). Its driver owns the socket and the clock, and must
- write what `output` returns to the socket after any call; history events are appended before,
- call `seek` before the first attempt to connect, and `stay_away` when a planned absence begins without a connection,
- call `on_time` at `wake_at`,
- drop the connection when `must_drop` is not empty, and call `closed` when a connection or an attempt ended.
"""

from __future__ import annotations

import marshal
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Final

from load.device import body as bodies
from load.device.body import Draft
from load.device.causality import Ties
from load.device.doings import Doings
from load.history.events import message_id
from load.history.recorder import UNWATCHED, Recorder
from load.history.writer import now_ns
from load.plan.plan import ALWAYS_US, US, Absence, DevicePlan
from sut.protocol.causal import Dependency
from sut.protocol.client_socket import ClientSocket, address_of
from sut.protocol.device import rest as resting
from sut.protocol.device.client import Client
from sut.protocol.device.events import (
    Acked,
    ClientEvent,
    ClientSettings,
    GaveUp,
    HeldBack,
    MemberChange,
    Nacked,
    Notified,
    Online,
    OutboxFull,
    Presence,
    Sent,
    SentAgain,
    Show,
    Stalled,
    Told,
    Unwatched,
    Violation,
    Wire,
    Writing,
)
from sut.protocol.device.outbox import Compose
from sut.protocol.frames import Close, FrameError

if TYPE_CHECKING:
    from load.device.crypto import Encryption

MAX_MESSAGE: Final = 4 << 20
"""Largest WebSocket message in bytes that a device accepts: a PAGE of 200 bodies of 16 KB is below it."""
_MARSHAL: Final = 2
_EVERYTHING: Final = (1 << 48) - 1


@dataclass(kw_only=True)
class Run:
    """The state that all devices of a process share. Before `begin` no device sends, and latecomers stay away."""

    seed: int
    conversations: Sequence[int]
    """The id that the API gave to each conversation of the population, by its place there."""
    recorder: Recorder
    ties: Ties | None = None
    """If set, devices keep causal order."""
    settings: ClientSettings = field(default_factory=ClientSettings)
    rng: random.Random = field(default_factory=random.Random)
    """Source of waits and jitter only: the plan comes from the seed."""
    t0_s: float = math.inf
    """The plan's time 0, on the monotonic clock that drives the devices."""
    t0_ns: int = 0
    """The plan's time 0 on the history's clock."""
    read_share: float = 0.0
    """Share of the shown messages that people read at once."""
    crypto: Encryption | None = None
    """Real encryption for some of the devices."""
    tracer: bytes = b""
    """Bytes in every body that is not encrypted."""
    groups: frozenset[int] = frozenset()
    """Which of `conversations`, by id, are groups."""
    elastic: bool = False
    """Devices come and go as users do: what was due while nobody ran a device is not sent."""
    quiet: bool = False
    """True once no device sends, goes offline or stays away any more."""
    told_ns: int = 0
    """When the kernel told what is handled now, on the history's clock; 0: just now. Thousands of connections end at
    the same moment when a gateway dies, and the last of them is handled much later."""


def unheard(_event: ClientEvent) -> None:
    """Listen to no event."""


class Refusal(Enum):
    """The reason why an attempt to connect did not end in a connection."""

    TOKEN = 401
    OTHER = 0


class Device:
    """One simulated device. `now` is always seconds of the clock of `Run.t0_s`."""

    __slots__ = (
        "_client", "_client_seq", "_crypto", "_doings", "_due", "_moves", "_next_absence", "_next_send", "_now",
        "_online", "_open", "_plan", "_run", "_said", "_skipped", "_unsent", "_web", "device", "leaving", "listener",
        "moved", "must_drop", "put_away", "refusal", "refusal_text", "run_by_nobody", "sent_at",
    )  # fmt: skip

    def __init__(self, *, device: int, plan: DevicePlan, run: Run) -> None:
        self.device = device
        self._run = run
        self._plan = plan
        self._now = 0.0
        self._client_seq = 1
        self._next_send = 0
        self._next_absence = 0
        self._skipped = 0
        self._said = 0  # messages that no plan holds
        self.listener: Callable[[ClientEvent], None] = unheard
        """Told of each event after the history."""
        self._moves = 0  # changes of the address so far
        self.moved = False
        """The address has changed: the driver must leave the connection open and unread, and drop it for itself."""
        self.run_by_nobody = True
        """No user has this device now; `taken` ends it, and its driver sets it again."""
        self.put_away = False
        """Nobody wants it any more, while others go on: what waits in it is not sent. Its driver's to set."""
        self._unsent: dict[int, tuple[int, int]] = {}  # client_seq -> (planned ns, hash), until it is written down
        self._crypto = run.crypto.people.get(device) if run.crypto is not None else None
        read = self._crypto.read if self._crypto is not None else None
        self._client = Client(
            user=device,
            device=device,
            rng=run.rng,
            settings=run.settings,
            causality=run.ties.of(device, read) if run.ties is not None else None,
        )
        self._doings = Doings(
            self._client,
            plan,
            device=device,
            conversations=run.conversations,
            seed=run.seed,
            read_share=run.read_share,
            at=self._at,
        )
        self._web: ClientSocket | None = None
        self._open = False
        self._online = False
        self._due = False
        """The history says that this device is due online, whether it is or not."""
        self.sent_at = -math.inf
        """When it sent its last message, as far as this object knows."""
        self.must_drop = ""
        """The reason to drop the connection now; empty without one."""
        self.refusal: Refusal | None = None
        """Set if the gateway answered the upgrade with a status other than 101."""
        self.refusal_text = ""
        self.leaving: Absence | None = None
        """Set when the person goes offline as planned: write `output`, then end the connection."""

    @property
    def online(self) -> bool:
        """True while it is connected, registered and knows what it missed."""
        return self._online

    @property
    def open(self) -> bool:
        """True while the WebSocket connection is established."""
        return self._open

    def cell(self, cells: int) -> int | None:
        """Return which of the cells it uses now, from 0; None: none, it reaches the gateways directly."""
        mobile = self._plan.mobile
        return (mobile.cell + self._moves) % cells if mobile is not None and cells else None

    @property
    def begins_at(self) -> float:
        """The plan's time 0; inf: not known yet."""
        return self._run.t0_s

    def taken(self, now: float) -> None:
        """A user has this device from now on. Elastic: it begins with what is due from now."""
        if self._run.elastic and self.run_by_nobody:
            self._skip_to(now)
        self.run_by_nobody = self.put_away = False

    def away_until(self, now: float) -> float:
        """Return when the person wants to be online: `now`, or the end of an absence (inf: unknown before t0)."""
        absence = self._absence(now)
        if absence is None or self._run.quiet or now < self._begins_at(absence):
            return now
        return max(now, self._at(absence.to_us))

    def seek(self) -> None:
        """The person wants to be online: call when an attempt to connect begins."""
        if not self._due:
            self._due = True
            self._run.recorder.due_online(self.device)

    def connect(self, url: str, token: str) -> None:
        """Begin a connection once TCP is connected. `output` then holds the upgrade request."""
        self._web = ClientSocket.dial(address_of(url), token, MAX_MESSAGE)
        self._open = False
        self.must_drop, self.refusal, self.refusal_text, self.leaving, self.moved = "", None, "", None, False

    def receive(self, data: bytes, now: float) -> None:
        """Handle bytes from the gateway; empty means the end of its stream."""
        self._now = now
        web = self._web
        if web is None or self.leaving is not None:
            return
        messages = web.receive(data)
        if data:
            self._client.heard(now)
        if not self._open:
            self._upgraded(web, now)
        for message in messages:
            try:
                self._client.receive(message, now)
            except FrameError as error:
                self._broken(str(error))
        if self._open and not web.open:
            if web.fault is not None and web.fault.code == Close.TEXT:
                self._broken("a text frame")
            why = f"closed by the gateway, {web.close_code}" if web.close_code else "the connection broke"
            self.must_drop = self.must_drop or why
        self._drain()

    def on_time(self, now: float) -> None:
        """Do what is due: send messages, let the client retry, go offline as planned."""
        self._now = now
        if not self._run.quiet:
            self._follow_plan(now)
        self._send_controls(now)
        self._client.tick(now)
        self._drain()

    def wake_at(self) -> float:
        """Return when `on_time` has something to do; inf: not before something arrives."""
        return min(self._client.next_wakeup(), self.next_deed())

    def next_deed(self) -> float:
        """Return when the person, not the client, has something to do next; inf: never."""
        if self._crypto is not None and self._crypto.outgoing:
            return -math.inf
        if self._run.quiet:
            return math.inf
        at = math.inf
        sends = self._plan.sends
        if self._next_send < len(sends):
            at = min(at, self._at(sends[self._next_send].due_us))
        at = min(at, self._doings.wake_at())
        if self._open and self.leaving is None:
            at = min(at, self._moves_at())
        if self._open and self.leaving is None and self._next_absence < len(self._plan.absences):
            at = min(at, self._begins_at(self._plan.absences[self._next_absence]))
        return at

    def wrote_all(self) -> bool:
        """Return True if every planned message was sent, or refused by a full outbox."""
        return self._next_send == len(self._plan.sends) and not self._client.untold

    @property
    def sends(self) -> tuple[int, int]:
        """(planned, never made so far); those that wait in the outbox count as one. Elastic: of those that were due."""
        waiting = int(self._client.untold)
        if self._run.elastic:
            return self._next_send - self._skipped + self._said, 0 if self.put_away else waiting
        return len(self._plan.sends), len(self._plan.sends) - self._next_send + waiting

    def say(self, conv: int, text: bytes, now: float) -> int:
        """Send a message that no plan holds, due now, once the run has begun. Returns its client_seq.

        Raises OutboxFull. `text` has at most MAX_TEXT bytes.
        """
        self._now, due_ns, client_seq = now, now_ns(), self._client_seq
        draft = Draft(conv, message_id(self.device, client_seq), due_ns - self._run.t0_ns, 0)
        self._hand_in(conv, lambda now: self._compose(draft, self._client.dependencies(conv, now), text), due_ns, now)
        if self._client_seq == client_seq:
            raise OutboxFull(f"device {self.device} waits for the answers to too many messages")
        self._said += 1
        self._drain()
        return client_seq

    def type(self, conv: int, now: float) -> None:
        """The person presses a key in this conversation; nothing is sent while offline."""
        self._client.typing(conv, now)
        self._drain()

    def read(self, conv: int, now: float) -> None:
        """The person reads all of this conversation that was shown."""
        self._client.mark_read(conv, _EVERYTHING, now)
        self._drain()

    def output(self) -> bytes:
        """Return the bytes to write to the socket now."""
        return self._web.output() if self._web is not None else b""

    def leave(self, absence: Absence) -> None:
        """Go offline on purpose. Bytes that arrive from now on are ignored."""
        self._drain()
        self.leaving = absence
        if self._online:
            self._online = self._due = False
            self._run.recorder.offline(self.device, planned=True)
        self.stay_away()
        if absence.clean and self._web is not None:
            self._web.close(Close.GOING_AWAY)

    def stay_away(self) -> None:
        """A planned absence began while the device was not online: record that nobody waits for it."""
        if self._due:
            self._due = False
            self._run.recorder.stays_away(self.device)

    def closed(self, now: float) -> float:
        """The connection ended, or could not be made. Returns the seconds to wait before the next attempt."""
        self._now = now
        wait_s = self._client.disconnected(now)
        self._drain()
        if self._online:
            self._online = False
            self._run.recorder.offline(self.device, planned=False, t=self._run.told_ns)
        if self.leaving is None:
            self._run.recorder.counters.drops += 1
        self._web = None
        self._open = False
        self.leaving = None
        return wait_s

    def rest(self) -> bytes | None:
        """Return all that this device knows, in few bytes for `wake`; None while it has something under way."""
        web = self._web
        if self._unsent or self.leaving is not None or self._crypto is not None:
            return None
        if web is not None and (not self._open or self.must_drop or not web.idle):
            return None
        client = resting.rest(self._client)
        if client is None:
            return None
        return marshal.dumps((
            client, self._client_seq, self._next_send, self._next_absence, self._skipped, self._online, self._due,
            self._open, self._doings.place,
        ), _MARSHAL)  # fmt: skip

    def discard(self) -> None:
        """Free this object, which is used no more after `rest`, without waiting for a garbage collection."""
        self._client.discard()
        del self._doings

    def beats_ahead(self) -> tuple[float, float, int]:
        """Return when the next HEARTBEAT is due, the seconds between two, and how many may be sent for it at rest."""
        return self._client.beats_ahead()

    def beaten(self, count: int, sent_at: float, heard_at: float | None) -> None:
        """Note the HEARTBEATs that were sent for this device at rest (Client.beaten)."""
        self._client.beaten(count, sent_at, heard_at)

    def wake(self, rested: bytes) -> None:
        """Bring a new device to where the one was that rested, of the same id, plan and run."""
        (
            client, self._client_seq, self._next_send, self._next_absence, self._skipped, self._online, self._due,
            self._open, self._doings.place,
        ) = marshal.loads(rested)  # fmt: skip  # noqa: S302 (this process wrote it)
        resting.wake(self._client, client)
        if self._open:
            self._web = ClientSocket(MAX_MESSAGE)

    def _at(self, us: int) -> float:
        return self._run.t0_s + us / US

    def _begins_at(self, absence: Absence) -> float:
        return -math.inf if absence.from_us == ALWAYS_US else self._at(absence.from_us)

    def _absence(self, now: float) -> Absence | None:
        """Return the current or next planned absence; forgets those that are over."""
        absences = self._plan.absences
        while self._next_absence < len(absences):
            absence = absences[self._next_absence]
            if now < self._at(absence.to_us):
                return absence
            self._next_absence += 1
        return None

    def _skip_to(self, now: float) -> None:
        """Leave undone what was due while nobody ran this device."""
        sends = self._plan.sends
        while self._next_send < len(sends) and self._at(sends[self._next_send].due_us) <= now:
            self._next_send += 1
            self._skipped += 1

    def _follow_plan(self, now: float) -> None:
        if self._run.elastic and self.run_by_nobody:
            self._skip_to(now)
        sends = self._plan.sends
        while self._next_send < len(sends) and self._at(sends[self._next_send].due_us) <= now:
            self._submit(now)
        self._doings.follow(now)
        absence = self._absence(now)
        if absence is not None and self._open and self.leaving is None and now >= self._begins_at(absence):
            self.leave(absence)
        if self._moves_at() <= now:
            self._move(now)

    def _moves_at(self) -> float:
        """Return when its address changes next."""
        moves = self._plan.mobile.moves if self._plan.mobile is not None else ()
        return self._at(moves[self._moves]) if self._moves < len(moves) else math.inf

    def _move(self, now: float) -> None:
        """Its network is gone. A device without a connection notices nothing."""
        self._forget_moves(now)
        if self._open and self.leaving is None:
            self.moved = True
            self.must_drop = self.must_drop or "its address changed"

    def _forget_moves(self, now: float) -> None:
        """Count the changes of the address until now as done."""
        while self._moves_at() <= now:
            self._moves += 1

    def _submit(self, now: float) -> None:
        send = self._plan.sends[self._next_send]
        self._next_send += 1
        conv, offset_ns = self._run.conversations[send.conversation], send.due_us * 1000
        draft = Draft(conv, message_id(self.device, self._client_seq), offset_ns, send.size)

        def make(now: float) -> bytes:
            return self._compose(draft, self._client.dependencies(conv, now))

        self._hand_in(conv, make, self._run.t0_ns + offset_ns, now)

    def _compose(self, draft: Draft, dependencies: Sequence[Dependency], text: bytes | None = None) -> bytes:
        """Return the body of a message, encrypted if this device encrypts and has the keys. `text`: only without keys.

        Called once for a message, at its first transmission, because encryption advances with each message. A retry
        sends the same bytes.
        """
        run, size = self._run, draft.size
        if self._crypto is not None:
            sealed = self._crypto.seal(draft, dependencies)
            if sealed is not None:
                return sealed
        if run.crypto is not None:
            size = run.crypto.true_size(size, group=draft.conv in run.groups)
        return bodies.make(
            seed=run.seed,
            msg=draft.msg,
            due_offset_ns=draft.due_offset_ns,
            size=size,
            canary=run.tracer,
            dependencies=dependencies,
            text=text,
        )

    def _send_controls(self, now: float) -> None:
        """Send the control messages of encryption."""
        if self._crypto is not None:
            outgoing, self._crypto.outgoing = self._crypto.outgoing, []
            for conv, body in outgoing:
                self._hand_in(conv, lambda _now, body=body: body, now_ns(), now)  # type: ignore[misc]

    def _hand_in(self, conv: int, make: Compose, due_ns: int, now: float) -> None:
        """Submit a message. `make` is called once, when it is transmitted for the first time."""
        client_seq = self._client_seq

        def made(now: float) -> bytes:
            body = make(now)
            self._unsent[client_seq] = (due_ns, bodies.digest(body))
            return body

        try:
            taken = self._client.submit(conv, made, now)
        except OutboxFull:
            self._run.recorder.not_invoked()
            return
        assert taken == client_seq, "the client counts its messages as the body says"
        self._client_seq += 1

    def _upgraded(self, web: ClientSocket, now: float) -> None:
        """Check whether the answer to the upgrade has come."""
        if web.open:
            self._forget_moves(now)
            self._open = True
            self._run.recorder.counters.connects += 1
            self._client.connected(now)
        elif web.refused is not None:
            self.refusal = Refusal.TOKEN if web.refused.status == Refusal.TOKEN.value else Refusal.OTHER
            self.refusal_text = str(web.refused)
        elif web.close_code is not None or web.fault is not None:
            self.refusal, self.refusal_text = Refusal.OTHER, "closed with the answer to the upgrade"

    def _broken(self, text: str) -> None:
        self._run.recorder.violation(self.device, text)
        self.must_drop = f"the gateway broke the protocol: {text}"
        if self._web is not None:
            self._web.close(Close.PROTOCOL)

    def _drain(self) -> None:
        """Pass events to the history first, then frames to the connection."""
        client, recorder, device = self._client, self._run.recorder, self.device
        for event in client.events():
            match event:
                case Wire():
                    recorder.wire(device, event)
                case Show(message):
                    plain = self._crypto.shown(message) if self._crypto is not None else None
                    sealed = plain is None and self._crypto is not None and self._crypto.encrypted(message)
                    recorder.shown(device, event, plain=plain, sealed=sealed)
                    self._doings.shown(event, self._now)
                case Notified():
                    recorder.notified(device, event)
                case Acked():
                    recorder.acked(device, event)
                    if self._crypto is not None:
                        self._crypto.acked(event.client_seq, event.seq)
                case Sent(conv, client_seq):
                    self.sent_at = self._now
                    due_ns, hash_ = self._unsent.pop(client_seq)
                    recorder.sent(device, conv, client_seq, due_ns=due_ns, hash_=hash_)
                case Online():
                    self._online = self._due = True
                    recorder.online(device)
                case HeldBack():
                    recorder.held_back(device, event)
                case SentAgain():
                    recorder.sent_again(device, event)
                case Nacked():
                    recorder.nacked(device, event)
                case GaveUp():
                    recorder.gave_up(device, event)
                case Stalled(reason):
                    self.must_drop = reason
                case Told():
                    recorder.receipt(device, event)
                case Presence(user, online):
                    recorder.presence(device, user, int(online))
                case Unwatched(user):
                    recorder.presence(device, user, UNWATCHED)
                case Writing(active=True):
                    recorder.counters.typing += 1
                case Violation(text):
                    recorder.violation(device, text)
                case MemberChange() if self._crypto is not None:
                    self._crypto.changed(event)
            # The others ask nothing of a person: Drained, and a MemberChange of one without encryption
            self.listener(event)
        web = self._web
        for data in client.frames():
            if self._open and self.leaving is None and web is not None:
                web.send(data)
