"""`python -m sut.deploy.supervise.supervisor TOPOLOGY`: keeps a whole system running until SIGTERM.

Starts every service, restarts dead ones unless DIR/hold/NAME exists, and writes DIR/state.json at each change. On
SIGTERM it stops all in the order that loses nothing: gateways drain first, servers go last. A second SIGTERM kills. It
lives in its own session, so that a Ctrl-C at the terminal reaches only the runner. It holds no state that matters: if
it is killed, the reaper finds the processes by their environment.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import signal
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from sut.deploy.access import without
from sut.deploy.errors import EXIT_CANNOT, EXIT_USAGE, DeployError
from sut.deploy.kinds import KINDS, Kind, stages
from sut.deploy.supervise import log_lines, state
from sut.deploy.supervise.child import Child
from sut.deploy.supervise.life import Begin, Life, on_this_machine
from sut.deploy.supervise.nursery import Nursery
from sut.deploy.supervise.state import Files, SystemState
from sut.deploy.topology import PRIVATE, Service, Topology, TopologyError, load

STAGE_TIMEOUT_S: Final = 5.0
"""Time that a stage of the start waits for the ports of the one before."""
ACCEPT_LOOK_S: Final = 0.02
NICE: Final = 5
"""Nice value: a third of the weight of a process that is not niced."""
STOP_TIMEOUT_S: Final = sum(max(kind.grace_s for kind in kinds) for kinds in stages(lambda kind: kind.stop)) + 1.0
"""The longest duration of a stop, with a second for the kernel."""

log = logging.getLogger(state.SUPERVISOR)


class Supervisor:
    """Keeps the processes of one topology running."""

    def __init__(self, topology: Topology, path: Path, clock_offset_ns: int, begin: Begin | None = None) -> None:
        """`begin`: how a service is started, if not as a process of this machine."""
        self._topology = topology
        self._path = path
        self._clock_offset_ns = clock_offset_ns
        self._unwritten = False
        self._files = Files(topology.path)
        self._nursery = Nursery(topology, path, {**os.environ, **state.environment(topology, clock_offset_ns)})
        self._begin_process = on_this_machine(self._files)
        self._begin = begin or self._begin_here
        self._children = [self._child(service) for service in topology.services if not service.external]

    def _child(self, service: Service) -> Child:
        marks = state.environment(self._topology, self._clock_offset_ns, service.name)
        environ = without(os.environ) if service.command else os.environ
        return Child(
            service,
            files=self._files,
            environ={**environ, **service.environment, **marks},
            clock_offset_ns=self._clock_offset_ns,
            command=self._command,
            begin=self._begin,
            on_change=self._write_state,
        )

    async def run(self, stop: asyncio.Event, hurry: asyncio.Event) -> None:
        """Run until `stop` is set, and then until all processes are gone. `hurry` kills them at once."""
        starting = asyncio.create_task(self._start())
        try:
            await stop.wait()
            log.info("stopping")
        finally:
            starting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await starting
            await self._stop(hurry)
            await self._nursery.stop()
            log.info("stopped")

    async def _start(self) -> None:
        self._write_state()
        if any(map(_is_forked, self._topology.services)):
            await self._nursery.start()
        started: list[Service] = []
        for kinds in stages(lambda kind: kind.start):
            await _accepting(started)
            group = self._of(kinds)
            for child in group:
                child.start()
            started = [child.service for child in group]

    async def _stop(self, hurry: asyncio.Event) -> None:
        for child in self._children:
            child.retire()
        killer = asyncio.create_task(self._kill_when(hurry))
        for kinds in stages(lambda kind: kind.stop):
            graces_s = {kind.name: 0.0 if hurry.is_set() else kind.grace_s for kind in kinds}
            await asyncio.gather(*(child.stop(graces_s[child.service.kind]) for child in self._of(kinds)))
        killer.cancel()

    def _of(self, kinds: Iterable[Kind]) -> list[Child]:
        names = {kind.name for kind in kinds}
        return [child for child in self._children if child.service.kind in names]

    async def _kill_when(self, hurry: asyncio.Event) -> None:
        await hurry.wait()
        for child in self._children:
            child.kill()

    async def _begin_here(self, service: Service, command: tuple[str, ...], environ: Mapping[str, str]) -> Life:
        forked = await self._nursery.fork(service.name) if _is_forked(service) else None
        return forked or await self._begin_process(service, command, environ)

    async def _command(self, service: Service, waited_s: float) -> tuple[str, ...] | None:
        """Return the command line of a service; None: it cannot start now."""
        if not service.command:
            python = "python" if service.image else sys.executable
            return (python, "-P", "-m", "sut.deploy.supervise.launch", str(self._path), service.name)
        if service.volume:
            return self._on_volume(service)
        if arguments := KINDS[service.kind].own("start_arguments"):
            more = await asyncio.to_thread(arguments, self._topology, service, waited_s)
            return None if more is None else (*service.command, *more)
        return service.command

    def _on_volume(self, service: Service) -> tuple[str, ...] | None:
        """Return its command line inside the volume's mount namespace; None while the disk is not mounted."""
        pid = next(child.state.pid for child in self._children if child.service.name == service.volume)
        with contextlib.suppress(OSError):
            namespace = Path(f"/proc/{pid}/ns/mnt")
            if pid and state.mounted(pid, self._topology.service(service.volume).command[-2]):
                return ("nsenter", f"--mount={namespace}", f"--wd={self._topology.dir}", "--", *service.command)
        return None

    def _write_state(self) -> None:
        """Write state.json. A full disk must not end the supervision."""
        processes = {s.name: state.ProcessState(status="external") for s in self._topology.services if s.external}
        processes |= {child.service.name: child.state for child in self._children}
        now = SystemState(
            run_id=self._topology.run_id,
            clock_offset_ns=self._clock_offset_ns,
            supervisor_pid=os.getpid(),
            processes=processes,
        )
        try:
            state.write_state(self._topology.path, now)
            self._unwritten = False
        except OSError as error:
            if not self._unwritten:
                log.error("cannot write state.json: %s", error)
            self._unwritten = True


