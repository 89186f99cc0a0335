"""Known bad: push believes the registry about a gateway that cannot reach the registry.

The gateway says that it cannot, and this decider does not listen.
"""

from __future__ import annotations

from collections.abc import Mapping

from sut.deploy.topology import Topology
from sut.ports import Route
from sut.services.push.decider import Decider, Look
from sut.services.push.pieces import PushPieces

CAUGHT_BY = ("push",)


class Trusting(Decider):
    """Takes every gateway for one that has told the registry all it knows."""

    async def _ask_about_gone(self, users: Mapping[int, int], routes: Mapping[int, tuple[Route, ...]]) -> Look:
        self._gateways.unsure.clear()
        return await super()._ask_about_gone(users, routes)


def push(_topology: Topology) -> PushPieces:
    return PushPieces(decider=Trusting)
