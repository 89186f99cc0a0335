"""Toxics: links are disturbed without being cut. A question over one is answered, but not as before."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import ClassVar, Final

from chaos.errors import FaultError
from chaos.faults.fault import Fault
from chaos.faults.proofs.passage import Passage, at_once
from chaos.faults.proofs.proof import Look, Proof, every, in_turn
from chaos.faults.undo import Restore, Undo
from sut.deploy.errors import LinkError
from sut.deploy.net.links import STREAMS, Stream
from sut.deploy.probes.question import Answer
from sut.deploy.topology import Link, Topology

MAX_PATIENCE: Final = 4.0
"""How many times `ask_s` to wait for the answer of a healthy link, at most."""


class Toxics(Fault):
    """A toxic on each link of a target, in both directions."""

    kind = "link"
    needs = frozenset({"links"})
    toxic: ClassVar[str]
    """The types of its toxics, as the proxy names them, with a space between: one for each of `streams`, or two."""
    streams: ClassVar[tuple[Stream, ...]] = STREAMS
    """Directions that carry the toxic."""
    ask_s: ClassVar[float] = 0.8
    """How many seconds to wait for an answer over a link, on a machine that is as fast as usual."""
    _patience: float = 1.0

    @classmethod
    @abstractmethod
    def links_of(cls, topology: Topology) -> Mapping[str, tuple[Link, ...]]:
        """Return the links of each target."""

    @classmethod
    def targets(cls, topology: Topology) -> tuple[str, ...]:
        """Return every target: the proxies are ours, whoever runs the servers."""
        return tuple(cls.links_of(topology))

    @abstractmethod
    def add(self, link: str) -> None:
        """Put the toxic on the link of that name. Raises LinkError."""

    @abstractmethod
    def bites(self, before: Answer, answer: Answer) -> bool:
        """Return True if this answer to a question over a link shows the toxic; `before`: that of the healthy link."""

    def arm(self) -> tuple[Undo, ...]:
        """Record the answer to a question over each link; return the undo steps.

        Raises FaultError without a whole answer. The next call then waits twice as long for it, up to MAX_PATIENCE.
        """
        links = self.links_of(self.world.topology)[self.target]
        self._ways = at_once(partial(Passage.opened, self.world, self._patience * self.ask_s), links)
        for way in self._ways:
            if way.before.how != "whole":
                self._patience = min(MAX_PATIENCE, 2 * self._patience)
                raise FaultError(f"a question over {way.link.name}: {way.before}")
        return tuple(Restore(link.name) for link in links)

    def inject(self) -> None:
        """Put the toxic on the links. Raises FaultError."""
        try:
            for way in self._ways:
                self.add(way.link.name)
        except LinkError as error:
            raise FaultError(str(error)) from None

    def effective(self) -> Proof:
        """Observe that the proxy reports the toxic, the far end answers directly, and the link disturbs its answer."""
        return every(
            at_once(lambda way: in_turn(partial(self._in_force, way), way.far_end, self._bite(way)), self._ways)
        )

    def healed(self) -> Proof:
        """Observe that the proxy reports no toxic, and a question over each link is answered as before."""
        return every(at_once(lambda way: in_turn(partial(self._gone, way), way.as_before), self._ways))

    def _in_force(self, way: Passage) -> Proof:
        types = self.toxic.split()
        wanted = sorted(types if len(types) == 2 else len(self.streams) * types)
        return way.toxics(lambda toxics: sorted(toxic.type for toxic in toxics) == wanted)

    @staticmethod
    def _gone(way: Passage) -> Proof:
        return way.toxics(lambda toxics: not toxics)

    def _bite(self, way: Passage) -> Look:
        return lambda: way.over(lambda answer: self.bites(way.before, answer))


class Silence(Toxics):
    """A link that keeps a connection open and carries nothing."""

    def bites(self, before: Answer, answer: Answer) -> bool:
        """Return True if no answer comes while the connection stays open."""
        return answer.how == "silence"


class Stall(Silence):
    """A bandwidth of 0 in both directions: what is held back arrives afterwards."""

    toxic = "bandwidth"

    def add(self, link: str) -> None:
        """Set both directions to a bandwidth of 0."""
        self.world.links.bandwidth(link, kb_per_s=0)


class Blackhole(Silence):
    """Every byte of `streams` is discarded; no connection ends."""

    toxic = "timeout"

    def add(self, link: str) -> None:
        """Discard every byte of these directions."""
        self.world.links.blackhole(link, self.streams)


class HalfClose(Silence):
    """The far side's connections end, and the near side's are held open."""

    toxic = "slow_close timeout"

    def add(self, link: str) -> None:
        """End the far side and hold the near one."""
        self.world.links.half_close(link)


class Reset(Toxics):
    """Every connection ends at its next byte: new ones by a reset, those that were open before in order (FIN)."""

    toxic = "reset_peer"

    def add(self, link: str) -> None:
        """Add the toxic in both directions."""
        self.world.links.reset(link)

    def bites(self, before: Answer, answer: Answer) -> bool:
        """Return True if the connection broke."""
        return answer.how == "broken"


class Latency(Toxics):
    """Every byte arrives `latency_ms` later, with `jitter_ms` more or less, in each direction."""

    toxic = "latency"
    options = MappingProxyType({"latency_ms": 150.0, "jitter_ms": 0.0})

    def add(self, link: str) -> None:
        """Add the toxic in both directions."""
        latency_ms, jitter_ms = round(self.chosen["latency_ms"]), round(self.chosen["jitter_ms"])
        self.world.links.latency(link, latency_ms=latency_ms, jitter_ms=jitter_ms)

    def bites(self, before: Answer, answer: Answer) -> bool:
        """Return True if the answer is whole and two delays late."""
        least_s = 2 * (self.chosen["latency_ms"] - self.chosen["jitter_ms"]) / 1000
        return answer.how == "whole" and answer.took_s >= least_s


class LinkToxic(Toxics):
    """A toxic on one link between two services."""

    @classmethod
    def links_of(cls, topology: Topology) -> Mapping[str, tuple[Link, ...]]:
        """Return each link between two services as a target of its own."""
        return {link.name: (link,) for link in topology.links if not link.from_devices}


class CellToxic(Toxics):
    """A toxic on all links of one cell: every connection of its devices, whatever their gateway."""

    ask_s = 1.5  # a cell of 2 KB/s needs half a second for a question

    @classmethod
    def links_of(cls, topology: Topology) -> Mapping[str, tuple[Link, ...]]:
        """Return the links of each cell, by the name of the cell."""
        return topology.cells()

    @classmethod
    def why_no_target(cls, topology: Topology) -> str:
        """Say that only some experiments have cells."""
        return "the system has no cells; an experiment with mobile_share has"
