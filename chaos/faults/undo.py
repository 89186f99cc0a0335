"""The undo ledger: the durable list of the steps that undo every injected fault if the harness dies.

Before each injection the engine writes its undo steps to RUN_DIR/undo.jsonl and fsyncs; once they are taken, it writes
that too. A promise without its "done" must still be kept. In a living run the engine keeps it, in its `finally`. After
a SIGKILL of the runner the watchdog does (sut/deploy/supervise/watchdog.py), by the command in the line: `python -m
chaos.faults.undo RUN_DIR`. Every step is idempotent, and harmless if its object is gone already.
"""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import sys
import threading
from collections.abc import Iterable
from pathlib import Path

import msgspec

from chaos.errors import HARNESS, USAGE, HarnessError
from chaos.faults.world import ContainerControl, World, containers_of
from sut.deploy.logins import REPLICA
from sut.deploy.supervise.state import belongs


class _Step(msgspec.Struct, frozen=True, tag=str.lower, tag_field="do"):
    def _take(self, world: World) -> None:
        """Take the step: each kind says how. Raises any error that occurs."""
        raise TypeError(f"{type(self).__name__} does not say how it is taken")


class Continue(_Step, frozen=True):
    """Send SIGCONT to a stopped process, if it is one of this run."""

    pid: int

    def _take(self, world: World) -> None:
        if belongs(self.pid, world.topology.run_id):
            os.kill(self.pid, signal.SIGCONT)


class Restore(_Step, frozen=True):
    """Take the toxics off a link."""

    link: str

    def _take(self, world: World) -> None:
        world.links.restore(self.link)


class Replicate(_Step, frozen=True):
    """Let replicas follow a Redis again."""

    service: str

    def _take(self, world: World) -> None:
        from sut.adapters.redis.replication import allow_replication

        redis, login = world.topology.service(self.service), world.topology.redis_login("operator")
        allow_replication((redis.host, redis.ports["redis"]), login, REPLICA if login else "default")


class SlotHome(_Step, frozen=True):
    """Move a slot of a Redis Cluster, wherever it is and however far it is moved, to the shard of a node."""

    slot: int
    service: str
    """The node, or its master where it has become a replica, gets the slot."""

    def _take(self, world: World) -> None:
        from sut.adapters.redis.cluster.moving import bring_home

        home, login = world.topology.service(self.service), world.topology.redis_login("operator")
        bring_home(self.slot, (home.host, home.ports["redis"]), login)


class Release(_Step, frozen=True):
    """Let the supervisor restart a process again."""

    service: str

    def _take(self, world: World) -> None:
        world.processes.release(self.service)


class Allow(_Step, frozen=True):
    """Stop dropping the packets that were dropped for this reason."""

    packets: str

    def _take(self, world: World) -> None:
        world.packets.allow(self.packets)


class Remove(_Step, frozen=True):
    """Remove a file from a volume of the run. `path` is as seen by the process that holds the volume."""

    volume: str
    path: str

    def _take(self, world: World) -> None:
        holder = world.processes.pid(self.volume)
        if holder is not None:  # without it the volume is gone
            Path(f"/proc/{holder}/root{self.path}").unlink(missing_ok=True)


class Discard(_Step, frozen=True):
    """Remove a directory that a fault made in the directory of the run."""

    directory: str

    def _take(self, world: World) -> None:
        if (path := world.topology.path / self.directory).exists():
            shutil.rmtree(path)


class _OnContainer(_Step, frozen=True):
    """A step on the container of a service. The service is gone with its run: then there is nothing to undo."""

    service: str

    def _take(self, world: World) -> None:
        if world.containers is not None:
            self._undo(world.containers)

    def _undo(self, containers: ContainerControl) -> None:
        """Take the step: each kind says how."""
        raise TypeError(f"{type(self).__name__} does not say how it is taken")


class Unpause(_OnContainer, frozen=True):
    """Continue a paused container."""

    def _undo(self, containers: ContainerControl) -> None:
        containers.unpause(self.service)


class Reconnect(_OnContainer, frozen=True):
    """Connect a container to all its networks, under its addresses."""

    def _undo(self, containers: ContainerControl) -> None:
        containers.reconnect(self.service)


class Unfetter(_OnContainer, frozen=True):
    """Take the limits of memory and CPU off a container."""

    def _undo(self, containers: ContainerControl) -> None:
        containers.unlimit(self.service)


class Unlimit(_Step, frozen=True):
    """Give a process its former limit of a resource, if it is one of this run."""

    pid: int
    resource: int
    soft: int
    hard: int

    def _take(self, world: World) -> None:
        if belongs(self.pid, world.topology.run_id):
            resource.prlimit(self.pid, self.resource, (self.soft, self.hard))


class Free(_Step, frozen=True):
    """Move what is in a control group of a fault back to its former one, and remove it."""

    group: str
    back: str

    def _take(self, world: World) -> None:
        from sut.deploy import throttle

        throttle.free(self.group, self.back)


