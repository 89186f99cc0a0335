"""The faults on sequencers."""

from __future__ import annotations

import time
from typing import Final

from chaos.faults.mechanisms.crash import AIM_S, Crash, CrashOfAll, PeerCrash
from chaos.faults.proofs.observe import peer_address
from sut.deploy.probes import probe

LOOK_S: Final = 0.01


class BeforeTheStore(Crash):
    """A crash of a sequencer that has just committed, while there are records that it has not stored yet.

    In a right design a commit says that all up to it is stored. One that commits first loses what lies between.
    """

    def aim(self) -> None:
        """Wait until a commit is seen to move with something unstored, else at least until something is unstored."""
        before: dict[str, float] = {}
        began_s = time.monotonic()
        while (waited_s := time.monotonic() - began_s) < AIM_S:
            pong = probe.peer_ping(peer_address(self.victim), AIM_S / 4)
            stats = {} if pong is None else pong.stats
            if pong is not None and "unstored" not in stats:
                return  # it does not tell
            now = {name: at for name, at in stats.items() if name.startswith("committed_")}
            unstored = stats.get("unstored", 0.0) > 0
            if unstored and ((before and now != before) or waited_s > AIM_S / 2):
                return
            before = now
            time.sleep(LOOK_S)


class SequencerCrash(BeforeTheStore, PeerCrash):
    """A sequencer dies by SIGKILL: nobody numbers or fans out the messages of its partitions until another one does.

    Breaks: sends to these partitions are durable in the log but get no answer. Messages that it had numbered and not
    yet stored must get the same numbers again, from the one that takes over and later from itself.
    Proven: its pid is gone and its port refuses connections.
    Undone: the supervisor may restart it.
    Healed: a new pid answers a peer ping as a newer incarnation.
    """

    name = "sequencer_crash"
    kind = "sequencer"


class SequencersRestart(BeforeTheStore, CrashOfAll):
    """All sequencers die by SIGKILL at the same moment: what they held in memory is lost.

    Breaks: no message gets a number until they are back. Each must rebuild its state from the store and the log. A
    message that was acknowledged under a number must keep it, and no other sequencer can be asked.
    Proven: all their pids are gone and all their ports refuse connections.
    Undone: the supervisor may restart them.
    Healed: new pids answer peer pings as newer incarnations.
    """

    name = "sequencers_restart"
    kind = "sequencer"
