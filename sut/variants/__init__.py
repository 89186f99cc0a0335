"""The known-bad designs: each a small override of one piece, and the check that must catch it.

A checker that has never caught anything proves nothing. `petrel run quick --variant NAME` runs the system with one
of these switched on; the verdict must be invalid, by the check named here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sut.ports import SutError

if TYPE_CHECKING:
    from sut.deploy.topology import Topology
    from sut.peer import PeerLink
    from sut.services.chat.accept import Acceptor
    from sut.services.sequencer.worker import PartitionWorker


@dataclass(frozen=True, slots=True)
class Variant:
    """What is wrong with it, and which checks see it."""

    name: str
    wrong: str
    caught_by: tuple[str, ...]


IGNORE_DEPENDENCIES = "ignore_dependencies"
"""The one that is wrong in the clients; whoever runs them has to see to it."""

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
            IGNORE_DEPENDENCIES,
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
        case "commit_before_store":
            from sut.variants.commit_before_store import HastyWorker

            return HastyWorker
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