def _is_forked(service: Service) -> bool:
    """Return whether it is one of our own processes, with nothing of its own but the name."""
    return not any((service.external, service.command, service.gid, service.image, service.environment))


async def _accepting(services: Iterable[Service]) -> None:
    """Wait until every port of these accepts connections, for at most STAGE_TIMEOUT_S."""
    ports = [(service.host, port) for service in services for port in service.ports.values()]
    for _look in range(round(STAGE_TIMEOUT_S / ACCEPT_LOOK_S)):
        ports = [address for address in ports if not await _accepts(*address)]
        if not ports:
            return
        await asyncio.sleep(ACCEPT_LOOK_S)


async def _accepts(host: str, port: int) -> bool:
    try:
        _reader, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    writer.close()
    return True


async def _supervise(topology: Topology, path: Path, clock_offset_ns: int) -> None:
    stop, hurry = asyncio.Event(), asyncio.Event()

    def asked() -> None:
        (hurry if stop.is_set() else stop).set()

    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(signum, asked)
    begin = None
    if topology.contained:
        from sut.deploy.docker.life import in_containers  # its library loads slowly

        begin = in_containers(topology, Files(topology.path))
    await Supervisor(topology, path, clock_offset_ns, begin).run(stop, hurry)


def main(arguments: list[str]) -> int:
    """Supervise until SIGTERM. Returns the exit status: 0 after a stop that left nothing."""
    if len(arguments) not in (1, 2):
        sys.stderr.write(
            "usage: python -m sut.deploy.supervise.supervisor TOPOLOGY [DESCRIPTOR OF THE LOCK, IF INHERITED]\n"
        )
        return EXIT_USAGE
    os.umask(PRIVATE)
    path = Path(arguments[0]).absolute()
    log_lines.configure(state.SUPERVISOR)
    try:
        topology = load(path)
        lock = int(arguments[1]) if len(arguments) == 2 else state.take_lock(topology.path)
    except (TopologyError, OSError) as error:
        log.error("%s", error)
        return EXIT_CANNOT
    if lock is None:
        log.error("%s: a supervisor runs there already", topology.dir)
        return EXIT_CANNOT
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    _yield_to_others()
    try:
        asyncio.run(_supervise(topology, path, state.clock_offset_ns(os.environ)))
    except DeployError as error:
        log.error("%s", error)
        return EXIT_CANNOT
    return 0


def _yield_to_others() -> None:
    """Lower the priority of the system's processes, so that a load generator on the same machine need not wait.

    A late load generator measures its own lateness. Nice values among our processes keep their effect. Where Linux
    groups processes by session (autogroup) it weighs sessions first, and there only this file's value counts.
    """
    os.nice(NICE)
    with contextlib.suppress(OSError):  # no such kernel
        Path("/proc/self/autogroup").write_text(str(NICE))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
