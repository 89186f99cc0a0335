"""All sequencers die by SIGKILL at the same moment: nothing of what they held in memory is left anywhere.

Breaks: no message gets a number until they are back, and each must find its state again in the store and the log: what
was acknowledged under a number must come out under it again, with nobody left to ask.
Proven: all their pids are gone and all their ports refuse connections.
Undone: the supervisor may restart them. Healed when new pids answer peer pings as newer incarnations.
"""

from __future__ import annotations

from chaos.faults.mechanisms.crash_of_all import CrashOfAll


class SequencersRestart(CrashOfAll):
    """SIGKILL of every sequencer."""

    name = "sequencers_restart"
    kind = "sequencer"
