"""The interface of a fault: deliberate damage, proven from outside, undone, and proven repaired.

A Fault object is one injection. The engine drives it: `arm` checks the target and returns the undo steps, and the undo
ledger makes them durable. `inject` breaks the target, and the engine asks `effective` until the damage shows. After the
hold the engine applies the undo steps and asks `healed`. Only those steps heal, so the watchdog heals a crashed run in
the same way as the engine heals a normal one. Faults observe and act; the engine waits.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

import msgspec

from chaos.faults.proofs.proof import Proof
from chaos.faults.world import World
from sut.deploy.topology import ServiceKind, Topology

if TYPE_CHECKING:
    from chaos.faults.undo import Undo

Need = Literal["links", "packets", "disk"]
"""A control that a fault needs and that some machines lack."""


class Fault(ABC):
    """One injection of one fault at one target.

    A class with a `name` of its own, in a module of chaos.faults, is a fault that experiments can name. Its docstring
    is the text of the fault: a first sentence, then a part for each of PARTS.
    """

    name: ClassVar[str]
    kind: ClassVar[ServiceKind | Literal["link", "container"]]
    """The kind of service that it breaks, or "link", or "container": that of any service of ours."""
    effect_timeout_s: ClassVar[float] = 4.0
    """Seconds after the injection within which its effect must be seen."""
    heal_timeout_s: ClassVar[float] = 30.0
    """Seconds after the undo steps within which health must be seen.

    Where others take the cores, a killed process is back after 18 s. What people felt is judged by other checks.
    """
    arm_timeout_s: ClassVar[float] = 5.0
    """Seconds to wait for the target to recover from an earlier fault before the injection is abandoned."""
    usual_heal_s: ClassVar[float] = 0.0
    """Seconds that recovery usually takes after the undo steps. A schedule keeps this time free of other faults."""
    needs: ClassVar[frozenset[Need]] = frozenset()
    own_clock: ClassVar[bool] = False
    """True: the services of its kind must be started with clocks of their own (Settings.clocks)."""
    options: ClassVar[Mapping[str, float]] = {}
    """The options that an experiment may set, with their defaults."""

    def __init__(self, world: World, target: str, options: Mapping[str, float]) -> None:
        self.world = world
        self.target = target
        self.chosen = {**self.options, **options}

    @classmethod
    @abstractmethod
    def targets(cls, topology: Topology) -> tuple[str, ...]:
        """Return the names of the targets in this topology; empty if it has none."""

    @classmethod
    def why_no_target(cls, topology: Topology) -> str:
        """Return the reason to give if a topology has no target."""
        return f"the {topology.profile} topology has no target for it"

    @abstractmethod
    def arm(self) -> tuple[Undo, ...]:
        """Check that the target is healthy and return the undo steps. Changes nothing. Raises FaultError."""

    @abstractmethod
    def inject(self) -> None:
        """Break the target. Raises FaultError if the system refused."""

    @abstractmethod
    def effective(self) -> Proof:
        """Observe once from outside whether the target is broken. Takes at most about a second."""

    @abstractmethod
    def healed(self) -> Proof:
        """Observe once from outside, after the undo steps, whether the target is repaired.

        Takes about a second; on a busy machine up to the few seconds that an answer may take.
        """


PARTS = ("Breaks", "Proven", "Undone", "Healed")
"""The parts of a fault's text after its first sentence; each begins a line and ends with a colon."""


class Description(msgspec.Struct, frozen=True, kw_only=True):
    """A fault as data, for listings and documents."""

    name: str
    kind: str
    summary: str
    """The first sentence of the text."""
    text: str
    options: dict[str, float]
    """The options with their defaults."""


def describe(fault: type[Fault]) -> Description:
    """Return the description of one fault, read from its class."""
    text = inspect.cleandoc(fault.__doc__ or "")
    first = " ".join(text.partition("\n\n")[0].split())
    end = first.find(". ")
    summary = first if end < 0 else first[: end + 1]
    return Description(name=fault.name, kind=fault.kind, summary=summary, text=text, options=dict(fault.options))


def unavailable(
    fault: type[Fault], *, topology: Topology, lacks: Mapping[Need, Callable[[], str | None]]
) -> str | None:
    """Return the reason why the fault cannot be applied to this topology; None if it can.

    `lacks` gives for each need the reason why it is not met here, or None. A need that `lacks` leaves out is met.
    """
    reasons = (lacks[need]() for need in sorted(fault.needs & lacks.keys()))
    if topology.contained and "packets" in fault.needs:
        return "packets between containers cannot be told by their sender; container_disconnect cuts one off"
    if fault.targets(topology):
        return next((reason for reason in reasons if reason is not None), None)
    without_links = "links" in lacks and "links" in fault.needs and not topology.links
    return (lacks["links"]() if without_links else None) or fault.why_no_target(topology)
