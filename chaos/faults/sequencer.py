"""The faults on sequencers."""

from __future__ import annotations

from chaos.faults.mechanisms.crash import CrashOfAll, PeerCrash


class SequencerCrash(PeerCrash):
    """A sequencer dies by SIGKILL: no service numbers or fans out the messages of its partitions.

    Breaks: sends to these partitions are durable in the log but get no answer. Messages that it had numbered and not
    yet stored must get the same numbers when it replays the log.
    Proven: its pid is gone and its port refuses connections.
    Undone: the supervisor may restart it.
    Healed: a new pid answers a peer ping as a newer incarnation.
    """

    name = "sequencer_crash"
    kind = "sequencer"


class SequencersRestart(CrashOfAll):
    """All sequencers die by SIGKILL at the same moment: their state in memory is lost.

    Breaks: no message gets a number until they are back. Each must rebuild its state from the store and the log. A
    message that was acknowledged under a number must keep it, and no other sequencer can be asked.
    Proven: all their pids are gone and all their ports refuse connections.
    Undone: the supervisor may restart them.
    Healed: new pids answer peer pings as newer incarnations.
    """

    name = "sequencers_restart"
    kind = "sequencer"
