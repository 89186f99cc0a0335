"""What the faults share that make links swallow every byte, without either end being told."""

from __future__ import annotations

from abc import abstractmethod

from chaos.errors import FaultError
from chaos.faults.fault import Fault, Proof, every
from chaos.faults.undo import Restore, Undo
from sut.deploy.errors import LinkError
from sut.deploy.topology import Link


class Partition(Fault):
    """A black hole in one or more links: connections stay open, new ones open too, and nothing gets through."""

    needs = frozenset({"links"})

    @abstractmethod
    def cut(self) -> tuple[Link, ...]:
        """The links that this injection cuts."""

    @abstractmethod
    def probe(self, link: Link, *, expected: bool) -> Proof:
        """A question through the link's proxy is answered, or is not, as expected."""

    @abstractmethod
    def probe_direct(self, link: Link) -> Proof:
        """The same question past the proxy is answered: the far end is well, only the link is cut."""

    def arm(self) -> tuple[Undo, ...]:
        """All the links carry questions now."""
        self._links = self.cut()
        healthy = self.healed()
        if not healthy:
            raise FaultError(healthy.text)
        return tuple(Restore(link.name) for link in self._links)

    def inject(self) -> None:
        """Blackhole them all."""
        try:
            for link in self._links:
                self.world.links.blackhole(link.name)
        except LinkError as error:
            raise FaultError(str(error)) from None

    def effective(self) -> Proof:
        """No link answers, and every far end does."""
        silent = every(self.probe(link, expected=False) for link in self._links)
        return every((silent, *(self.probe_direct(link) for link in self._links))) if silent else silent

    def healed(self) -> Proof:
        """Every link answers again."""
        return every(self.probe(link, expected=True) for link in self._links)
