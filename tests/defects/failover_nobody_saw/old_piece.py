"""Known bad: a gateway renews its lease when it is time, and not when another Redis has become master.

The new master may have none of its leases. Until the next renewal nobody finds a device of this gateway there.
"""

from __future__ import annotations

from typing import cast

from sut.deploy.topology import Topology
from sut.gateway.pieces import GatewayPieces
from sut.ports import Registry
from sut.variants._passing_on import PassingOn

CAUGHT_BY = ("felt",)


class NeverAnother(PassingOn):
    """Does not say that the registry is another one."""

    generation = 1


def gateway(_topology: Topology) -> GatewayPieces:
    return GatewayPieces(registry=lambda inner: cast("Registry", NeverAnother(inner)))
