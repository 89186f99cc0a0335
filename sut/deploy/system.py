"""A whole running system, for callers that run experiments on it or check its state.

`start` builds the topology, starts the supervisor and returns when every service is healthy; otherwise it leaves
nothing and says why. `System.attach` finds a system that already runs. Both return the same handle: it holds no state
of its own, all is in the directory (sut/deploy/supervise/state.py).
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec
import psutil

from sut.deploy.errors import AlreadyRunningError, DeployError
from sut.deploy.kinds import KINDS
from sut.deploy.machine import place_on_this_machine
from sut.deploy.place import Place
from sut.deploy.probes import health
from sut.deploy.profiles import PROFILES, build
from sut.deploy.servers import certificates
from sut.deploy.servers.external import Servers, discover, named
from sut.deploy.supervise import state
from sut.deploy.supervise.ending import end
from sut.deploy.supervise.reservation import Reservation
from sut.deploy.supervise.state import Files, ProcessState
from sut.deploy.supervise.supervisor import STOP_TIMEOUT_S
from sut.deploy.topology import PRIVATE, Settings, Topology, TopologyError, load, save

Progress = Callable[[str], None]
OnWaiting = Callable[[Mapping[str, str], Mapping[str, ProcessState]], None]
"""Called at each look of a start with the problem of each service that was not healthy yet, and every process."""

HEALTH_TIMEOUT_S: Final = 0.5
LOOK_S: Final = 0.05
SPAWN_S: Final = 1.0
"""Time until a new process's environment shows its run, on a busy machine."""


def start(
    *,
    profile: str,
    directory: Path,
    variant: str | None = None,
    settings: Settings | None = None,
    servers: Servers | None = None,
    tls: bool = False,
    on_progress: Progress,
    on_waiting: OnWaiting | None = None,
    timeout_s: float | None = None,
) -> System:
    """Start a system in `directory` (created if missing) and return when all of it is healthy.

    `servers`: foreign servers that already run. `tls`: clients connect by TLS; an authority is made in DIR/tls.
    `timeout_s` None: the profile's limit. Raises DeployError, one line; then no process and no open file of it is left.
    """
    if profile not in PROFILES:
        raise DeployError(f"no profile {profile!r}; there are {', '.join(PROFILES)}")
    directory = directory.absolute()
    servers = servers or Servers()
    others = discover(servers)
    with Reservation() as reservation:
        find = _place_in_containers() if PROFILES[profile].containers else place_on_this_machine
        place = find(
            PROFILES[profile],
            directory=directory,
            port=reservation.port,
            settings=settings or Settings(),
            variant=variant,
            on_progress=on_progress,
            external=others,
        )
        try:
            topology = _with_kept_ids(named(build(profile, place), servers), servers)
        except OSError as error:
            raise DeployError(f"no free ports: {error.strerror}") from None
        if tls:
            topology = _secured(topology)
        limit_s = PROFILES[profile].start_timeout_s if timeout_s is None else timeout_s
        return boot(topology, reservation, on_progress=on_progress, on_waiting=on_waiting, timeout_s=limit_s)


def boot(
    topology: Topology,
    reservation: Reservation,
    *,
    on_progress: Progress,
    on_waiting: OnWaiting | None = None,
    timeout_s: float,
) -> System:
    """Start a topology whose ports are reserved, as `start` does for a profile's. Raises DeployError."""
    process = None
    try:
        with _private_files(), _locked(topology.path) as lock:
            try:
                log_sizes = _prepare(topology, on_progress)
                process = _start_supervisor(topology, (*reservation.inherit(), lock), lock)
            except OSError as error:
                raise _cannot_write(topology.path, error) from None
        on_progress(f"starting {sum(not service.external for service in topology.services)} processes")
        _await_healthy(topology, process, log_sizes, on_waiting=on_waiting or _unseen, timeout_s=timeout_s)
        _limit_links(topology)
        on_progress(f"{len(topology.services)} services are healthy")
    except BaseException as error:
        if process is not None:
            end(topology, grace_s=0.3)
            process.wait()
        elif not isinstance(error, DeployError):  # perhaps interrupted during the start of the supervisor
            end(topology, grace_s=0.3, settle_s=SPAWN_S)
        elif topology.contained:  # perhaps there are networks already
            end(topology, grace_s=0.3)
        raise
    return System(topology, process)


