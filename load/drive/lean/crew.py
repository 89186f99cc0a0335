"""All devices of one fleet process: one epoll, one wheel, and arrays for the devices at rest.

A row is a device. At rest it has a phase, a file descriptor, an alarm and what its device remembers (Device.rest).
Its heartbeats are sent and answered without waking it (rhythm.py). Active, it is a LeanSession in `_active`. After a
send it stays active for a little while, for the receipts. The API is asked by one thread, so that no device waits for
another's answer.
"""

from __future__ import annotations

import math
import os
import queue
import random
import select
import threading
import time
from array import array
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

from load.device.device import Device, Run
from load.drive.api import ApiClient, ApiError
from load.drive.gateways import Gateways
from load.drive.lean.rhythm import BEAT, Rhythm
from load.drive.lean.session import SETTLED, LeanSession, Phase, read
from load.drive.lean.wheel import Wheel
from load.drive.lean.world import World
from load.history.writer import now_ns
from load.plan.plan import US

RESTLESS_S: Final = 1.0
"""A device that has something to do within this time stays active."""
PAUSE_S: Final = 0.002
"""Minimum seconds between two alarms of a device, so that one device cannot starve the others."""
LINGER_S: Final = 2.0
"""A device stays active for so long after a send: a receipt comes from each device that shows it, one after another."""
LINGERING: Final = 512
"""Devices that may do so at the same time."""
OFTEN_S: Final = 0.008
GATHER_S: Final = 0.004
"""A process that was woken more often than once in OFTEN_S lately takes together what arrives within GATHER_S: to wake
costs more than most events. What devices see is stamped up to so much later; what they do themselves is not delayed."""
ANSWERS_S: Final = 0.004
"""The same after heartbeats: the answers to all of them arrive within about this time."""
LATELY: Final = 16
"""The number of wake-ups that count for that."""
TOLD_AT_ONCE: Final = 4096
"""Sockets of which one look at the kernel tells that they are ready: most of those that a dead gateway leaves."""
LEAVE_AT_ONCE: Final = 100
"""Devices that leave before the others have their turn: some 50 ms."""
BURST: Final = 64
"""Alarms handled before the sockets get a turn."""


