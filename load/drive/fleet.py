"""All devices of one process, and the one greenlet that runs their timers.

One heap of alarms serves every device: its next planned send, retry, heartbeat or absence. An alarm that moves to an
earlier time is pushed again, and the stale entry is skipped when it comes up. So an idle device costs nothing, and no
device needs its own greenlet or timer.
"""

from __future__ import annotations

import heapq
import itertools
import math
import os
import random
import ssl
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Final

import gevent
from gevent.event import Event

from load.device.device import Device, Run
from load.device.secure import client_context
from load.drive.api import ApiClient
from load.drive.gateways import Gateways
from load.drive.session import Session
from load.history.writer import HistoryError, now_ns
from load.plan.plan import DevicePlan

LONGEST_SLEEP_S: Final = 0.02
"""Maximum delay in s of an alarm that was set to an earlier time while the greenlet slept."""
PAUSE_S: Final = 0.002
"""Minimum seconds between two alarms of a device, so that one device cannot starve the others."""
ABANDONED_S: Final = 60.0
"""Seconds for which the network remembers a connection whose device has gone elsewhere."""
BURST: Final = 64
"""Alarms handled before the readers get a turn."""


class Fleet:
    """The devices of one process."""

    def __init__(
        self,
        *,
        run: Run,
        plans: Mapping[int, DevicePlan],
        tokens: Mapping[int, str],
        api: ApiClient,
        api_key: str,
        on_failure: Callable[[str], None],
        ca_file: str = "",
        ways: Sequence[Mapping[str, tuple[str, int]]] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`on_failure` is called once, with a line that says why the swarm cannot continue (such as a full disk)."""
        self.clock = clock
        self.tokens = dict(tokens)
        self.gateways = Gateways(api, rng=random.Random())
        self.ways = ways
        """For each cell, the local port that leads to a gateway, by the gateway's HOST:PORT."""
        self._abandoned: deque[tuple[float, int]] = deque()
        self._ca_file = ca_file
        self.begun = Event()
        """Set when t0 is known."""
        self.quiet = Event()
        """Set when no device sends or stays away any more."""
        self._run = run
        self._api = api
        self._api_key = api_key
        self._on_failure = on_failure
        self._heap: list[tuple[float, int, Session]] = []
        self._order = itertools.count()
        self.sessions = [Session(Device(device=device, plan=plan, run=run), self) for device, plan in plans.items()]
        self._by_device = {session.device.device: session for session in self.sessions}
        self._free = deque(self.sessions)
        if not run.elastic:
            run.recorder.counters.devices = len(self.sessions)
        self._greenlet: gevent.Greenlet | None = None

    @cached_property
    def secure(self) -> ssl.SSLContext:
        """TLS settings for connections to gateways with wss URLs."""
        return client_context(self._ca_file)

    def start(self) -> None:
        """Start the timer greenlet."""
        self._greenlet = gevent.spawn(self._keep_time)

    def stop(self) -> None:
        """Stop the timer greenlet. The sessions end when their greenlets are killed."""
        if self._greenlet is not None:
            self._greenlet.kill()
            self._greenlet = None
        while self._abandoned:
            os.close(self._abandoned.popleft()[1])

    def begin(self, t0_ns: int) -> None:
        """Set t0, on the history's clock; it should lie a little ahead. Call it once per fleet."""
        assert not self.begun.is_set()
        self._run.t0_s = self.clock() + (t0_ns - now_ns()) / 1e9
        self._run.t0_ns = t0_ns
        self._run.recorder.begin(t0_ns)
        self.begun.set()
        for session in self.sessions:
            self.set_alarm(session)

    def quiesce(self) -> None:
        """Stop sends and absences: every device comes or stays online and settles its open requests."""
        self._run.quiet = True
        self.quiet.set()

    def wrote_all(self) -> bool:
        """Return True if every planned message of every device was sent."""
        return all(session.device.wrote_all() for session in self.sessions)

    @property
    def sends(self) -> tuple[int, int]:
        """(planned, never made so far) of all devices; not made are also those that a full outbox refused."""
        each = [session.device.sends for session in self.sessions]
        unsent = sum(unsent for _, unsent in each) + self._run.recorder.counters.not_invoked
        return sum(planned for planned, _ in each), unsent

    def adopt(self, plans: Mapping[int, DevicePlan], tokens: Mapping[int, str]) -> None:
        """Devices that are added while it goes on. Each begins when a user takes it."""
        self.tokens |= tokens
        for device, plan in plans.items():
            session = Session(Device(device=device, plan=plan, run=self._run), self)
            self.sessions.append(session)
            self._by_device[device] = session
            self._free.append(session)
            if self.begun.is_set():
                self.set_alarm(session)

    def take(self) -> Session | None:
        """A device that nobody runs yet; None when all have somebody."""
        if not self._free:
            return None
        session = self._free.popleft()
        session.device.taken(self.clock())
        if self._run.elastic:
            self._run.recorder.counters.devices += 1
        return session

    def give_back(self, session: Session) -> None:
        """Whoever ran it stopped."""
        session.device.run_by_nobody = True
        session.device.put_away = not self.quiet.is_set()
        if self._run.elastic:
            self._run.recorder.counters.devices -= 1
        self._free.append(session)

    def renew_token(self, device: int) -> None:
        """Replace a token that the gateway did not accept. Raises ApiError."""
        self.tokens |= self._api.tokens(self._api_key, [device])

    def wake(self, device: int) -> None:
        """Set the alarm of a device that has new work."""
        self.set_alarm(self._by_device[device])

    def set_alarm(self, session: Session) -> None:
        """Make sure that the session's `on_alarm` runs when it has something to do."""
        self._alarm_not_before(session, -math.inf)

    def _alarm_not_before(self, session: Session, earliest: float) -> None:
        at = max(session.wake_at(self.clock()), earliest)
        if at < session.alarm_at:
            session.alarm_at = at
            heapq.heappush(self._heap, (at, next(self._order), session))

    def abandon(self, fd: int) -> None:
        """Leave an open connection unread for ABANDONED_S, as one whose device has gone elsewhere."""
        now = self.clock()
        self._abandoned.append((now + ABANDONED_S, fd))
        while self._abandoned[0][0] <= now:
            os.close(self._abandoned.popleft()[1])

    def failed(self, reason: str) -> None:
        """The history cannot be written any more: report it once; the swarm must end."""
        tell, self._on_failure = self._on_failure, _already_told
        tell(reason)

    def _keep_time(self) -> None:
        try:
            while True:
                now = self.clock()
                for _ in range(BURST):
                    if not self._next_alarm(now):
                        break
                due_in_s = self._heap[0][0] - self.clock() if self._heap else LONGEST_SLEEP_S
                gevent.sleep(min(LONGEST_SLEEP_S, max(0.0, due_in_s)))
        except HistoryError as error:
            self.failed(str(error))

    def _next_alarm(self, now: float) -> bool:
        """Handle the first alarm if it is due; returns True if it was."""
        heap = self._heap
        if not heap or heap[0][0] > now:
            return False
        at, _, session = heapq.heappop(heap)
        if at == session.alarm_at:
            session.alarm_at = math.inf
            session.on_alarm(now)
            self._alarm_not_before(session, now + PAUSE_S)
        return True


def _already_told(_reason: str) -> None:
    pass