class System:
    """One running system, described by its `topology`."""

    def __init__(self, topology: Topology, supervisor: subprocess.Popen[bytes] | None = None) -> None:
        self.topology = topology
        self._files = Files(topology.path)
        self._supervisor = supervisor

    @classmethod
    def attach(cls, directory: Path) -> System:
        """Return the system of a directory, running or not. Raises DeployError when there never was one."""
        try:
            return cls(load(directory.absolute() / "topology.json"))
        except TopologyError as error:
            raise DeployError(f"no system in {directory}: {error}") from None

    @property
    def running(self) -> bool:
        """True while its supervisor runs."""
        return state.is_locked(self.topology.path)

    def state(self) -> dict[str, ProcessState]:
        """Return the supervisor's last state of every process; all stopped when there is no supervisor."""
        now = state.read_state(self.topology.path)
        if now is None or now.run_id != self.topology.run_id or not self.running:
            return {service.name: ProcessState(status="stopped") for service in self.topology.services}
        return now.processes

    def pid(self, name: str) -> int | None:
        """Return the pid of the service's living process, None while there is none. Raises TopologyError."""
        self.topology.service(name)
        now = state.read_state(self.topology.path)
        pid = now.processes[name].pid if now is not None and name in now.processes else 0
        return pid if pid and state.belongs(pid, self.topology.run_id, name) else None

    def hold(self, name: str) -> None:
        """Do not restart the service once it is dead. In force on return. Raises TopologyError, OSError."""
        self._files.hold(self.topology.service(name).name).touch()

    def release(self, name: str) -> None:
        """Undo `hold`; the service restarts when its delay is over. Harmless when not held. Raises TopologyError."""
        self._files.hold(self.topology.service(name).name).unlink(missing_ok=True)

    def problems(self, timeout_s: float = HEALTH_TIMEOUT_S) -> dict[str, str]:
        """Return each service's problem, seen from outside; empty when all are healthy."""
        found = {}
        for service in self.topology.services:
            problem = health.problem(self.topology, service, timeout_s)
            if problem is not None:
                found[service.name] = problem
        return found

    def environment(self) -> dict[str, str]:
        """Return the environment variables that mark a process of this run: the run's id and its clock."""
        now = state.read_state(self.topology.path)
        offset_ns = now.clock_offset_ns if now is not None else state.clock_offset_ns(os.environ)
        return state.environment(self.topology, offset_ns)

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> tuple[str, ...]:
        """Stop in good order; after timeout_s, by force. On return no process of the run is left but the caller's own.

        Returns the names of processes that were not the system's own, or had to be forced. Harmless when it is stopped
        already. Raises DeployError when a process cannot be ended.
        """
        deadline_s = time.monotonic() + timeout_s
        now = state.read_state(self.topology.path)
        pid = now.supervisor_pid if now is not None else 0
        if pid and state.belongs(pid, self.topology.run_id, state.SUPERVISOR):
            with contextlib.suppress(psutil.Error):
                supervisor = psutil.Process(pid)
                supervisor.terminate()
                supervisor.resume()
            while self.running and time.monotonic() < deadline_s:
                time.sleep(LOOK_S)
        reaped = end(self.topology, grace_s=0.5)
        if self._supervisor is not None:
            self._supervisor.wait()
        if reaped.left:
            raise DeployError(f"could not end the processes {', '.join(map(str, reaped.left))}")
        return reaped.ended


def _place_in_containers() -> Callable[..., Place]:
    from sut.deploy.docker.place import place_in_containers  # its library loads slowly, and most systems need none

    return place_in_containers


def _with_kept_ids(topology: Topology, servers: Servers) -> Topology:
    """Return the topology with the secret by which the conversations that are there were named.

    It is that of the directory's last system. A keyspace that a user names may be another directory's: ids in it have
    no key. Raises DeployError if the last system's file cannot be read: with another secret nobody would find the
    conversations that are there, and each pair of users would begin anew.
    """
    if servers.keyspace is not None:
        return msgspec.structs.replace(topology, conversation_key="")
    path = topology.path / "topology.json"
    if not path.exists():
        return topology
    try:
        before = load(path)
    except TopologyError as error:
        lost = "it holds the secret by which the conversations there are named"
        raise DeployError(f"{error}; {lost}: restore it, or start in another directory") from None
    return msgspec.structs.replace(topology, conversation_key=before.conversation_key)


def _secured(topology: Topology) -> Topology:
    """Return the topology with new certificates. Raises DeployError."""
    hosts = [service.host for service in topology.services if service.kind in ("gateway", "api")]
    try:
        made = certificates.make(topology.path / "tls", (*certificates.LOOPBACK, *hosts))
        return msgspec.structs.replace(topology, tls=made)
    except OSError as error:
        raise _cannot_write(topology.path, error) from None


