"""One link of a fault: what its proxy reports, and how a question over it is answered beside before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from chaos.faults.proofs.proof import Proof
from chaos.faults.world import World
from sut.deploy.errors import LinkError
from sut.deploy.probes import question
from sut.deploy.probes.question import Answer
from sut.deploy.topology import Link

if TYPE_CHECKING:
    from sut.deploy.net.links import Toxic

A = TypeVar("A")
B = TypeVar("B")
CALM_S: Final = 0.1
"""An answer within this time in s counts as fast as before, however fast that was."""
ASK_TIMES: Final = 4.0
"""An answer that takes so many times as long as over the healthy link is not coming."""


@dataclass(frozen=True, slots=True)
class Passage:
    """One link, and how a question over it was answered before the fault."""

    world: World
    ask_s: float
    link: Link
    before: Answer

    @classmethod
    def opened(cls, world: World, ask_s: float, link: Link) -> Passage:
        """Ask over the healthy link, and take its answer as the measure for later ones: the machine may be slow."""
        before = question.ask(link.port, link.address, ask_s, world.topology)
        return cls(world, max(ask_s, ASK_TIMES * before.took_s), link, before)

    def toxics(self, wanted: Callable[[tuple[Toxic, ...]], bool]) -> Proof:
        """Observe whether the proxy's toxics are as wanted."""
        try:
            toxics = self.world.links.toxics(self.link.name)
        except LinkError as error:
            return Proof(ok=False, text=str(error))
        said = ", ".join(f"{toxic.type} {toxic.stream} {dict(toxic.attributes)}" for toxic in toxics)
        return Proof(wanted(toxics), f"toxics of {self.link.name}: {said or 'none'}")

    def far_end(self) -> Proof:
        """Observe whether the far end answers past the proxy."""
        service = self.world.topology.service(self.link.target)
        address = service.host, service.ports[self.link.port]
        answer = question.ask(self.link.port, address, self.ask_s, self.world.topology)
        return Proof(answer.how == "whole", f"{service.name} itself: {answer}")

    def over(self, wanted: Callable[[Answer], bool]) -> Proof:
        """Observe whether a question over the link is answered as wanted."""
        answer = question.ask(self.link.port, self.link.address, self.ask_s, self.world.topology)
        return Proof(wanted(answer), f"over the link: {answer} (before: {self.before})")

    def as_before(self) -> Proof:
        """Observe whether it is answered as soon as before."""
        soon_s = max(CALM_S, 2 * self.before.took_s)
        return self.over(lambda answer: answer.how == "whole" and answer.took_s <= soon_s)


def at_once(look: Callable[[A], B], things: Sequence[A]) -> list[B]:
    """Look at each, all at the same time, as a look must take about a second."""
    if len(things) == 1:
        return [look(things[0])]
    with ThreadPoolExecutor(len(things)) as pool:
        return list(pool.map(look, things))
