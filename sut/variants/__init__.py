"""The known-bad designs: each a small override of one piece, and the check that must catch it.

A checker that has never caught anything proves nothing. `petrel run quick --variant NAME` runs the system with one
of these switched on; the verdict must be invalid, by the check named here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sut.ports import SutError

if TYPE_CHECKING:
    from sut.deploy.topology import Topology
    from sut.gateway.presence import GatewayPresence
    from sut.peer import PeerLink
    from sut.protocol.peer import Changed
    from sut.services.chat.accept import Acceptor
    from sut.services.chat.reader import Reader
    from sut.services.sequencer.signals import Signals
    from sut.services.sequencer.worker import PartitionWorker


@dataclass(frozen=True, slots=True)
class Variant:
    """What is wrong with it, and which checks see it."""

    name: str
    wrong: str
    caught_by: tuple[str, ...]


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
            ("acked_lost",),
        ),
        Variant(
            "non_member_fetch",
            "the chat service gives a conversation to whoever asks for it, member or not",
            ("leaks",),
        ),
        Variant(
            "body_per_member",
            "each member of a group gets a copy of each body, stored and sent: `petrel bench fanout` shows the cost",
            (),
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
            (),  # shown by measurement: `petrel bench presence`
        ),
    )
}


class UnknownVariant(SutError):
    """No variant has this name; the text lists those that exist."""


def check_name(name: str | None) -> None:
    """Raises UnknownVariant."""
    if name is not None and name not in VARIANTS:
        raise UnknownVariant(f"unknown variant {name!r}; there are {', '.join(VARIANTS)}")


def worker_class(topology: Topology) -> type[PartitionWorker]:
    """How this system sequences a partition."""
    check_name(topology.variant)
    match topology.variant:
        case "ack_before_durable":
            from sut.variants.ack_before_durable import EarlyWorker

            return EarlyWorker
        case "redis_incr":
            from sut.variants.redis_incr import counting_worker

            return counting_worker(topology)
        case "receipts_before_delivery":
            from sut.variants.receipts_before_delivery import HastyReceipts

            return HastyReceipts
        case "commit_before_store":
            from sut.variants.commit_before_store import HastyWorker

            return HastyWorker
        case "body_per_member":
            from sut.variants.body_per_member import CopyingWorker

            return CopyingWorker
        case _:
            from sut.services.sequencer.worker import PartitionWorker

            return PartitionWorker


def acceptor_class(topology: Topology, sequencers: Mapping[int, PeerLink]) -> type[Acceptor]:
    """How this system takes a SEND to the log. `sequencers`: the link to each partition's owner."""
    check_name(topology.variant)
    if topology.variant == "ack_before_durable":
        from sut.variants.ack_before_durable import volatile_acceptor

        return volatile_acceptor(sequencers)
    from sut.services.chat.accept import Acceptor

    return Acceptor


def reader_class(topology: Topology) -> type[Reader]:
    """How this system answers FETCH, SYNC and HISTORY."""
    check_name(topology.variant)
    if topology.variant == "non_member_fetch":
        from sut.variants.non_member_fetch import OpenReader

        return OpenReader
    from sut.services.chat.reader import Reader

    return Reader


def signals_class(topology: Topology) -> type[Signals]:
    """What this system's sequencers do beside numbering."""
    check_name(topology.variant)
    if topology.variant == "eager_presence":
        from sut.variants.eager_presence import EagerSignals

        return EagerSignals
    from sut.services.sequencer.signals import Signals

    return Signals


def presence_class(topology: Topology, tell_chats: Callable[[Changed], None]) -> type[GatewayPresence]:
    """How this system's gateways keep presence. `tell_chats`: hands a frame to a chat service."""
    check_name(topology.variant)
    if topology.variant == "eager_presence":
        from sut.variants.eager_presence import eager_presence

        return eager_presence(tell_chats)
    from sut.gateway.presence import GatewayPresence

    return GatewayPresence


def presence_ttl_s(topology: Topology) -> float:
    """How long a gateway's word on a user counts in this system."""
    check_name(topology.variant)
    return 1e9 if topology.variant == "presence_without_ttl" else topology.settings.presence_ttl_s
