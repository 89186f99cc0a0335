"""The fleet processes of this machine as Locust's process sees them: it starts their parent and talks to it.

This is the only module of the tier that knows gevent. A Locust user of this tier stands for a fleet process
(`Seat.run`): it launches the process, and when Locust stops it, the devices of that process go offline.
"""

from __future__ import annotations

import contextlib
import logging
import math
import sys
from collections import deque
from collections.abc import Callable
from typing import Final

import gevent
from gevent import subprocess
from gevent.event import Event

from load.drive.lean.words import Lines, Order, Said, Start, line
from load.drive.part import Part, Report, total
from load.history.latency import middle_of
from load.history.recorder import Observer

STOP_S: Final = 10.0
LEAVE_PER_S: Final = 1000
"""The devices may take STOP_S to go offline, and a second more for each so many."""
_LOGGER = logging.getLogger(__name__)


class Seat:
    """The place of one fleet process; a Locust user takes it."""

    def __init__(self, host: Host, number: int) -> None:
        self._host = host
        self.number = number

    def run(self) -> None:
        """Launch the process; returns never. Whoever kills the greenlet gives the seat back."""
        self._host.launch(self.number)
        Event().wait()


class Host:
    """The fleet processes of one Locust process. The constructor starts their parent."""

    def __init__(self, part: Part, *, observer: Observer, on_failure: Callable[[str], None]) -> None:
        self.fleets = math.ceil(part.config.fleets / part.workers)
        self._observer = observer
        self._on_failure = on_failure
        self._free = deque(Seat(self, number) for number in range(self.fleets))
        self._ready = Event()
        self._ramped: set[int] = set()
        self._reports: dict[int, Report] = {}
        self._told: dict[str, dict[str, int]] = {}
        self._stopping = self._begun = False
        self._stop_s = STOP_S + part.config.users / part.workers / LEAVE_PER_S
        self._parent = subprocess.Popen(
            [sys.executable, "-P", "-m", "load.drive.lean.parent"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._write(Start(part=part, fleets=self.fleets))
        self._reader = gevent.spawn(self._read)

    @property
    def ramped(self) -> bool:
        """True once every device of every process has begun to connect, or stays away as planned."""
        return len(self._ramped) == self.fleets

    def take(self) -> Seat | None:
        """Return a seat for a new Locust user; None if all are taken."""
        return self._free.popleft() if self._free else None

    def give_back(self, seat: Seat) -> None:
        """The user of this seat stopped: its devices go offline. Their process ends, and no other takes its place."""
        self._write(Order(end=seat.number))

    def launch(self, number: int) -> None:
        """Fork a fleet process, once the parent can."""
        self._ready.wait()
        self._write(Order(launch=number))

    def begin(self, t0_ns: int) -> None:
        """Tell all of them the plan's time 0."""
        self._begun = True
        self._write(Order(begin=t0_ns))

    def quiesce(self) -> None:
        """Tell all of them to send no more."""
        self._write(Order(quiesce=True))

    def report(self) -> Report:
        """Return the figures of all processes so far."""
        counters, ack, show = total(self._reports.values())
        return Report(counters=counters, ack=ack.export(), show=show.export())

    def stop(self) -> None:
        """End all of them; their histories are complete afterwards, or they were killed in the end."""
        self._stopping = True
        self._write(Order(stop=True))
        with contextlib.suppress(OSError):
            self._parent.stdin.close()
        try:
            self._parent.wait(self._stop_s)
        except subprocess.TimeoutExpired:
            self._parent.kill()
            _LOGGER.error("fleet processes did not end within %g s", self._stop_s)
        self._reader.join(1.0)
        self._reader.kill()

    def _write(self, word: Start | Order) -> None:
        with contextlib.suppress(OSError, ValueError):  # it is gone, and the reader says so
            self._parent.stdin.write(line(word))
            self._parent.stdin.flush()

    def _read(self) -> None:
        lines = Lines(Said)
        while data := self._parent.stdout.read1(1 << 20):
            for said in lines.feed(data):
                self._hear(said)
        if not self._stopping and not self._begun:
            self._on_failure("the parent of the fleet processes ended before they began")

    def _hear(self, said: Said) -> None:
        if said.failed:
            self._on_failure(said.failed)
        elif said.fleet < 0:
            self._ready.set()
        elif said.ramped:
            self._ramped.add(said.fleet)
        elif said.report is not None:
            self._reports[said.fleet] = said.report
            self._observe()
        elif said.ended and said.ended != "well":
            _LOGGER.error("fleet process %d ended: %s", said.fleet, said.ended)
            if not self._begun:
                self._on_failure(f"fleet process {said.fleet} ended before it began: {said.ended}")

    def _observe(self) -> None:
        """Tell Locust's statistics what is new in the reports, by the middle of each bucket of latencies."""
        report = self.report()
        for name, now in (("ack", report.ack), ("show", report.show)):
            before = self._told.get(name, {})
            for bucket, count in now.items():
                for _ in range(count - before.get(bucket, 0) if bucket != "max" else 0):
                    ns = 1000 * middle_of(int(bucket))
                    if name == "ack":
                        self._observer.acked(ns)
                    else:
                        self._observer.shown(ns, group=False, size=0)
            self._told[name] = now
