"""A slow disk: the kernel lets one process write to its disk a few times a second only."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from types import MappingProxyType
from typing import ClassVar, Literal

from chaos.errors import FaultError
from chaos.faults.mechanisms.services import OnPeers
from chaos.faults.proofs.observe import in_group, writes
from chaos.faults.proofs.proof import Look
from chaos.faults.undo import Free, Undo
from sut.deploy import throttle
from sut.deploy.errors import ThrottleError
from sut.deploy.topology import Topology


class SlowDisk(OnPeers):
    """A process whose writes wait until the kernel lets them through, `writes_per_s` of them (root, a real disk).

    A commit of SQLite is two or three of them. What only goes to the page cache does not wait, so a store of which no
    write is waited for has no such fault.
    """

    on: ClassVar[Literal["log", "store"]]
    """What the process writes."""
    needs = frozenset({"disk"})
    effect_timeout_s = 10.0
    """A look writes four times, in turn with the process itself."""
    options = MappingProxyType({"writes_per_s": 10})

    @classmethod
    def targets(cls, topology: Topology) -> tuple[str, ...]:
        """Return every service of the kind, where it writes to SQLite and is not in a container."""
        return super().targets(topology) if getattr(topology, cls.on) == "sqlite" and not topology.contained else ()

    @classmethod
    def why_no_target(cls, topology: Topology) -> str:
        """Return that no process of this topology waits for a disk, or that containers have groups of their own."""
        if topology.contained:
            return "each container has a control group of its engine"
        return f"only SQLite waits for its disk; the {cls.on} of the {topology.profile} topology is acknowledged before"

    def prepare(self) -> tuple[Undo, ...]:
        """Find the group that it is in. Raises FaultError."""
        self._pid = self.pids[self.target]
        self._group = f"petrel-{self.world.topology.run_id}-{self.target}"
        self._writes_per_s = max(1, round(self.chosen["writes_per_s"]))
        self._slow_s = 0.8 * (throttle.WRITES - 1) / self._writes_per_s
        try:
            self._before = throttle.group_of(self._pid)
        except ThrottleError as error:
            raise FaultError(str(error)) from None
        return (Free(self._group, self._before),)

    def inject(self) -> None:
        """Put the process into a group that may write so often. Raises FaultError."""
        try:
            throttle.slow(self._pid, self._group, self.world.topology.path, writes_per_s=self._writes_per_s)
        except ThrottleError as error:
            raise FaultError(str(error)) from None

    def damage(self) -> Iterable[Look]:
        """Return looks: the kernel has it in that group, and a write there takes as long as the limit says."""
        path = self.world.topology.path
        yield partial(in_group, self._pid, self._group, path, self._writes_per_s)
        yield partial(writes, path, self._group, at_least_s=self._slow_s)

    def repair(self) -> Iterable[Look]:
        """Return looks: the kernel has it in its former group, and a write there takes less."""
        path = self.world.topology.path
        yield partial(in_group, self._pid, self._before, path, None)
        yield partial(writes, path, None, below_s=self._slow_s)
