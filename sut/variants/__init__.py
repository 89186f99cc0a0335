"""The known-bad designs: each a small override of one piece, and the check that must catch it.

A checker that has never caught anything proves nothing. `petrel run quick --variant NAME` runs the system with one
of these switched on; the verdict must be invalid, by the check named here. Two are correct and only dear: those are
shown by a measurement, `petrel bench NAME`. `petrel modes` lists them all.

A variant is the module of its name in this package, and a row in VARIANTS. Whatever pieces of the system it has in its
own way are functions there, with the names of the functions below and their arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from sut.ports import SutError

if TYPE_CHECKING:
    from sut.deploy.topology import Topology
    from sut.gateway.presence import GatewayPresence
    from sut.gateway.registrar import Pace
    from sut.ports import Registry
    from sut.process.peer import PeerLink
    from sut.protocol.peer import Changed
    from sut.services.chat.accept import Acceptor
    from sut.services.chat.reader import Reader
    from sut.services.push.decider import Decider
    from sut.services.push.floor import Floor
    from sut.services.sequencer.signals import Signals
    from sut.services.sequencer.worker import PartitionWorker


@dataclass(frozen=True, slots=True)
class Variant:
    """What is wrong with it, and what shows it: checks, or else the bench that measures what it costs."""

    name: str
    wrong: str
    caught_by: tuple[str, ...]
    measured_by: str = ""


VARIANTS: Mapping[str, Variant] = {
    variant.name: variant
    for variant in (
        Variant(
            "ack_before_durable",
            "the ACK goes out when the chat service has the record in memory; the log gets it later",
            ("acked_lost",),
        ),
        Variant(
            "redis_incr",
            "numbers come from Redis INCR, so a failover to a replica that lags hands them out again",
            ("gaps_forks", "duplicates", "acked_lost"),
        ),
        Variant(
            "commit_before_store",
            "the log offset is committed before the rows are in the store, so a crash between the two forgets them",
            ("acked_lost", "session"),
        ),
        Variant(
            "dedup_window",
            "a repeated SEND is recognised for a second only, so one that comes later is a new message",
            ("duplicates",),
        ),
        Variant(
            "no_catch_up",
            "SYNC tells nothing, so a device hears of what it was told of live, and of nothing that it missed",
            ("catch_up", "liveness"),
        ),
        Variant(
            "immortal_routes",
            "a route stays until its own gateway takes it out, so those of a dead gateway keep new ones away",
            ("liveness", "catch_up"),
        ),
        Variant(
            "blind_delete",
            "the late clean-up after a disconnect deletes the device's route, whosever it is by then",
            ("liveness", "catch_up"),
        ),
        Variant(
            "global_counter",
            "one counter for all conversations: correct, and every message waits for its turn",
            (),
            measured_by="counter",
        ),
        Variant(
            "fixed_reconnect",
            "devices reconnect after a fixed wait instead of full jitter: all at once, again and again",
            (),
            measured_by="reconnect",
        ),
        Variant(
            "non_member_fetch",
            "the chat service gives a conversation to whoever asks for it, member or not",
            ("leaks",),
        ),
        Variant(
            "body_per_member",
            "each member of a group gets a copy of each body, stored and sent",
            (),
            measured_by="fanout",
        ),
        Variant(
            "receipts_before_delivery",
            "a message counts as delivered to everybody when its notification goes out, seen or not",
            ("receipts",),
        ),
        Variant(
            "presence_without_ttl",
            "a gateway's word on who is there counts for ever, so whoever was on one that crashed never leaves",
            ("presence",),
        ),
        Variant(
            "eager_presence",
            "each coming and going is told to all contacts at once, whether they look or not: correct, and a storm",
            (),
            measured_by="presence",
        ),
        Variant(
            "push_to_online",
            "pushes go to all devices of the members, connected or not",
            ("push",),
        ),
        Variant(
            "push_commit_before_sent",
            "the push service commits the log as it reads it, so a crash forgets the pushes that were under way",
            ("push",),
        ),
        Variant(
            "plaintext_store",
            "the wrong is in the client: some send in the clear what they should encrypt, and it reaches log and store",
            ("leaks",),
        ),
        Variant(
            "ignore_dependencies",
            "clients do not wait for what a message names, so who comes back may see an answer before its question",
            ("causal",),
        ),
    )
}


class UnknownVariant(SutError):
    """No variant has this name; the text lists those that exist."""


def check_name(name: str | None) -> None:
    """Raises UnknownVariant."""
    if name is not None and name not in VARIANTS:
        raise UnknownVariant(f"unknown variant {name!r}; there are {', '.join(VARIANTS)}")


def _own(variant: str | None, piece: str) -> Any:
    """What the variant has in the place of this piece; None when it has nothing there."""
    check_name(variant)
    return getattr(import_module(f"sut.variants.{variant}"), piece, None) if variant is not None else None


def worker_class(topology: Topology) -> type[PartitionWorker]:
    """How this system sequences a partition."""
    from sut.services.sequencer.worker import PartitionWorker

    own = _own(topology.variant, "worker_class")
    found: type[PartitionWorker] = own(topology) if own else PartitionWorker
    return found


def acceptor_class(topology: Topology, sequencers: Mapping[int, PeerLink]) -> type[Acceptor]:
    """How this system takes a SEND to the log. `sequencers`: the link to each partition's owner."""
    from sut.services.chat.accept import Acceptor

    own = _own(topology.variant, "acceptor_class")
    found: type[Acceptor] = own(topology, sequencers) if own else Acceptor
    return found


