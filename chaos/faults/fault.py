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
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol

from sut.deploy.topology import Service, ServiceKind, Topology

if TYPE_CHECKING:
    from chaos.faults.undo import Undo
    from sut.deploy.net.links import Toxic
    from sut.deploy.net.packets import Way

Need = Literal["links", "packets"]
"""What a fault works by, where that is not given everywhere."""


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
    """The part of the link proxies that faults need (sut.deploy.net.links.Links is one)."""

    def available(self) -> str | None:
        """None when links can be broken here, else why not."""

    def blackhole(self, link: str) -> None:
        """Swallow all bytes in both directions; connections stay open."""

    def latency(self, link: str, *, latency_ms: int, jitter_ms: int = 0) -> None:
        """Delay all bytes in each direction."""

    def bandwidth(self, link: str, *, kb_per_s: int) -> None:
        """Let so much through, or nothing, in each direction; what was held comes late."""

    def reset(self, link: str) -> None:
        """End every connection as soon as a byte comes over it."""

    def slicer(self, link: str, *, size: int, delay_us: int) -> None:
        """Cut what passes into small pieces, each a little later."""

    def toxics(self, link: str) -> tuple[Toxic, ...]:
        """What is done to it now."""

    def restore(self, link: str) -> None:
        """Take all toxics off. Harmless when there are none."""


class PacketControl(Protocol):
    """The part of the packet filter that faults need (sut.deploy.net.packets.Packets is one)."""

    def available(self) -> str | None:
        """None when packets can be dropped here, else why not."""

    def drop(self, reason: str, ways: Iterable[Way]) -> None:
        """Drop these from now on."""

    def allow(self, reason: str) -> None:
        """Let them pass again. Harmless when they do."""

    def dropped(self, reason: str) -> Mapping[int, int]:
        """Packets dropped so far, by the group that sent them."""

    def clear(self) -> None:
        """Let everything of this run pass again, and leave nothing behind."""


@dataclass(frozen=True, slots=True)
class World:
    """All that a fault may touch."""

    topology: Topology
    processes: Processes
    links: LinkControl
    packets: PacketControl


def own(topology: Topology, kind: ServiceKind) -> tuple[Service, ...]:
    """The services of a kind whose processes are ours to break."""
    return tuple(service for service in topology.of_kind(kind) if not service.external)


class Fault(ABC):
    """One injection of one fault at one target."""

    name: ClassVar[str]
    effect_timeout_s: ClassVar[float] = 4.0
    """How long after the injection its effect must be seen."""
    heal_timeout_s: ClassVar[float] = 15.0
    """How long after the undo steps health must be seen."""
    arm_timeout_s: ClassVar[float] = 5.0
    """How long it waits for its target to be whole again after an earlier fault, before it is given up."""
    usual_heal_s: ClassVar[float] = 0.0
    """How long health usually takes after the undo steps, where that is more than a moment: a schedule leaves the time
    free of other faults."""
    needs: ClassVar[frozenset[Need]] = frozenset()
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
    def why_no_target(cls, topology: Topology) -> str:
        """What to say of a topology without a target."""
        return f"the {topology.profile} topology has no target for it"

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


def unavailable(
    fault: type[Fault], *, topology: Topology, lacks: Mapping[Need, Callable[[], str | None]]
) -> str | None:
    """Why the fault cannot be applied to this topology, None when it can.

    `lacks` says why a need is not met here, None when it is; a need that is not in it is met.
    """
    reasons = (lacks[need]() for need in sorted(fault.needs & lacks.keys()))
    if fault.targets(topology):
        return next((reason for reason in reasons if reason is not None), None)
    without_links = "links" in lacks and "links" in fault.needs and not topology.links
    return (lacks["links"]() if without_links else None) or fault.why_no_target(topology)
