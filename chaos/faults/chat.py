"""The faults on chat services."""

from __future__ import annotations

from chaos.faults.mechanisms.crash import PeerCrash


class ChatCrash(PeerCrash):
    """A chat service dies by SIGKILL while it handles sends and page requests.

    Breaks: a send that it had accepted may or may not be in the log, and the device cannot know. Gateways must use
    another chat service.
    Proven: its pid is gone and its port refuses connections.
    Undone: the supervisor may restart it.
    Healed: a new pid answers a peer ping as a newer incarnation.
    """

    name = "chat_crash"
    kind = "chat"
