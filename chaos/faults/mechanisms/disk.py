"""A full disk: one file takes all the space on the disk of one node of a cluster.

The disk is a small tmpfs in its own mount namespace (a service of kind "volume"), so no other disk is filled.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Final

from chaos.errors import FaultError
from chaos.faults.mechanisms.services import OnCluster
from chaos.faults.proofs.observe import living_pid
from chaos.faults.proofs.proof import Look, Proof
from chaos.faults.undo import Release, Remove, Undo
from chaos.faults.world import own
from sut.deploy.topology import Topology

MAX_TRIES: Final = 50
"""The victim writes and deletes meanwhile, so the last bytes are taken in several steps."""


class FullDisk(OnCluster):
    """Fills the victim's volume. Once the victim is down it is held there until the heal."""

    @classmethod
    def targets(cls, topology: Topology) -> tuple[str, ...]:
        """Return every node on a volume."""
        return tuple(node.name for node in own(topology, cls.kind) if node.volume)

    def prepare(self) -> tuple[Undo, ...]:
        """Find the disk. The undo steps remove the file and release the victim."""
        volume = self.world.topology.service(self.victim.volume)
        directory = volume.command[-2]
        self._disk = Path(f"/proc/{living_pid(self.world, volume.name)}/root{directory}")
        return Remove(volume.name, f"{directory}/filler"), Release(self.target)

    def inject(self) -> None:
        """Hold the victim and allocate all free space. Raises FaultError."""
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

    def damage(self) -> Iterable[Look]:
        """Return one look: no byte is free."""
        return (self._full,)

    def symptoms(self) -> Iterable[Look]:
        """Return one look: the victim went down, or the other nodes have noticed its loss."""
        return (self._out,)

    def repair(self) -> Iterable[Look]:
        """Return one look: the disk has free space."""
        return (partial(self._full, expected=False),)

    def _free(self) -> int:
        """Return the free bytes on the disk. Raises OSError."""
        seen = os.statvfs(self._disk)
        return seen.f_bavail * seen.f_frsize

    def _full(self, *, expected: bool = True) -> Proof:
        try:
            free = self._free()
        except OSError as error:
            return Proof(ok=False, text=f"the disk of {self.target}: {error.strerror}")
        return Proof((free == 0) == expected, f"{free} bytes are free on the disk of {self.target}")

    def _out(self) -> Proof:
        if self.world.processes.pid(self.target) != self.pids[self.target]:
            return Proof(ok=True, text=f"{self.target} went down by itself")
        return self.cluster.lost(self.victim)
