"""Known bad: push forgets where a device was when the lease of its gateway ends.

The gateway may only be stopped, and still have the device.
"""

from __future__ import annotations

from collections.abc import Mapping

from sut.deploy.topology import Topology
from sut.services.push.decider import Decider
from sut.services.push.pieces import PushPieces

CAUGHT_BY = ("push",)


class Forgetful(Decider):
    """Knows only the gateways of devices that it has decided about before."""

    async def _remember_lapsed(self, users: Mapping[int, int]) -> None:
        return None


def push(_topology: Topology) -> PushPieces:
    return PushPieces(decider=Forgetful)
