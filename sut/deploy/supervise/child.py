"""One service's process under supervision: started, awaited, started again, and finally stopped.

A process is started when it is due, not held, and its `command` returns a command line. It is due at once the first
time, and after each death when the wait that restart.py computes is over.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import msgspec
import psutil

from sut.deploy import clock
from sut.deploy.supervise.life import Begin, Life
from sut.deploy.supervise.restart import QUICK_DEATH_S, wait_before_restart_s
from sut.deploy.supervise.state import Files, ProcessState
from sut.deploy.topology import Service

LOOK_S: Final = 0.1
"""Interval of checking a dead process's hold file and command."""

Command = Callable[[Service, float], Awaitable[tuple[str, ...] | None]]
"""(service, seconds since it died) -> its command line, None: not now."""


class Child:
    """One process and its state. `on_change` is called after each change of `state`."""

    def __init__(
        self,
        service: Service,
        *,
        files: Files,
        environ: Mapping[str, str],
        clock_offset_ns: int,
        command: Command,
        begin: Begin,
        on_change: Callable[[], None],
    ) -> None:
        self.service = service
        self.state = ProcessState()
        self._files = files
        self._environ = environ
        self._clock_offset_ns = clock_offset_ns
        self._command = command
        self._begin = begin
        self._on_change = on_change
        self._process: Life | None = None
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._log = logging.getLogger(service.name)

    def start(self) -> None:
        """Start the process, and restart it until `retire` or `stop`."""
        self._task = asyncio.create_task(self._keep_running())

    def retire(self) -> None:
        """Do not start it again. A running process is left alone."""
        self._stopping.set()

    async def stop(self, grace_s: float) -> None:
        """End it: SIGTERM (also to a stopped process), then SIGKILL after `grace_s`. On return it is gone."""
        self.retire()
        if self._task is None:
            self._change(status="stopped")
            return
        self._signal(signal.SIGTERM)
        self._signal(signal.SIGCONT)
        _done, late = await asyncio.wait([self._task], timeout=grace_s)
        if late:
            self._log.warning("did not end within %.1f s, killed", grace_s)
            self.kill()
        await self._task

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def _signal(self, signum: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signum)

    async def _keep_running(self) -> None:
        quick_deaths = 0
        wait_s, died_s = 0.0, time.monotonic()
        while (command := await self._when_due(wait_s, died_s)) is not None:
            started_s = time.monotonic()
            ended = await self._one_life(command)
            died_s = time.monotonic()
            quick_deaths = quick_deaths + 1 if died_s - started_s < QUICK_DEATH_S else 0
            wait_s = wait_before_restart_s(
                restart_delay_s=self.service.restart_delay_s, quick_deaths=max(0, quick_deaths - 1)
            )
            self._change(pid=0, created_s=0.0, ended=ended, status="starting")
            if not self._stopping.is_set():
                self._log.warning("ended: %s; due again in %.2f s", ended, wait_s)
        self._change(status="stopped")

    async def _when_due(self, wait_s: float, died_s: float) -> tuple[str, ...] | None:
        """Return its command line once it is due, None when it must not start any more."""
        hold = self._files.hold(self.service.name)
        while not self._stopping.is_set():
            held = hold.exists()
            self._change(status="held" if held else "starting")
            waited_s = time.monotonic() - died_s
            if not held and waited_s >= wait_s:
                command = await self._command(self.service, waited_s)
                if command is not None:
                    return None if self._stopping.is_set() else command
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S if held else min(LOOK_S, max(0.01, wait_s - waited_s))):
                    await self._stopping.wait()
        return None

    async def _one_life(self, command: tuple[str, ...]) -> str:
        """Start the process and wait for its end. Returns how it ended."""
        try:
            self._process = await self._begin(self.service, command, self._environ)
        except OSError as error:
            return f"cannot start {command[0]}: {error.strerror}"
        if self._stopping.is_set():
            self._signal(signal.SIGTERM)
        created_s = 0.0
        with contextlib.suppress(psutil.Error):
            created_s = psutil.Process(self._process.pid).create_time()
        self._change(
            status="running",
            pid=self._process.pid,
            created_s=created_s,
            started_ns=time.monotonic_ns() + self._clock_offset_ns,
            restarts=self.state.restarts + (1 if self.state.started_ns else 0),
        )
        status = await self._process.wait()
        if clock.has_own(self.service):
            clock.forget(self._process.pid)
        return how_it_ended(status)

    def _change(self, **fields: object) -> None:
        changed = msgspec.structs.replace(self.state, **fields)
        if changed != self.state:
            self.state = changed
            self._on_change()


def how_it_ended(returncode: int) -> str:
    """Return how a process ended, in words: "exit 70", "SIGKILL"."""
    if returncode >= 0:
        return f"exit {returncode}"
    try:
        return signal.Signals(-returncode).name
    except ValueError:
        return f"signal {-returncode}"
