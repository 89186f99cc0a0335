"""A gateway dies by SIGKILL and takes all its connections along.

Breaks: every device on it is cut off without a close frame; its routes in the registry point to nobody until its lease
ends; notifications on their way through it are lost.
Proven: its pid is gone and its ports refuse connections.
Undone: the supervisor may restart it. Healed when a new pid answers a peer ping as a newer incarnation.
"""

from __future__ import annotations

from chaos.faults.mechanisms.peer_crash import PeerCrash


class GatewayCrash(PeerCrash):
    """SIGKILL of one gateway."""

    name = "gateway_crash"
    kind = "gateway"
