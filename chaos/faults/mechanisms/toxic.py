"""Toxics: one link is disturbed without being cut. A question over it is answered, but not as before."""

from __future__ import annotations

from abc import abstractmethod
from functools import partial
from typing import ClassVar, Final

from chaos.errors import FaultError
from chaos.faults.fault import Fault
from chaos.faults.proofs.proof import Proof, in_turn
from chaos.faults.undo import Restore, Undo
from sut.deploy.errors import LinkError
from sut.deploy.probes import question
from sut.deploy.probes.question import Answer
from sut.deploy.topology import Topology

CALM_S: Final = 0.1
"""An answer within this time in s counts as fast as before, however fast that was."""


class LinkToxic(Fault):
    """A toxic in both directions of one link. The target is the link."""

    kind = "link"
    needs = frozenset({"links"})
    toxic: ClassVar[str]
    """The type of the toxic, as the proxy names it."""
    ask_s: ClassVar[float] = 0.8
    """How many seconds to wait for an answer over the link."""

    @classmethod
    def targets(cls, topology: Topology) -> tuple[str, ...]:
        """Return every link: the proxy is ours, whoever runs the server."""
        return tuple(link.name for link in topology.links)

    @abstractmethod
    def add(self) -> None:
        """Put the toxic on the link. Raises LinkError."""

    @abstractmethod
    def bites(self, answer: Answer) -> bool:
        """Return True if this answer to a question over the link shows the toxic."""

    def arm(self) -> tuple[Undo, ...]:
        """Record the answer to a question over the link; return the undo step.

        Raises FaultError without a whole answer.
        """
        topology = self.world.topology
        link = next(link for link in topology.links if link.name == self.target)
        service = topology.service(link.target)
        self._role, self._proxy = link.port, ("127.0.0.1", link.listen)
        self._service, self._direct = service.name, (service.host, service.ports[link.port])
        self.before = self._ask(self._proxy)
        if self.before.how != "whole":
            raise FaultError(f"a question over {self.target}: {self.before}")
        return (Restore(self.target),)

    def inject(self) -> None:
        """Put the toxic on the link. Raises FaultError."""
        try:
            self.add()
        except LinkError as error:
            raise FaultError(str(error)) from None

    def effective(self) -> Proof:
        """Observe that the proxy reports the toxic, the far end answers directly, and the link disturbs its answer."""
        return in_turn(self._in_force, self._far_end_is_well, self._disturbed)

    def healed(self) -> Proof:
        """Observe that the proxy reports no toxic, and a question over the link is answered as before."""
        return in_turn(partial(self._in_force, expected=False), self._as_before)

    def _ask(self, address: tuple[str, int]) -> Answer:
        return question.ask(self._role, address, self.ask_s, self.world.topology)

    def _in_force(self, *, expected: bool = True) -> Proof:
        try:
            toxics = self.world.links.toxics(self.target)
        except LinkError as error:
            return Proof(ok=False, text=str(error))
        said = ", ".join(f"{toxic.type} {toxic.stream} {dict(toxic.attributes)}" for toxic in toxics)
        mine = {toxic.stream for toxic in toxics if toxic.type == self.toxic}
        return Proof(len(mine) == 2 if expected else not toxics, f"toxics of {self.target}: {said or 'none'}")

    def _far_end_is_well(self) -> Proof:
        answer = self._ask(self._direct)
        return Proof(answer.how == "whole", f"{self._service} itself: {answer}")

    def _disturbed(self) -> Proof:
        answer = self._ask(self._proxy)
        return Proof(self.bites(answer), f"over the link: {answer} (before: {self.before})")

    def _as_before(self) -> Proof:
        answer = self._ask(self._proxy)
        soon = answer.how == "whole" and answer.took_s <= max(CALM_S, 2 * self.before.took_s)
        return Proof(soon, f"over the link: {answer} (before: {self.before})")
