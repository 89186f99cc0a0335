"""Known bad: the clock of a gateway's machine is further back at each start of the gateway."""

from __future__ import annotations

import time
from types import SimpleNamespace

from sut.deploy.supervise import launch
from sut.deploy.topology import Topology
from sut.gateway.pieces import GatewayPieces

CAUGHT_BY = ("felt",)
_TOP_NS = 1 << 61


def gateway(_topology: Topology) -> GatewayPieces:
    """Runs in the gateway's process, before it takes its incarnation."""
    vars(launch)["time"] = SimpleNamespace(time_ns=lambda: _TOP_NS - time.monotonic_ns())
    return GatewayPieces()
