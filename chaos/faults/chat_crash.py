"""A chat service dies by SIGKILL with sends and page requests in its hands.

Breaks: a send that it had taken is in the log or is not, and the device cannot know; gateways must use another one.
Proven: its pid is gone and its port refuses connections.
Undone: the supervisor may restart it. Healed when a new pid answers a peer ping as a newer incarnation.
"""

from __future__ import annotations

from chaos.faults.mechanisms.peer_crash import PeerCrash


class ChatCrash(PeerCrash):
    """SIGKILL of one chat service."""

    name = "chat_crash"
    kind = "chat"
