"""The faults on sequencers."""

from __future__ import annotations

import time
from typing import Final

from chaos.faults.mechanisms.crash import AIM_S, Crash, CrashOfAll, PeerCrash, PeerStop, RollingDeploy
from chaos.faults.mechanisms.limit import NoMemory, NoSpace
from chaos.faults.mechanisms.restore import Restore
from chaos.faults.mechanisms.slow import SlowDisk
from chaos.faults.mechanisms.starve import Starve
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


class SequencerStop(PeerStop):
    """A sequencer is told to end (SIGTERM): its partitions are taken over while it stores what it has numbered.

    Breaks: sends to its partitions wait for the one that takes over. Numbers that it gave last must be the same ones.
    Proven: its pid is gone and its ports refuse connections.
    Undone: the supervisor may restart it.
    Healed: a new pid answers a peer ping as a newer incarnation.
    """

    name = "sequencer_stop"
    kind = "sequencer"


class SequencersDeploy(RollingDeploy):
    """All sequencers are replaced, one after the other: each ends in good order and is back before the next ends.

    Breaks: each partition is taken over, given back, and perhaps taken over again. Numbers must go on without a hole.
    Proven: each of them in turn has a new pid that answers a peer ping as a newer incarnation.
    Undone: the supervisor may restart all of them.
    Healed: all of them answer peer pings as newer incarnations.
    """

    name = "sequencers_deploy"
    kind = "sequencer"


class StoreRestored(Restore):
    """The message store is put back to a copy that is `behind_s` old, as an operator restores a backup.

    Breaks: the rows, the heads and the marks of what was said since the copy are gone from the store. The log has them,
    and its commit says that they are stored. A sequencer that believes the commit gives their numbers to others.
    Proven: the services that have the store open end, and no process has its files open. Then every message that the
    copy lacks is gone from them.
    Undone: what is left of the copy is removed, and the supervisor may restart the services.
    Healed: new pids answer peer pings as newer incarnations. Each message that was gone is stored again under its
    number, with its checksum.
    """

    name = "store_restored"
    kind = "sequencer"


class StoreFull(NoSpace):
    """A sequencer finds its disk full: no file that it has may grow, so no row reaches a SQLite store.

    Breaks: messages are numbered and told, and cannot be stored. They must not be forgotten: the log has them, and its
    offset must not be committed. On Cassandra only the service's own log file is hit.
    Proven: the kernel reports the limit.
    Undone: it gets its former limit.
    Healed: the kernel reports that limit, and the same incarnation answers a peer ping.
    """

    name = "store_full"
    kind = "sequencer"


class SequencerNoMemory(NoMemory):
    """A sequencer gets no further memory: what it asks the kernel for is refused.

    Breaks: a record that it cannot hold must not be skipped, and what it could not note must not be committed. If
    it ends, the other one takes its partitions.
    Proven: the kernel reports the limit, and it breaks a link that brings it 8 MiB. Or its pid is gone.
    Undone: it gets its former limit.
    Healed: the kernel reports that limit, and the same incarnation answers a peer ping. If it ended, a newer one does.
    """

    name = "sequencer_no_memory"
    kind = "sequencer"


class StoreSlow(SlowDisk):
    """A sequencer's disk is slow: `writes_per_s` writes a second, where a commit of the SQLite store takes some.

    Breaks: messages are numbered and told long before they are stored. What is not stored yet must be bounded, and
    whoever reads it must ask the sequencer. Other processes on the same file system may be slowed too.
    Proven: the kernel has it in a control group with that limit, and four writes in that group take as long as it says.
    Undone: it is moved back to its former group.
    Healed: the kernel has it there, four writes take less, and the same incarnation answers a peer ping.
    """

    name = "store_slow"
    kind = "sequencer"
    on = "store"


class SequencerStarved(Starve):
    """A sequencer gets a fifth of the time: a helper stops and continues it ten times a second.

    Breaks: everything of its partitions is late, and nothing is lost. Its understudy must not take over each time.
    Proven: the kernel has it in state T at more than a quarter of 60 looks within a second, not at all of them.
    Undone: the helper ends, and SIGCONT.
    Healed: it is not in state T and the same incarnation answers a peer ping.
    """

    name = "sequencer_starved"
    kind = "sequencer"
