"""One fleet process: its history, its ramp, its part of the plan. Forked by parent.py."""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import signal
import socket
import time
from collections.abc import Callable
from typing import Final

from load.drive.api import ApiClient
from load.drive.lean.crew import Crew
from load.drive.lean.words import Lines, Order, Said, line
from load.drive.lean.world import Groups, Recipients, World
from load.drive.machine import NAP_S, Stalls
from load.drive.part import Part, report_of, run_of
from load.history.control import ControlWriter, Sends
from load.history.recorder import Nobody, Recorder
from load.history.writer import HistoryError, HistoryWriter, now_ns

SPARE_FILES: Final = 64
CONNECTING: Final = 64
"""The ramp waits while so many devices are active: each one costs ten times what it costs at rest."""
PATIENCE_S: Final = 5.0
"""After so long a wait it lets as many again in: what they wait for may not come."""
REPORT_S: Final = 1.0
WRITE_OUT_NS: Final = 15_000_000_000
"""Time after the plan's end in which a message may still wait for its first transmission, in ns."""
ONE_SOURCE: Final = 20_000
"""Devices that one address has ports for, to one gateway."""


class _Room:
    """Tells whether the ramp may go on, by the number of active devices."""

    def __init__(self, now_s: float) -> None:
        self._limit = CONNECTING
        self._went_on_s = now_s

    def has(self, active: int, now_s: float) -> bool:
        if active >= self._limit and now_s >= self._went_on_s + PATIENCE_S:
            self._limit = active + CONNECTING
        if active < self._limit:
            self._went_on_s = now_s
        return active < self._limit


class Fleet:
    """The fleet of number `number` among `fleets` of this machine. `pipe`: to the parent."""

    def __init__(
        self, part: Part, world: World, tokens: Callable[[int], str], *, number: int, fleets: int, pipe: socket.socket
    ) -> None:
        """Create the history files. Raises HistoryError."""
        config = self._config = part.config
        self._pipe, self._orders = pipe, Lines(Order)
        self.stopping = False
        self._end_ns = 0
        self._quiet = False
        name = f"swarm-{os.getpid()}"
        try:
            self._control = ControlWriter(config.history / f"{name}.jsonl", process=name)
        except OSError as error:
            raise HistoryError(f"{error.filename}: {error.strerror}") from None
        self._history = HistoryWriter(config.history / f"{name}.bin")
        self._recorder = Recorder(
            self._history,
            groups=Groups(world),
            recipients=Recipients(world),
            observer=Nobody(),
            trace_every=config.trace_every,
        )
        ties = world.ties(ignore_dependencies=config.ignore_dependencies) if config.causal else None
        self._crew = Crew(
            world=world,
            first=number,
            step=fleets,
            device_of=lambda row: device_of(part, row),
            run=run_of(config, world.conversations, self._recorder, ties),
            tokens=tokens,
            api=ApiClient(config.api_url, allowed=config.allowed),
            api_key=config.api_key,
            source=source_of(part, number),
        )
        _allow_files(self._crew.rows)
        self._ramp_s = part.workers * fleets / config.spawn_per_s
        """Seconds between two devices that begin to connect."""
        self._stalls: Stalls | None = None
        self._crew.listen(pipe.fileno(), self._listen)

    def run(self) -> None:
        """Run until an order to end, or until the parent is gone. Raises HistoryError."""
        signal.signal(signal.SIGUSR1, lambda *_: setattr(self, "_quiet", True))
        signal.signal(signal.SIGTERM, lambda *_: setattr(self, "stopping", True))
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        begun_s = time.monotonic()
        started, report_at, look_at = 0, begun_s + REPORT_S, begun_s + NAP_S
        crew, room = self._crew, _Room(begun_s)
        while not self.stopping:
            crew.turn(look_at)
            now_s = time.monotonic()
            while started < crew.rows and begun_s + started * self._ramp_s <= now_s and room.has(crew.busy, now_s):
                crew.start(started)
                started += 1
                if started == crew.rows:
                    self._say(Said(ramped=True))
            if now_s >= look_at:
                if self._stalls is not None:
                    self._stalls.woke(now_s - look_at)
                look_at = now_s + NAP_S
                self._follow_plan()
            if now_s >= report_at:
                self._say(Said(report=report_of(self._recorder)))
                report_at = now_s + REPORT_S

    def close(self) -> None:
        """End the devices as planned, and close the history. Raises HistoryError."""
        planned, unsent = self._crew.sends
        try:
            self._crew.leave()
            if self._end_ns:
                self._control.write(Sends(t=now_ns(), process=self._control.process, planned=planned, unsent=unsent))
            self._say(Said(report=report_of(self._recorder)))
        finally:
            self._history.close()
            with contextlib.suppress(OSError):
                self._control.phase("end")
            self._control.close()

    def hole(self, detail: str) -> None:
        """Record a gap in this history."""
        with contextlib.suppress(OSError):
            self._control.hole(detail)

    def _listen(self) -> None:
        data = self._pipe.recv(65536)
        if not data:
            self.stopping = True
        for order in self._orders.feed(data):
            if order.begin is not None:
                self._begin(order.begin)
            self._quiet = self._quiet or order.quiesce
            self.stopping = self.stopping or order.stop

    def _begin(self, t0_ns: int) -> None:
        self._end_ns = t0_ns + round(self._config.duration_s * 1e9)
        gc.collect()
        gc.freeze()
        self._crew.begin(t0_ns)
        self._control.phase("steady", t0_ns)
        self._stalls = Stalls(self._control.process, self._control.write)

    def _follow_plan(self) -> None:
        """Enter the phase quiesce once it is ordered, or the last planned messages are sent, or cannot be in time."""
        if not self._end_ns or self._crew.quiet:
            return
        if self._quiet:
            self._crew.quiesce()
            self._control.phase("quiesce")
        elif now_ns() >= self._end_ns and (self._crew.wrote_all() or now_ns() >= self._end_ns + WRITE_OUT_NS):
            self._crew.quiet = True
            self._control.phase("quiesce", self._end_ns)

    def _say(self, said: Said) -> None:
        with contextlib.suppress(OSError):  # the parent is gone, and the next look at the pipe says so
            self._pipe.sendall(line(said))


def device_of(part: Part, row: int) -> int:
    """Return the id of the device in a row of this worker's world: those with (id - 1) % workers == worker, rising."""
    first = part.config.first_id
    return first + (part.worker - (first - 1)) % part.workers + row * part.workers


def source_of(part: Part, number: int) -> str:
    """Return the address from which a fleet connects; "" for any, where one has ports enough for all devices.

    It is a loopback address: only gateways of this machine are reached from it.
    """
    if part.config.users <= ONE_SOURCE:
        return ""
    return f"127.0.{1 + part.worker % 250}.{1 + number % 250}"


def _allow_files(devices: int) -> None:
    """Raise the limit of open files for so many devices. Raises HistoryError with the reason why that cannot be."""
    wanted = devices + SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise HistoryError(f"a fleet process of {devices} devices needs {wanted} files; `ulimit -Hn` is {hard}")
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
