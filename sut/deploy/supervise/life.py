"""One life of a service, from its start to its end: a process of this machine, or a container (sut/deploy/docker)."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from sut.deploy.supervise.state import Files
from sut.deploy.topology import Service


class Life(Protocol):
    """A started process; asyncio.subprocess.Process is one."""

    @property
    def pid(self) -> int:
        """Its pid on this machine."""

    @property
    def returncode(self) -> int | None:
        """None while it lives; then its exit status, or the signal that ended it as a negative number."""

    def send_signal(self, signal: signal.Signals) -> None:
        """Send a signal. Raises ProcessLookupError if it is gone."""

    async def wait(self) -> int:
        """Wait for the end and return `returncode`."""


Begin = Callable[[Service, tuple[str, ...], Mapping[str, str]], Awaitable[Life]]
"""(service, command line, environment) -> its life. Raises OSError if it cannot be started."""


def on_this_machine(files: Files) -> Begin:
    """Return the start of a process of this machine, whose output is appended to its log."""

    async def begin(service: Service, command: tuple[str, ...], environ: Mapping[str, str]) -> Life:
        log_fd = os.open(files.log(service.name), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            return await asyncio.create_subprocess_exec(
                *command,
                group=service.gid or None,
                cwd=files.directory,
                env=dict(environ),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log_fd,
                stderr=log_fd,
            )
        finally:
            os.close(log_fd)

    return begin
