"""A clock that jumps: one process sees another wall clock than all others. Its monotonic clock goes on."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from types import MappingProxyType
from typing import ClassVar

from chaos.errors import FaultError
from chaos.faults.mechanisms.services import OnPeers
from chaos.faults.proofs.observe import off_by
from chaos.faults.proofs.proof import Look
from chaos.faults.undo import Discard, Undo
from chaos.faults.world import own
from sut.deploy import clock
from sut.deploy.topology import Topology


class ClockJump(OnPeers):
    """The wall clock of one process moves by `by_s` seconds at once (libfaketime), and back at the heal."""

    ahead: ClassVar[bool]
    """True: into the future."""
    own_clock = True
    options = MappingProxyType({"by_s": 3600})

    @classmethod
    def targets(cls, topology: Topology) -> tuple[str, ...]:
        """Return every service of the kind that has a clock of its own."""
        return tuple(service.name for service in own(topology, cls.kind) if clock.has_own(service))

    @classmethod
    def why_no_target(cls, topology: Topology) -> str:
        """Return what has no clock of its own: this machine's processes, the containers, or this system."""
        if topology.contained:
            return "the images of its containers have no libfaketime"
        if clock.find_library() is None:
            return clock.LACKING
        return "its processes share one clock; an experiment that names this fault has clocks to move"

    def prepare(self) -> tuple[Undo, ...]:
        """Return the undo step: without its file the clock is the machine's."""
        self._by_s = self.chosen["by_s"] if self.ahead else -self.chosen["by_s"]
        return (Discard(clock.directory_of(self.target)),)

    def inject(self) -> None:
        """Write the offset, which the process reads at its next look at the clock. Raises FaultError."""
        try:
            clock.move(self.victim, self._by_s)
        except OSError as error:
            raise FaultError(f"the clock of {self.target} could not be moved: {error.strerror}") from None

    def damage(self) -> Iterable[Look]:
        """Return one look: the process says that it is so much later, or earlier."""
        return (partial(off_by, self.victim, self._by_s),)

    def repair(self) -> Iterable[Look]:
        """Return one look: the process says the time of this machine."""
        return (partial(off_by, self.victim, 0.0),)
