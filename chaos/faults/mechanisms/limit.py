"""Limits: the kernel gives one process no more files, or lets it write no more. Nobody else is touched."""

from __future__ import annotations

import resource
from abc import abstractmethod
from collections.abc import Iterable
from functools import partial
from itertools import count
from pathlib import Path
from typing import ClassVar

from chaos.errors import FaultError
from chaos.faults.mechanisms.services import OnPeers
from chaos.faults.proofs.observe import limited
from chaos.faults.proofs.proof import Look
from chaos.faults.undo import Undo, Unlimit
from sut.deploy.topology import Topology


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