@contextlib.contextmanager
def _private_files() -> Iterator[None]:
    """Make what is made inside readable by this user only."""
    before = os.umask(PRIVATE)
    try:
        yield
    finally:
        os.umask(before)


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[int]:
    """Make and lock the directory. The supervisor inherits the lock. Raises DeployError."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = state.take_lock(directory)
    except OSError as error:
        raise _cannot_write(directory, error) from None
    if lock is None:
        raise AlreadyRunningError(f"a system runs in {directory} already")
    try:
        yield lock
    finally:
        os.close(lock)


def _cannot_write(directory: Path, error: OSError) -> DeployError:
    return DeployError(f"cannot write to {error.filename or directory}: {error.strerror}")


def _prepare(topology: Topology, on_progress: Progress) -> dict[str, int]:
    """Write all files that the processes need. Returns the sizes of the logs so far, in bytes. Raises OSError."""
    _clear_leftovers(topology.path, on_progress)
    files = Files(topology.path)
    files.prepare()
    files.state.unlink(missing_ok=True)
    for service in topology.services:
        if not service.external and (write_conf := KINDS[service.kind].own("write_conf")):
            write_conf(topology, service)
    save(topology)
    if topology.contained:
        from sut.deploy.docker import place

        place.prepare(topology)
    return {log.stem: log.stat().st_size for log in files.log("x").parent.glob("*.log")}


def _start_supervisor(topology: Topology, inherited: tuple[int, ...], lock: int) -> subprocess.Popen[bytes]:
    """Start the supervisor in its own session, so that it outlives the terminal. Raises OSError."""
    path = topology.path / "topology.json"
    marks = state.environment(topology, state.clock_offset_ns(os.environ), state.SUPERVISOR)
    with Files(topology.path).log(state.SUPERVISOR).open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "sut.deploy.supervise.supervisor", str(path), str(lock)],
            env={**os.environ, **marks},
            cwd=topology.path,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=inherited,
            start_new_session=True,
        )


def _clear_leftovers(directory: Path, on_progress: Progress) -> None:
    """End processes that an earlier system of this directory left when its supervisor was killed."""
    if (directory / "topology.json").exists():
        with contextlib.suppress(TopologyError):
            reaped = end(load(directory / "topology.json"), grace_s=0.5)
            if reaped.ended:
                on_progress(f"ended {len(reaped.ended)} processes that an earlier system left")


def _await_healthy(
    topology: Topology,
    supervisor: subprocess.Popen[bytes],
    log_sizes: Mapping[str, int],
    *,
    on_waiting: OnWaiting,
    timeout_s: float,
) -> None:
    """Wait until every service was seen healthy. Raises DeployError at the first death: none dies in a good start."""
    deadline_s = time.monotonic() + timeout_s
    waiting = {service.name: "not started" for service in topology.services}
    while waiting:
        if supervisor.poll() is not None:
            raise DeployError(f"the supervisor ended: {_last_line(topology, state.SUPERVISOR, log_sizes)}")
        now = state.read_state(topology.path)
        for name, process in now.processes.items() if now is not None else ():
            if process.ended:
                raise DeployError(f"{name} cannot start ({process.ended}): {_last_line(topology, name, log_sizes)}")
            if name in waiting and process.status in ("running", "external"):
                problem = health.problem(topology, topology.service(name), HEALTH_TIMEOUT_S)
                if problem is None:
                    del waiting[name]
                else:
                    waiting[name] = problem
        on_waiting(waiting, now.processes if now is not None else {})
        if waiting and time.monotonic() > deadline_s:
            problems = "; ".join(f"{name} {problem}" for name, problem in waiting.items())
            last = _last_line(topology, next(iter(waiting)), log_sizes)
            raise DeployError(f"not healthy within {timeout_s:.0f} s: {problems} (log of the first: {last})")
        time.sleep(LOOK_S)


def _limit_links(topology: Topology) -> None:
    """Make the links as slow as the topology says. Raises DeployError."""
    if any(link.kb_per_s for link in topology.links):
        from sut.deploy.net.links import Links  # most systems have no such link, and its library loads slowly

        Links(topology).limit()


def _unseen(_waiting: Mapping[str, str], _processes: Mapping[str, ProcessState]) -> None:
    """Ignore the progress of the start."""


def _last_line(topology: Topology, name: str, log_sizes: Mapping[str, int]) -> str:
    """Return the last line that a process wrote in this start."""
    with contextlib.suppress(OSError), Files(topology.path).log(name).open("rb") as log:
        log.seek(max(log_sizes.get(name, 0), log.seek(0, os.SEEK_END) - 4096))
        lines = log.read().decode(errors="replace").split("\n")
        for line in reversed(lines):
            if line.strip():
                return line.strip()
    return "it wrote nothing to its log"
