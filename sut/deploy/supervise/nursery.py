"""`python -m sut.deploy.supervise.nursery TOPOLOGY`: forks our own processes, so that they share what they import.

A process that is started by itself takes half a second of CPU and 20 MB for its imports. The nursery imports what the
services of the topology need, once, and freezes it for the garbage collector. The processes that it forks share most of
that (docs/measured.md).

It reads names of services, one a line, and answers each with a pid. It forks twice, so that the process has no parent
but the supervisor, which is a subreaper and waits for it. `Nursery` is the supervisor's side. Where there is no
nursery (it died, or this is not Linux) the supervisor starts the process by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import functools
import gc
import importlib
import logging
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import psutil

from sut.deploy.errors import EXIT_CANNOT, EXIT_USAGE
from sut.deploy.kinds import KINDS
from sut.deploy.supervise import launch, log_lines, state
from sut.deploy.topology import PRIVATE, Topology, TopologyError, load

NAME: Final = "nursery"
NAME_ROOM: Final = 64
"""Bytes of the environment that are kept for the name of a service."""
ANSWER_S: Final = 60.0
"""Seconds that a fork may take, with all the imports if it is the first, on a busy machine."""
_SUBREAPER: Final = 36
_NAME: Final = 15
"""PR_SET_CHILD_SUBREAPER and PR_SET_NAME of prctl(2)."""
_FAILED: Final = 1

log = logging.getLogger(NAME)


class Forked:
    """A process that the nursery forked: our child, by its pid. The part of asyncio's Process that Child uses."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._fd = os.pidfd_open(pid)

    def send_signal(self, signum: signal.Signals) -> None:
        """Send a signal. Raises ProcessLookupError if it has ended."""
        if self.returncode is None:
            signal.pidfd_send_signal(self._fd, signum)

    async def wait(self) -> int:
        """Return the exit status when it has ended; negative for a signal."""
        if self.returncode is None:
            loop, ended = asyncio.get_running_loop(), asyncio.Event()
            loop.add_reader(self._fd, ended.set)
            try:
                await ended.wait()
            finally:
                loop.remove_reader(self._fd)
            _, status = os.waitpid(self.pid, 0)  # noqa: ASYNC222 (it has ended)
            os.close(self._fd)
            self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode


class Nursery:
    """The nursery of one supervisor. `environ`: that of the processes, without the name of a service."""

    def __init__(
        self, topology: Topology, path: Path, environ: Mapping[str, str], *, answer_s: float = ANSWER_S
    ) -> None:
        self._answer_s = answer_s
        self._files = state.Files(topology.path)
        self._path = path
        # The name comes last, so that what follows a shorter one is not taken for variables.
        self._environ = {
            **{key: value for key, value in environ.items() if key != state.SERVICE},
            state.SERVICE: _room(NAME),
        }
        self._process: asyncio.subprocess.Process | None = None
        self._busy = asyncio.Lock()

    async def start(self) -> None:
        """Start the process. Without one, `fork` returns None."""
        if not _become_subreaper():
            return
        with contextlib.suppress(OSError), self._files.log(NAME).open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-m", "sut.deploy.supervise.nursery", str(self._path),
                cwd=self._files.directory,
                env=self._environ,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=output,
            )  # fmt: skip

    async def fork(self, service: str) -> Forked | None:
        """Return a new process of this service, None if there is no nursery (any more)."""
        async with self._busy:
            process = self._process
            if process is None or len(service.encode()) > NAME_ROOM:
                return None
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                async with asyncio.timeout(self._answer_s):
                    process.stdin.write(f"{service}\n".encode())
                    await process.stdin.drain()
                    answer = await process.stdout.readline()
                return Forked(int(answer))
            except (TimeoutError, OSError, ValueError):
                log.warning("it does not fork any more: processes are started by themselves")
                self._process = None
                await self._end(process)
                _end_unknown(service)
                return None

    async def stop(self) -> None:
        """End the process. The processes that it forked go on."""
        if self._process is not None:
            process, self._process = self._process, None
            await self._end(process)

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _end_unknown(service: str) -> None:
    """Kill what was forked for this service, but not told: another one is about to start."""
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            if child.environ().get(state.SERVICE) in (service, NAME):
                child.kill()


def _become_subreaper() -> bool:
    """Make this process the parent of its descendants whose parent ends. Returns False where that is not possible."""
    if sys.platform != "linux":
        return False
    return bool(ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0) == 0)


def _room(name: str) -> str:
    return name.ljust(NAME_ROOM, "_")


@functools.cache
def _name_place() -> int | None:
    """Return the address of the name of the service in the environment that this process was started with.

    None if there is no room for another name. To be called before that variable is changed: then `getenv` finds a copy.
    """
    getenv = ctypes.CDLL(None).getenv
    getenv.restype = ctypes.c_void_p
    place: int | None = getenv(state.SERVICE.encode())
    return place if place is not None and len(ctypes.string_at(place)) == NAME_ROOM else None


def _rename(service: str) -> None:
    """Put the name of the service into the environment, also as others see it in /proc: they know a process by it."""
    place = _name_place()
    if place is not None:
        ctypes.memmove(place, service.encode().ljust(NAME_ROOM, b"\0"), NAME_ROOM)
    ctypes.CDLL(None).prctl(_NAME, service.encode(), 0, 0, 0)
    os.environ[state.SERVICE] = service


def _fork(topology: Topology, service: str) -> int:
    """Return the pid of a new process of this service, which is no child of ours."""
    reader, writer = os.pipe()
    between = os.fork()
    if between == 0:
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            os.close(writer)
            _live(topology, service)
        os.write(writer, str(pid).encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(between, 0)
    pid = int(os.read(reader, 32))
    os.close(reader)
    return pid


def _live(topology: Topology, service: str) -> None:
    """Be the process of this service, to its end."""
    status = _FAILED
    try:
        _rename(service)
        output = os.open(
            state.Files(topology.path).log(service), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600
        )
        nothing = os.open(os.devnull, os.O_RDONLY)
        for target, source in ((0, nothing), (1, output), (2, output)):
            os.dup2(source, target)
        os.close(output)
        os.close(nothing)
        status = launch.live(topology, service)
    except Exception:
        log.exception("%s failed", service)
    finally:
        os._exit(status)


def main(arguments: list[str]) -> int:
    """Fork as told until standard input ends. Returns the exit status."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m sut.deploy.supervise.nursery TOPOLOGY\n")
        return EXIT_USAGE
    os.umask(PRIVATE)
    log_lines.configure(NAME)
    _rename(NAME)
    try:
        topology = load(Path(arguments[0]))
    except TopologyError as error:
        log.error("%s", error)
        return EXIT_CANNOT
    for module in sorted({KINDS[service.kind].serves for service in topology.services} - {""}):
        importlib.import_module(module)
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        sys.stdout.write(f"{_fork(topology, line.strip())}\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
