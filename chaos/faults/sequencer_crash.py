"""A sequencer dies by SIGKILL: nobody numbers or fans out the messages of its partitions.

Breaks: sends to these partitions are durable in the log but get no answer; what it had sequenced and not yet stored
must come out with the same numbers when it replays the log.
Proven: its pid is gone and its port refuses connections.
Undone: the supervisor may restart it. Healed when a new pid answers a peer ping as a newer incarnation.
"""

from __future__ import annotations

from chaos.faults.mechanisms.peer_crash import PeerCrash


class SequencerCrash(PeerCrash):
    """SIGKILL of one sequencer."""

    name = "sequencer_crash"
    kind = "sequencer"
