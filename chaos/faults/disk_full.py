"""The disk of a Kafka broker is full: it cannot write another byte, and goes down.

Breaks: the broker takes appends that it cannot keep; it must confirm none of them and leave its partitions to others.
Proven: no byte is free on its disk; the broker has gone down, or every other broker has it in sync nowhere and knows
another leader for each partition.
Undone: the file that fills the disk is removed, and the supervisor may restart the broker. Healed when there is room
and every broker, itself included, has it in sync in all partitions.

The disk is a small tmpfs in a mount namespace of its own (a service of kind "volume"), so nothing else is ever full.
"""

from __future__ import annotations

import errno
import os
from functools import partial
from pathlib import Path
from typing import Final

from chaos.errors import FaultError
from chaos.faults.fault import Fault, Proof, in_turn, own
from chaos.faults.proofs.brokers import RESTART_S, Brokers
from chaos.faults.proofs.observe import living_pid
from chaos.faults.undo import Release, Remove, Undo
from sut.deploy.topology import Topology

MAX_TRIES: Final = 50
"""The broker writes and deletes meanwhile, so the last bytes are taken in several steps."""


class DiskFull(Fault):
    """Filling of one broker's volume; the broker, once down, is held there until the heal."""

    name = "disk_full"
    effect_timeout_s = 20.0
    """It goes down when it next wants to write; a follower that lags behind is out of sync after 3 s."""
    heal_timeout_s = 60.0
    arm_timeout_s = 30.0
    usual_heal_s = RESTART_S

    @classmethod
    def targets(cls, topology: Topology) -> tuple[str, ...]:
        """Every broker on a volume."""
        return tuple(broker.name for broker in own(topology, "kafka") if broker.volume)

    @classmethod
    def why_no_target(cls, topology: Topology) -> str:
        """Without root there are no volumes."""
        if own(topology, "kafka"):
            return "needs root: a small disk of its own for a broker is a mount"
        return super().why_no_target(topology)

    def arm(self) -> tuple[Undo, ...]:
        """All brokers are well, and the disk is there."""
        topology = self.world.topology
        self._broker = topology.service(self.target)
        self._pid = living_pid(self.world, self.target)
        volume = topology.service(self._broker.volume)
        directory = volume.command[-2]
        self._disk = Path(f"/proc/{living_pid(self.world, volume.name)}/root{directory}")
        self._brokers = Brokers(topology)
        self._brokers.must_be_whole()
        return Remove(volume.name, f"{directory}/filler"), Release(self.target)

    def inject(self) -> None:
        """Take all that is free."""
        self.world.processes.hold(self.target)
        try:
            with (self._disk / "filler").open("wb") as file:
                size = 0
                for _try in range(MAX_TRIES):
                    if not (free := self._free()):
                        return
                    try:
                        os.posix_fallocate(file.fileno(), size, free)
                        size += free
                    except OSError as error:
                        if error.errno != errno.ENOSPC:
                            raise
        except OSError as error:
            raise FaultError(f"the disk of {self.target} could not be filled: {error}") from None

    def effective(self) -> Proof:
        """Full, and the broker is out."""
        return in_turn(self._full, self._out)

    def healed(self) -> Proof:
        """Room, and all in sync."""
        return in_turn(partial(self._full, expected=False), self._brokers.whole)

    def _free(self) -> int:
        """Bytes that are free. Raises OSError."""
        seen = os.statvfs(self._disk)
        return seen.f_bavail * seen.f_frsize

    def _full(self, *, expected: bool = True) -> Proof:
        try:
            free = self._free()
        except OSError as error:
            return Proof(ok=False, text=f"the disk of {self.target}: {error.strerror}")
        return Proof((free == 0) == expected, f"{free} bytes are free on the disk of {self.target}")

    def _out(self) -> Proof:
        down = self.world.processes.pid(self.target) != self._pid
        if down:
            return Proof(ok=True, text=f"{self.target} went down by itself")
        return self._brokers.let_go(self._broker)