class End(_Step, frozen=True):
    """End a helper process of a fault, by the name that its environment has."""

    helper: str

    def _take(self, world: World) -> None:
        import psutil

        from sut.deploy.supervise.reaper import members

        for process, name in members(world.topology.run_id).items():
            if name == self.helper:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
                    process.wait(timeout=2)


class Behave(_Step, frozen=True):
    """Give the stand-ins of push providers their former behaviour, as JSON."""

    provider: str
    behaviour: str

    def _take(self, world: World) -> None:
        from chaos.faults.proofs.providers import behave

        behave(world.topology.service(self.provider), self.behaviour)


Undo = (
    Continue
    | Restore
    | Replicate
    | SlotHome
    | Release
    | Allow
    | Remove
    | Discard
    | Unlimit
    | Free
    | End
    | Behave
    | Unpause
    | Reconnect
    | Unfetter
)


class Promise(msgspec.Struct, frozen=True, omit_defaults=True):
    """How one injection is undone: the steps, and a command for processes that cannot take the steps themselves."""

    undo: str
    """The id of the injection."""
    steps: tuple[Undo, ...]
    argv: tuple[str, ...] = ()


class _Line(msgspec.Struct, frozen=True, omit_defaults=True):
    undo: str = ""
    steps: tuple[Undo, ...] = ()
    done: str = ""


class UndoLedger:
    """The ledger of one run, open for writing. Several threads may use it."""

    def __init__(self, path: Path) -> None:
        """Open the file; create it if it does not exist. Raises OSError."""
        self._argv = (sys.executable, "-m", "chaos.faults.undo", str(path.parent.absolute()))
        self._lock = threading.Lock()
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        directory = os.open(path.parent, os.O_RDONLY)
        os.fsync(directory)  # the file's name must survive too
        os.close(directory)

    def promise(self, fault: str, steps: Iterable[Undo]) -> Promise:
        """Write a promise. On return it is on the disk and the injection may begin. Raises OSError."""
        promise = Promise(undo=fault, steps=tuple(steps), argv=self._argv)
        self._append(msgspec.json.encode(promise))
        return promise

    def done(self, fault: str) -> None:
        """Write that the injection is undone. Raises OSError."""
        self._append(msgspec.json.encode(_Line(done=fault)))

    def close(self) -> None:
        os.close(self._fd)

    def _append(self, line: bytes) -> None:
        with self._lock:
            os.write(self._fd, line + b"\n")
            os.fsync(self._fd)


def pending(path: Path) -> list[Promise]:
    """Return the promises not yet kept, newest first. Raises HarnessError if the file is not a ledger.

    A torn last line is no promise: its injection never began.
    """
    if not path.exists():
        return []
    promises: dict[str, Promise] = {}
    for text in path.read_bytes().split(b"\n")[:-1]:
        try:
            line = msgspec.json.decode(text, type=_Line)
        except msgspec.DecodeError as error:
            raise HarnessError(f"{path}: not an undo ledger: {error}") from None
        if line.undo:
            promises[line.undo] = Promise(undo=line.undo, steps=line.steps)
        promises.pop(line.done, None)
    return list(reversed(promises.values()))


def apply(steps: Iterable[Undo], world: World) -> list[str]:
    """Take every step, even if one fails; returns one line for each failure."""
    failures = []
    for step in steps:
        try:
            step._take(world)
        except Exception as error:  # noqa: BLE001 (after any error the other steps must be taken)
            failures.append(f"{step}: {error}")
    return failures


def main(arguments: list[str]) -> int:
    """Keep every open promise of a run directory. Returns the exit status: 0 if all steps were taken."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m chaos.faults.undo RUN_DIR\n")
        return USAGE
    from sut.deploy.errors import DeployError, PacketError
    from sut.deploy.net.packets import Packets
    from sut.deploy.topology import TopologyError, load

    directory = Path(arguments[0])
    try:
        promises = pending(directory / "undo.jsonl")
        # Rules outlive the processes of the run, and time may be short: they are removed before the heavier imports.
        packets = Packets(load(directory / "topology.json").run_id)
        if any(isinstance(step, Allow) for promise in promises for step in promise.steps):
            with contextlib.suppress(PacketError):  # retried and reported with the other steps
                packets.clear()
    except (HarnessError, TopologyError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return HARNESS
    from sut.deploy.net.links import Links
    from sut.deploy.system import System

    try:
        system = System.attach(directory)
        containers = containers_of(system.topology)
    except DeployError as error:
        sys.stderr.write(f"{error}\n")
        return HARNESS
    world = World(
        topology=system.topology, processes=system, links=Links(system.topology), packets=packets, containers=containers
    )
    failures = [line for promise in promises for line in apply(promise.steps, world)]
    sys.stderr.write("".join(f"{line}\n" for line in failures))
    return HARNESS if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