def reader_class(topology: Topology) -> type[Reader]:
    """How this system answers FETCH, SYNC and HISTORY."""
    from sut.services.chat.reader import Reader

    own = _own(topology.variant, "reader_class")
    found: type[Reader] = own(topology) if own else Reader
    return found


def signals_class(topology: Topology) -> type[Signals]:
    """What this system's sequencers do beside numbering."""
    from sut.services.sequencer.signals import Signals

    own = _own(topology.variant, "signals_class")
    found: type[Signals] = own(topology) if own else Signals
    return found


def presence_class(topology: Topology, tell_chats: Callable[[Changed], None]) -> type[GatewayPresence]:
    """How this system's gateways keep presence. `tell_chats`: hands a frame to a chat service."""
    from sut.gateway.presence import GatewayPresence

    own = _own(topology.variant, "presence_class")
    found: type[GatewayPresence] = own(tell_chats) if own else GatewayPresence
    return found


def presence_ttl_s(topology: Topology) -> float:
    """How long a gateway's word on a user counts in this system."""
    own = _own(topology.variant, "presence_ttl_s")
    found: float = own(topology) if own else topology.settings.presence_ttl_s
    return found


def gateway_registry(topology: Topology, registry: Registry) -> Registry:
    """How this system's gateways keep their entries in this registry."""
    own = _own(topology.variant, "gateway_registry")
    found: Registry = own(topology, registry) if own else registry
    return found


def gateway_pace(topology: Topology) -> Pace | None:
    """How often this system's gateways write their routes again; None: as usual."""
    own = _own(topology.variant, "gateway_pace")
    found: Pace | None = own(topology) if own else None
    return found


def fixed_reconnect_s(variant: str | None) -> float:
    """The wait of devices before they reconnect, 0 where it is full jitter."""
    own = _own(variant, "fixed_reconnect_s")
    found: float = own() if own else 0.0
    return found


def ignores_dependencies(variant: str | None) -> bool:
    """Whether devices show a message without what it names."""
    own = _own(variant, "ignores_dependencies")
    found: bool = own() if own else False
    return found


def decider_class(topology: Topology) -> type[Decider]:
    """How this system decides who gets a push."""
    from sut.services.push.decider import Decider

    own = _own(topology.variant, "decider_class")
    found: type[Decider] = own(topology) if own else Decider
    return found


def floor_class(topology: Topology) -> type[Floor]:
    """How far this system's push service says that it is done."""
    from sut.services.push.floor import Floor

    own = _own(topology.variant, "floor_class")
    found: type[Floor] = own(topology) if own else Floor
    return found
