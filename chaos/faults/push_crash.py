"""The push service dies by SIGKILL with pushes decided, under way and not yet answered in its hands.

Breaks: what it knew of them is gone; what of the log it had not committed it has to read again.
Proven: its pid is gone and its port refuses connections.
Undone: the supervisor may restart it. Healed when a new pid answers a peer ping as a newer incarnation.
"""

from __future__ import annotations

from chaos.faults.mechanisms.peer_crash import PeerCrash


class PushCrash(PeerCrash):
    """SIGKILL of the push service."""

    name = "push_crash"
    kind = "push"
