"""Known bad: one foreign entry in the list of revoked devices ends the watch of every gateway, and the gateway."""

from __future__ import annotations

from sut.adapters.redis import revocations
from sut.deploy.topology import Topology
from sut.gateway.pieces import GatewayPieces
from sut.ports import Revocation
from sut.services.sequencer.pieces import SequencerPieces
from tests.defects.foreign_revocation import trigger

CAUGHT_BY = ("latency", "liveness")


def unpacked(member: bytes, data: bytes) -> Revocation:
    """Return the revocation. Raises ValueError or struct.error for what nobody of ours wrote."""
    user, _, device = member.partition(b":")
    at_s, until_s = revocations._DATA.unpack(data)
    return Revocation(int(user), int(device), at_s, until_s)


def gateway(_topology: Topology) -> GatewayPieces:
    revocations._unpacked = unpacked
    return GatewayPieces()


def sequencer(topology: Topology) -> SequencerPieces:
    return trigger.sequencer(topology)
