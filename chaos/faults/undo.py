"""The undo ledger: what would have to be done, should the harness die now, to leave no fault behind.

Before each injection the engine writes how it is undone to RUN_DIR/undo.jsonl and waits for the disk; once undone, that
is written too. Whoever finds promises without their "done" applies them: the engine in its `finally`; after a SIGKILL
of the runner, the watchdog (sut/deploy/supervise/watchdog.py), by the command in the line: `python -m
chaos.faults.undo RUN_DIR`. Every step may be applied twice, or to what is gone already, without harm.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterable
from pathlib import Path

import msgspec

from chaos.errors import HARNESS, USAGE, HarnessError
from chaos.faults.world import World
from sut.deploy.supervise.state import belongs


class Continue(msgspec.Struct, frozen=True, tag="continue", tag_field="do"):
    """SIGCONT to a process of this run that was stopped."""

    pid: int


class Restore(msgspec.Struct, frozen=True, tag="restore", tag_field="do"):
    """Take the toxics off a link."""

    link: str


class Replicate(msgspec.Struct, frozen=True, tag="replicate", tag_field="do"):
    """Let replicas follow a Redis again."""

    service: str


class Release(msgspec.Struct, frozen=True, tag="release", tag_field="do"):
    """Let the supervisor restart a process again."""

    service: str


class Allow(msgspec.Struct, frozen=True, tag="allow", tag_field="do"):
    """Drop no more packets for that reason."""

    packets: str


class Remove(msgspec.Struct, frozen=True, tag="remove", tag_field="do"):
    """Remove a file from a volume of the run, as its holder sees the path."""

    volume: str
    path: str


Undo = Continue | Restore | Replicate | Release | Allow | Remove


class Promise(msgspec.Struct, frozen=True, omit_defaults=True):
    """How one injection is undone: the steps, and for those who do not know them the command that takes them."""

    undo: str
    """The injection's id."""
    steps: tuple[Undo, ...]
    argv: tuple[str, ...] = ()


class _Line(msgspec.Struct, frozen=True, omit_defaults=True):
    undo: str = ""
    steps: tuple[Undo, ...] = ()
    done: str = ""


class UndoLedger:
    """The file, open for writing. Used by several threads."""

    def __init__(self, path: Path) -> None:
        """Open it, made if need be. Raises OSError."""
        self._argv = (sys.executable, "-m", "chaos.faults.undo", str(path.parent.absolute()))
        self._lock = threading.Lock()
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        directory = os.open(path.parent, os.O_RDONLY)
        os.fsync(directory)  # the file's name, too, must survive
        os.close(directory)

    def promise(self, fault: str, steps: Iterable[Undo]) -> Promise:
        """On return the promise is on the disk and the injection may begin. Raises OSError."""
        promise = Promise(undo=fault, steps=tuple(steps), argv=self._argv)
        self._append(msgspec.json.encode(promise))
        return promise

    def done(self, fault: str) -> None:
        """The injection is undone."""
        self._append(msgspec.json.encode(_Line(done=fault)))

    def close(self) -> None:
        """Close the file; what is in it stays."""
        os.close(self._fd)

    def _append(self, line: bytes) -> None:
        with self._lock:
            os.write(self._fd, line + b"\n")
            os.fsync(self._fd)


def pending(path: Path) -> list[Promise]:
    """The promises not yet kept, the newest first. A torn last line promised nothing: its injection never began.

    Raises HarnessError for what is not a ledger.
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
    """Take every step, even if one fails; returns what failed, one line each."""
    failures = []
    for step in steps:
        try:
            _apply(step, world)
        except Exception as error:  # noqa: BLE001 (whatever went wrong, the other steps must be taken)
            failures.append(f"{step}: {error}")
    return failures


def _apply(step: Undo, world: World) -> None:
    match step:
        case Continue(pid=pid):
            if belongs(pid, world.topology.run_id):
                os.kill(pid, signal.SIGCONT)
        case Restore(link=link):
            world.links.restore(link)
        case Replicate(service=service):
            from sut.adapters.redis.replication import allow_replication

            redis = world.topology.service(service)
            allow_replication((redis.host, redis.ports["redis"]))
        case Release(service=service):
            world.processes.release(service)
        case Allow(packets=reason):
            world.packets.allow(reason)
        case Remove(volume=volume, path=path):
            holder = world.processes.pid(volume)
            if holder is not None:  # without it the volume is gone
                Path(f"/proc/{holder}/root{path}").unlink(missing_ok=True)


def main(arguments: list[str]) -> int:
    """Keep every open promise of a run directory. The exit status: 0 when all steps were taken."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m chaos.faults.undo RUN_DIR\n")
        return USAGE
    from sut.deploy.errors import DeployError, PacketError
    from sut.deploy.net.packets import Packets
    from sut.deploy.topology import TopologyError, load

    directory = Path(arguments[0])
    try:
        promises = pending(directory / "undo.jsonl")
        # Rules outlive the processes of the run, and the time may be short: they come before the heavier imports.
        packets = Packets(load(directory / "topology.json").run_id)
        if any(isinstance(step, Allow) for promise in promises for step in promise.steps):
            with contextlib.suppress(PacketError):  # it is tried again, and told, with the other steps
                packets.clear()
    except (HarnessError, TopologyError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return HARNESS
    from sut.deploy.net.links import Links
    from sut.deploy.system import System

    try:
        system = System.attach(directory)
    except DeployError as error:
        sys.stderr.write(f"{error}\n")
        return HARNESS
    world = World(topology=system.topology, processes=system, links=Links(system.topology), packets=packets)
    failures = [line for promise in promises for line in apply(promise.steps, world)]
    sys.stderr.write("".join(f"{line}\n" for line in failures))
    return HARNESS if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
