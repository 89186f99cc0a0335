"""Known bad: a gateway's word on who is online never expires, so the users of a crashed gateway stay online.

A user who watches such a user sees "online" for as long as the watch lasts.
"""

from __future__ import annotations

from typing import Final

from sut.deploy.topology import Topology
from sut.gateway.pieces import GatewayPieces
from sut.services.api.pieces import ApiPieces

CAUGHT_BY = ("presence",)
SHOWN_IN = "everything"
SHOWN_BY = "gateway_crash"
FOR_EVER_S: Final = 1e9


def gateway(_topology: Topology) -> GatewayPieces:
    return GatewayPieces(presence_ttl_s=FOR_EVER_S)


def api(_topology: Topology) -> ApiPieces:
    return ApiPieces(presence_ttl_s=FOR_EVER_S)
