"""The faults on the push service."""

from __future__ import annotations

from chaos.faults.mechanisms.crash import PeerCrash, PeerStop


class PushCrash(PeerCrash):
    """The push service dies by SIGKILL while it decides, sends or confirms pushes.

    Breaks: its state of these pushes is lost. It must read again the part of the log that it had not committed.
    Proven: its pid is gone and its port refuses connections.
    Undone: the supervisor may restart it.
    Healed: a new pid answers a peer ping as a newer incarnation.
    """

    name = "push_crash"
    kind = "push"


class PushStop(PeerStop):
    """The push service is told to end (SIGTERM) and confirms what it has sent.

    Breaks: pushes wait until it is back. Those that it had sent and confirmed must not be sent again.
    Proven: its pid is gone and its ports refuse connections.
    Undone: the supervisor may restart it.
    Healed: a new pid answers a peer ping as a newer incarnation.
    """

    name = "push_stop"
    kind = "push"
