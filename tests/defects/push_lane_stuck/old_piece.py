"""Known bad: the only deadline of a push is that of the HTTP library, and a push that never ends keeps its place."""

from __future__ import annotations

from sut.deploy.topology import Topology
from sut.ports import Push, PushAnswer
from sut.services.push.pieces import PushPieces
from sut.services.push.sender import Sender
from tests.defects.push_lane_stuck import trigger

CAUGHT_BY = ("push",)


async def attempt(sender: Sender, token: str, push: Push) -> PushAnswer:
    """Ask the provider, and wait for as long as it takes."""
    return await sender._provider.push(token, push)


def push(topology: Topology) -> PushPieces:
    Sender._attempt = attempt  # type: ignore[method-assign]
    return trigger.push(topology)
