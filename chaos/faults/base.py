"""What a fault is: something broken on purpose, seen to be broken from outside, mended, and seen to be mended.

A Fault object is one injection. The engine drives it: `arm` looks at the target and says how the injection will be
undone, the undo ledger makes that durable, `inject` breaks, `effective` looks until the damage shows, and after the
hold the engine applies the undo steps and lets `healed` look. Healing is nothing but those steps, so what the watchdog
does after a crash of the harness is what every healthy run does too. Faults look and act; the engine waits.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

from chaos.undo import Undo
from sut.deploy.topology import Topology


@dataclass(frozen=True, slots=True)
class Proof:
    """What one look from outside saw: whether it is what the fault claims, in words that a report can print."""

    ok: bool
    text: str

    def __bool__(self) -> bool:
        return self.ok


def every(proofs: Iterable[Proof]) -> Proof:
    """Holds if all hold. Looks lazily: the text ends with the first that does not."""
    texts = []
    for proof in proofs:
        texts.append(proof.text)
        if not proof:
            return Proof(ok=False, text="; ".join(texts))
    return Proof(ok=True, text="; ".join(texts))


def in_turn(*looks: Callable[[], Proof]) -> Proof:
    """Take one look after the other, up to the first that does not hold."""
    return every(look() for look in looks)


class Processes(Protocol):
    """The part of a running system that faults need (sut.deploy.system.System is one)."""

    def pid(self, name: str) -> int | None:
        """The process of that name now, None while there is none."""

    def hold(self, name: str) -> None:
        """Do not restart it."""

    def release(self, name: str) -> None:
        """Restart it as usual again. Harmless when it was not held."""


class LinkControl(Protocol):
    """The part of the link proxies that faults need (sut.deploy.links.Links is one)."""

    def available(self) -> str | None:
        """None when links can be broken here, else why not."""

    def blackhole(self, link: str) -> None:
        """Swallow all bytes in both directions; connections stay open."""

    def restore(self, link: str) -> None:
        """Take all toxics off. Harmless when there are none."""


@dataclass(frozen=True, slots=True)
class World:
    """All that a fault may touch."""

    topology: Topology
    processes: Processes
    links: LinkControl


class Fault(ABC):
    """One injection of one fault at one target."""

    name: ClassVar[str]
    effect_timeout_s: ClassVar[float] = 4.0
    """How long after the injection its effect must be seen."""
    heal_timeout_s: ClassVar[float] = 15.0
    """How long after the undo steps health must be seen."""
    options: ClassVar[Mapping[str, float]] = {}
    """What an experiment may set, with the defaults."""

    def __init__(self, world: World, target: str, options: Mapping[str, float]) -> None:
        self.world = world
        self.target = target
        self.chosen = {**self.options, **options}

    @classmethod
    @abstractmethod
    def targets(cls, topology: Topology) -> tuple[str, ...]:
        """Where it may be applied, by name. Empty: the topology has no such place."""

    @classmethod
    def needs_links(cls) -> bool:
        """Whether it works by breaking proxied links."""
        return False

    @abstractmethod
    def arm(self) -> tuple[Undo, ...]:
        """Look at the healthy target and say how to undo. Changes nothing. Raises FaultError when it is not healthy."""

    @abstractmethod
    def inject(self) -> None:
        """Break it. Raises FaultError when that was refused."""

    @abstractmethod
    def effective(self) -> Proof:
        """One look from outside: is it broken? Takes at most about a second."""

    @abstractmethod
    def healed(self) -> Proof:
        """One look from outside, after the undo steps: is it whole again? Takes at most about a second."""


def unavailable(fault: type[Fault], *, topology: Topology, links: LinkControl) -> str | None:
    """Why the fault cannot be applied to this topology, None when it can."""
    if not fault.targets(topology):
        return f"the {topology.profile} topology has no target for it"
    return links.available() if fault.needs_links() else None
