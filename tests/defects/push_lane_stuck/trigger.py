"""The first 100 pushes to APNs wait for ever, each at its first attempt. That is no defect of the push service.

An HTTP library did this past its own deadline: such a push waited inside its pool of connections.
"""

from __future__ import annotations

import asyncio

from sut.adapters.push.apns import Apns
from sut.deploy.topology import Topology
from sut.ports import Push, PushAnswer
from sut.services.push.pieces import PushPieces

STUCK = 100
_push = Apns.push
_first: set[tuple[str, int]] = set()


async def push_or_wait(provider: Apns, token: str, push: Push) -> PushAnswer:
    """Try once to push; wait for ever with the first attempts of STUCK devices and conversations."""
    if len(_first) < STUCK and (token, push.conv) not in _first:
        _first.add((token, push.conv))
        await asyncio.Event().wait()
    return await _push(provider, token, push)


def push(_topology: Topology) -> PushPieces:
    Apns.push = push_or_wait  # type: ignore[method-assign]
    return PushPieces()
