"""Limits: the kernel gives one process no more files or memory, or lets it write no more. Nobody else is touched."""

from __future__ import annotations

import resource
from abc import abstractmethod
from collections.abc import Iterable
from functools import partial
from itertools import count
from pathlib import Path
from typing import ClassVar, Final

from chaos.errors import FaultError
from chaos.faults.mechanisms.services import OnPeers
from chaos.faults.proofs.observe import limited, reborn, without_room
from chaos.faults.proofs.proof import Look, Proof, in_turn
from chaos.faults.undo import Undo, Unlimit
from sut.deploy.probes import probe
from sut.deploy.topology import Topology

MORE: Final = 8 << 20
"""Bytes that a process without room is asked to hold: more than the free pieces of its memory."""


class Limit(OnPeers):
    """A soft limit of one resource of one process, set by prlimit(2). A process that dies of it has none any more."""

    of: ClassVar[int]
    """Which resource, as the module `resource` numbers it."""

    @classmethod
    def targets(cls, topology: Topology) -> tuple[str, ...]:
        """Return every service of the kind, where the kernel has prlimit."""
        return super().targets(topology) if hasattr(resource, "prlimit") else ()

    @abstractmethod
    def value(self, pid: int) -> int:
        """Return the limit that this process gets. Raises OSError."""

    def prepare(self) -> tuple[Undo, ...]:
        """Return the undo step: the limit of now. Raises FaultError."""
        self._pid = self.pids[self.target]
        try:
            self._before = resource.prlimit(self._pid, self.of)
        except OSError as error:
            raise FaultError(f"the limits of {self.target} cannot be read: {error.strerror}") from None
        return (Unlimit(self._pid, self.of, *self._before),)

    def inject(self) -> None:
        """Set the limit. Raises FaultError."""
        try:
            self._value = self.value(self._pid)
            resource.prlimit(self._pid, self.of, (self._value, self._before[1]))
        except OSError as error:
            raise FaultError(f"{self.target} could not be limited: {error.strerror}") from None

    def damage(self) -> Iterable[Look]:
        """Return one look: the kernel says that it has that limit."""
        return (partial(limited, self._pid, self.of, self._value),)

    def repair(self) -> Iterable[Look]:
        """Return one look: the kernel says that it has its former limit."""
        return (partial(limited, self._pid, self.of, self._before[0]),)


class NoFiles(Limit):
    """A process that may open no further file or socket."""

    of = resource.RLIMIT_NOFILE

    def value(self, pid: int) -> int:
        """Return the lowest number that no open file has: files that are open stay open."""
        taken = {int(path.name) for path in Path(f"/proc/{pid}/fd").iterdir()}
        return next(number for number in count() if number not in taken)

    def symptoms(self) -> Iterable[Look]:
        """Return one look: a ping over a new connection is not answered."""
        return (partial(self.silent, self.victim),)


class NoSpace(Limit):
    """A process whose files may not grow: each write beyond their first byte fails, as on a full disk (EFBIG)."""

    of = resource.RLIMIT_FSIZE

    def value(self, pid: int) -> int:
        """Return the largest size of a file, in bytes."""
        return 1


class NoMemory(Limit):
    """A process that gets no further memory than it has: what it asks the kernel for is refused (ENOMEM).

    It goes on with what it has. If a refusal ends it, that is the fault's effect too: its next life has no limit.
    """

    of = resource.RLIMIT_DATA

    def value(self, pid: int) -> int:
        """Return the bytes of its private memory now. Raises OSError."""
        if (size := probe.process_memory(pid)) is None:
            raise ProcessLookupError(0, "it is gone")
        return size

    def damage(self) -> Iterable[Look]:
        """Return one look: it has that limit and cannot hold more, or it did not survive that."""
        return (self._starves,)

    def repair(self) -> Iterable[Look]:
        """Return one look, if it is still the same process: the kernel says that it has its former limit."""
        return () if self._died() else super().repair()

    def recovery(self) -> Iterable[Look]:
        """Return one look: it answers, as a newer incarnation if it has died."""
        if self._died():
            return (partial(reborn, self.world.topology, self.victim, self.incarnations[self.target]),)
        return super().recovery()

    def _died(self) -> bool:
        return probe.process_state(self._pid) is None

    def _starves(self) -> Proof:
        if self._died():
            return Proof(ok=True, text=f"pid {self._pid} is gone: it ended itself without room")
        return in_turn(
            partial(limited, self._pid, self.of, self._value),
            partial(without_room, self.world.topology, self.victim, MORE),
        )
