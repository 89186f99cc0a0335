"""The lives of containers under the supervisor: started, followed into their logs, awaited, signalled."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from docker.errors import DockerException

from sut.deploy.docker.engine import Engine
from sut.deploy.errors import DeployError
from sut.deploy.supervise.life import Begin, Life
from sut.deploy.supervise.state import CLOCK_OFFSET, RUN_ID, SERVICE, Files
from sut.deploy.topology import Service, Topology

MARKS: Final = (RUN_ID, CLOCK_OFFSET, SERVICE)
"""What a container gets of the supervisor's environment: by these its process is known as one of the run."""
STARTERS: Final = 4
"""Containers that are started at the same time. A start is some processes of the engine's; more of them only wait."""
SIGNALLED: Final = 128
"""Beyond this, a container's exit status is a signal."""


class Container:
    """One life of a container. It is over when the engine says so."""

    def __init__(self, engine: Engine, topology: Topology, service: Service, seen: Mapping[str, Any]) -> None:
        self._engine = engine
        self._topology = topology
        self._service = service
        self._id = str(seen["Id"])
        self.pid = int(seen["State"]["Pid"])
        """0 if it ended before it was looked at."""
        self.returncode: int | None = None
        self._ended = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def follow(self, files: Files, since_s: float) -> None:
        """Append its output to its log, and see its end, in a thread of their own."""
        threading.Thread(
            target=self._follow, args=(files, since_s), name=f"follow-{self._service.name}", daemon=True
        ).start()

    def send_signal(self, signum: signal.Signals) -> None:
        """Send a signal to its process; a paused container continues first. Raises ProcessLookupError."""
        if self.returncode is not None or not self.pid:
            raise ProcessLookupError(self._id)
        with contextlib.suppress(DeployError):  # it is not paused
            self._engine.do(self._topology, self._service, "unpause")
        os.kill(self.pid, signum)

    async def wait(self) -> int:
        """Wait for its end and return `returncode`."""
        await self._ended.wait()
        assert self.returncode is not None
        return self.returncode

    def _follow(self, files: Files, since_s: float) -> None:
        api = self._engine.client.api
        log = os.open(files.log(self._service.name), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        with contextlib.suppress(DockerException, OSError):  # the end is awaited below all the same
            for chunk in api.logs(self._id, stream=True, follow=True, since=since_s):
                os.write(log, chunk)
        os.close(log)
        status = self._await_end()
        self._loop.call_soon_threadsafe(self._end, status)

    def _await_end(self) -> int:
        """Return the exit status; -SIGKILL for a container that was removed."""
        while True:
            try:
                return int(self._engine.client.api.wait(self._id, timeout=None)["StatusCode"])
            except (DockerException, OSError):
                with contextlib.suppress(DeployError):
                    if self._engine.look(self._topology, self._service) is None:
                        return SIGNALLED + signal.SIGKILL
                time.sleep(0.5)  # the engine is being restarted: its containers may live on

    def _end(self, status: int) -> None:
        self.returncode = SIGNALLED - status if status > SIGNALLED else status
        self._ended.set()


def in_containers(topology: Topology, files: Files) -> Begin:
    """Return the start of a service's container. One that the engine has restarted by itself is taken as it is."""
    engine = Engine.connect()
    starters = ThreadPoolExecutor(max_workers=STARTERS, thread_name_prefix="start")

    def start(service: Service, command: tuple[str, ...], environ: Mapping[str, str]) -> tuple[dict[str, Any], float]:
        seen = engine.make(topology, service, command, environ)
        since_s = time.time()
        if not seen["State"]["Running"]:
            engine.do(topology, service, "start")
        found = engine.look(topology, service)
        if found is None:
            raise DeployError("it was removed at once")
        return found, since_s

    async def begin(service: Service, command: tuple[str, ...], environ: Mapping[str, str]) -> Life:
        marks = {name: environ[name] for name in MARKS if name in environ}
        alive = {"PETREL_ALIVE": " ".join(f"{service.host}:{port}" for port in service.ports.values())}
        try:
            environment = marks | service.environment | alive
            seen, since_s = await asyncio.get_running_loop().run_in_executor(
                starters, start, service, command, environment
            )
        except DeployError as error:
            raise OSError(0, str(error)) from None
        life = Container(engine, topology, service, seen)
        life.follow(files, since_s)
        return life

    return begin