class Crew:
    """The devices of one process: the rows `first`, `first` + `step`, ... of the world."""

    def __init__(
        self,
        *,
        world: World,
        first: int,
        step: int,
        device_of: Callable[[int], int],
        run: Run,
        tokens: Callable[[int], str],
        api: ApiClient,
        api_key: str,
        source: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`device_of` and `tokens` take a row of the world; `source`: the address from which the devices connect."""
        self._world, self._first, self._step = world, first, step
        self._device_of, self._tokens = device_of, tokens
        self._run = run
        self._api, self._api_key = api, api_key
        self.source = source
        self.clock = clock
        self.now = clock()
        self.gateways = Gateways(api, rng=random.Random())
        self.quiet = False
        """True once no more sends are to come."""
        rows = len(range(first, world.rows, step))
        self.rows = rows
        run.recorder.counters.devices = rows
        self._wheel = Wheel(rows)
        self._phases = bytearray(rows)
        self._fds = array("i", [-1]) * rows
        self._until = array("d", [math.inf]) * rows
        self._left = array("I", (world.planned(self._place(row)) for row in range(rows)))
        """The sends of a device at rest that are still to come."""
        self._rested: list[bytes | None] = [None] * rows
        self._rhythm = Rhythm(rows, timeout_s=run.settings.beat_timeout_s)
        self._active: dict[int, LeanSession] = {}
        self._lingering: dict[int, float] = {}
        """Active rows that wait for receipts -> until when, about in this order."""
        self._by_fd: dict[int, int] = {}
        self._renewed: dict[int, str] = {}
        """Tokens that replaced those of the parent, by row."""
        self._woken = deque([-math.inf] * LATELY, maxlen=LATELY)
        """When the last looks at the sockets ended."""
        self._gather_until = -math.inf
        self._epoll = select.epoll()
        self._desk = _Desk()
        self._epoll.register(self._desk.fd, select.EPOLLIN)
        self._askers: list[LeanSession] = []
        self._asking = False
        self._others: dict[int, Callable[[], None]] = {self._desk.fd: self._desk.answers}

    def listen(self, fd: int, ready: Callable[[], None]) -> None:
        """Call `ready` when this file can be read."""
        self._epoll.register(fd, select.EPOLLIN)
        self._others[fd] = ready

    def begin(self, t0_ns: int) -> None:
        """Set t0, on the history's clock; it should lie a little ahead. Call it once."""
        self.now = self.clock()
        run = self._run
        run.t0_s, run.t0_ns = self.now + (t0_ns - now_ns()) / 1e9, t0_ns
        run.recorder.begin(t0_ns)
        for row in range(self.rows):
            first_us = self._world.first_us(self._place(row))
            if first_us is not None:
                self._wheel.earlier(row, run.t0_s + first_us / US)
        self._recall()

    def quiesce(self) -> None:
        """Stop sends and absences: every device comes or stays online and settles its open requests."""
        self._run.quiet = self.quiet = True
        self._recall()

    def _recall(self) -> None:
        """Let the devices that are away look again whether they should be."""
        away = [row for row, phase in enumerate(self._phases) if phase == Phase.AWAY and row not in self._active]
        away += [row for row, session in self._active.items() if session.phase is Phase.AWAY]
        for row in away:
            self._wheel.earlier(row, self.now)

    def start(self, row: int) -> None:
        """The ramp has come to this device: it connects, or stays away as planned."""
        session = self._wake(row)
        self._act(session, lambda: session.seek(self.now))

    def wrote_all(self) -> bool:
        """Return True if every planned message of every device was sent."""
        return all(session.device.wrote_all() for session in self._active.values()) and not any(
            left for row, left in enumerate(self._left) if left and row not in self._active
        )

    @property
    def sends(self) -> tuple[int, int]:
        """(planned, never made so far) of all devices; not made are also those that a full outbox refused."""
        planned = sum(self._world.planned(self._place(row)) for row in range(self.rows))
        unsent = sum(session.device.sends[1] for session in self._active.values())
        unsent += sum(left for row, left in enumerate(self._left) if row not in self._active)
        return planned, unsent + self._run.recorder.counters.not_invoked

    @property
    def active(self) -> int:
        """The number of devices that are not at rest."""
        return len(self._active)

    @property
    def busy(self) -> int:
        """The number of devices that are not at rest and could not be."""
        return len(self._active) - len(self._lingering)

    def turn(self, until_s: float) -> None:
        """Wait for something to happen, at most until then, and handle it. Raises HistoryError."""
        alarm_s, now = min(until_s, self._wheel.next_s, self._rhythm.next_s), self.clock()
        if now - self._woken[0] < OFTEN_S * len(self._woken):
            self._gather_until = max(self._gather_until, self._woken[-1] + GATHER_S)
        if (gather_s := min(self._gather_until, alarm_s) - now) > 0.0:
            time.sleep(gather_s)
            now = self.clock()
        ready = self._epoll.poll(max(0.0, alarm_s - now), TOLD_AT_ONCE)
        self.now = self.clock()
        self._woken.append(self.now)
        self._run.told_ns = now_ns()
        by_fd, others = self._by_fd, list[int]()
        for fd, mask in ready:
            row = by_fd.get(fd)
            if row is not None:
                self._ready(row, mask)
            elif fd in self._others:
                others.append(fd)
        self._run.told_ns = 0
        for fd in others:  # these may open sockets, with the numbers of some that were closed just now
            self._others[fd]()
        self.now = self.clock()
        for row in self._wheel.pop(self.now, BURST):
            session = self._wake(row)
            self._act(session, lambda session=session: session.on_time(self.now))  # type: ignore[misc]
        if self._rhythm.next_s <= self.now:
            self._beat()
        if self._lingering:
            self._give_back()
        if self._askers and not self._asking:
            self._answer_askers()

    def leave(self) -> None:
        """Take every device offline as planned, one after the other. Raises HistoryError.

        That takes seconds. Those that are still online go on: one that answers nothing gets pushes.
        """
        for row in range(self.rows):
            if row % LEAVE_AT_ONCE == 0:
                self.turn(self.clock())
            self._wheel.set(row, math.inf)
            if self._phases[row] != Phase.PARKED or row in self._active:
                session = self._wake(row)
                session.leave(self.now)
                del self._active[row]
                self._lingering.pop(row, None)
                self._phases[row] = Phase.PARKED
        self._desk.close()

    def _place(self, row: int) -> int:
        return self._first + row * self._step

    def _beat(self) -> None:
        """Send the HEARTBEATs of devices at rest that are due, and wake those that must see to it themselves."""
        rhythm, fds, sent, wanting = self._rhythm, self._fds, list[int](), self._rhythm.overdue(self.now)
        for row in rhythm.due(self.now):
            if rhythm.awaits(row):
                wanting.append(row)
                continue
            frame = rhythm.frame()
            try:
                whole = os.write(fds[row], frame) == len(frame)
            except OSError:
                whole = False
            (sent if whole else wanting).append(row)  # the device finds out what is wrong
        if sent:
            rhythm.sent(sent, self.now)
            self._gather_until = self.now + ANSWERS_S
        for row in wanting:
            session = self._wake(row)
            self._act(session, lambda session=session: session.on_time(self.now))  # type: ignore[misc]

    def _ready(self, row: int, mask: int) -> None:
        if row not in self._active and self._phases[row] == Phase.OPEN:
            data = read(self._fds[row])
            if data is None or (data == BEAT and self._rhythm.heard(row, self.now)):
                return
            session = self._wake(row)
            self._act(session, lambda: session.take(data, self.now))
            return
        session = self._wake(row)
        self._act(session, lambda: session.on_ready(mask, self.now))

    def _act(self, session: LeanSession, action: Callable[[], None]) -> None:
        """Let an active device do something, and set its alarm. Then it rests if it can, or lingers after a send."""
        row, now = session.row, self.now
        action()
        at = max(session.wake_at(now), now + PAUSE_S)
        self._wheel.set(row, at)
        if session.phase not in SETTLED:
            self._lingering.pop(row, None)
        elif row not in self._lingering:
            until = session.device.sent_at + LINGER_S
            if until > now and len(self._lingering) < LINGERING:
                self._lingering[row] = until
            else:
                self._rest(session, at)

    def _give_back(self) -> None:
        """Let the devices rest that have lingered for long enough."""
        lingering = self._lingering
        while lingering:
            row, until = next(iter(lingering.items()))
            if until > self.now:
                return
            del lingering[row]
            session = self._active[row]
            self._rest(session, max(session.wake_at(self.now), self.now + PAUSE_S))

    def _rest(self, session: LeanSession, at: float) -> None:
        """Turn an active device into a row, unless it has something to do soon. `at`: when it next has."""
        row, device = session.row, session.device
        beats, deed_at = device.beats_ahead(), device.next_deed()
        beaten = session.phase is Phase.OPEN and at == beats[0] and beats[2] > 0
        due_at = deed_at if beaten else at
        if due_at < self.now + RESTLESS_S:
            return
        rested = device.rest()
        if rested is None:
            return
        self._rested[row] = rested
        self._phases[row], self._fds[row], self._until[row] = session.phase, session.fd, session.until
        self._wheel.set(row, due_at)
        if beaten:
            self._rhythm.rest(row, *beats)
        self._left[row] = device.sends[1]
        del self._active[row]
        device.discard()

    def _wake(self, row: int) -> LeanSession:
        """Return the active device of a row; one at rest becomes active."""
        session = self._active.get(row)
        if session is not None:
            return session
        place = self._place(row)
        device = Device(device=self._device_of(place), plan=self._world.plan(place), run=self._run)
        rested = self._rested[row]
        if rested is not None:
            device.wake(rested)
            self._rested[row] = None
            if (beaten := self._rhythm.wake(row)) is not None:
                device.beaten(*beaten)
        session = self._active[row] = LeanSession(
            device, self, row, phase=Phase(self._phases[row]), fd=self._fds[row], until=self._until[row]
        )
        return session

    # What a session asks of its crew.

    def watch(self, fd: int, row: int, mask: int) -> None:
        """Tell the row when this socket is ready."""
        self._by_fd[fd] = row
        self._epoll.register(fd, mask)

    def forget(self, fd: int) -> None:
        """The socket is about to be closed."""
        if self._by_fd.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def token(self, row: int) -> str:
        """Return the token of a device."""
        return self._renewed.get(row) or self._tokens(self._place(row))

    def want_gateway(self, session: LeanSession) -> None:
        """Call `connect` of the session soon, with a fresh list of gateways."""
        self._askers.append(session)

    def want_token(self, session: LeanSession) -> None:
        """Call `renewed` of the session once it has a new token, or cannot get one."""
        device = session.device.device

        def ask() -> str | dict[int, str]:
            try:
                return self._api.tokens(self._api_key, [device])
            except ApiError as error:
                return str(error)

        def answered(found: str | Mapping[int, str]) -> None:
            if isinstance(found, str):
                self._act(session, lambda: session.renewed(self.now, found))
            else:
                self._renewed[session.row] = found[device]
                self._act(session, lambda: session.renewed(self.now, ""))

        self._desk.ask(ask, answered)

    def _answer_askers(self) -> None:
        if self.gateways.stale:
            self._asking = True
            self._desk.ask(self.gateways.ask, self._asked)
        else:
            self._connect_askers()

    def _asked(self, _none: None) -> None:
        self._asking = False
        self._connect_askers()

    def _connect_askers(self) -> None:
        askers, self._askers = self._askers, []
        for session in askers:
            if session.phase is Phase.ASKING:
                self._act(session, lambda session=session: session.connect(self.now))  # type: ignore[misc]


class _Desk:
    """One thread that asks the API, and the answers for the loop."""

    def __init__(self) -> None:
        self._questions: queue.SimpleQueue[tuple[Callable[[], object], Callable[..., None]] | None]
        self._questions = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self.fd = os.eventfd(0, os.EFD_NONBLOCK)
        """Readable when there are answers."""
        self._thread: threading.Thread | None = None

    def ask(self, question: Callable[[], object], answered: Callable[..., None]) -> None:
        """Call `question` in the thread, and `answered` with its result when the loop takes the answers."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="desk", daemon=True)
            self._thread.start()
        self._questions.put((question, answered))

    def answers(self) -> None:
        """Take the answers that have come."""
        os.eventfd_read(self.fd)
        while True:
            try:
                tell = self._answers.get_nowait()
            except queue.Empty:
                return
            tell()

    def close(self) -> None:
        """End the thread after the question that it is asking."""
        self._questions.put(None)

    def _work(self) -> None:
        while (asked := self._questions.get()) is not None:
            question, answered = asked
            answer = question()
            self._answers.put(lambda answered=answered, answer=answer: answered(answer))  # type: ignore[misc]
            os.eventfd_write(self.fd, 1)
