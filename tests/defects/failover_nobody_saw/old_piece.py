"""Known bad: a gateway renews its lease when it is time, and not when another Redis has become master.

The new master may have none of its leases. Until the next renewal nobody finds a device of this gateway there. Nor does
a sequencer that has gone over to it ask the gateways for their routes.
"""

from __future__ import annotations

from typing import cast

from sut.deploy.topology import Topology
from sut.gateway.pieces import GatewayPieces
from sut.ports import Registry
from sut.services.sequencer.emitter import Emitter
from sut.services.sequencer.pieces import SequencerPieces
from sut.variants._passing_on import PassingOn

CAUGHT_BY = ("felt",)


class Unasking(Emitter):
    """Believes what the registry shows."""

    def _ask_routes(self, now_s: float, *, at_once: bool = False) -> None:
        pass


class NeverAnother(PassingOn):
    """Does not say that the registry is another one."""

    generation = 1


def gateway(_topology: Topology) -> GatewayPieces:
    return GatewayPieces(registry=lambda inner: cast("Registry", NeverAnother(inner)))


def sequencer(_topology: Topology) -> SequencerPieces:
    return SequencerPieces(emitter=Unasking)
