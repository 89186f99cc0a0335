"""The faults on Redis, the registry, and on the Sentinels that watch it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial

import psutil

from chaos.faults.mechanisms.crash import Crash
from chaos.faults.mechanisms.crash_behind import CrashBehind
from chaos.faults.mechanisms.packets import PacketPartition
from chaos.faults.mechanisms.pause import Pause
from chaos.faults.mechanisms.services import OnServices
from chaos.faults.proofs.observe import dropping, pings, redis_address
from chaos.faults.proofs.proof import Look, Proof, must
from chaos.faults.proofs.sentinels import Sentinels
from chaos.faults.world import World, own
from sut.deploy.net.packets import Way
from sut.deploy.topology import Service, Topology


class _Watched(OnServices):
    """A fault on a service whose state the Sentinels can report."""

    def __init__(self, world: World, target: str, options: Mapping[str, float]) -> None:
        super().__init__(world, target, options)
        self.sentinels = Sentinels(world.topology)


class _Master(_Watched):
    """A fault on the node that is the master at that moment. The target is the name that Sentinel uses for it."""

    kind = "redis"
    effect_timeout_s = 15.0
    """Sentinel takes 4 s to believe that the master is dead, and up to 3 s for an election, sometimes for two."""
    heal_timeout_s = 25.0

    @classmethod
    def targets(cls, topology: Topology) -> tuple[str, ...]:
        """Return one target, if the topology has a replica and a Sentinel to promote it, all ours."""
        possible = len(own(topology, "redis")) > 1 and own(topology, "sentinel")
        return (topology.redis_master,) if possible else ()

    def find_victims(self) -> tuple[Service, ...]:
        """Return the master, which has a replica in step. Raises FaultError."""
        return (self.sentinels.master(),)

    def silent(self, victim: Service) -> Proof:
        """Observe whether a PING stays unanswered."""
        return pings(self.world.topology, "redis", redis_address(victim), f"of {victim.name}", expected=False)

    def symptoms(self) -> Iterable[Look]:
        """Return one look: another node is promoted."""
        return (partial(self.sentinels.promoted, self.victim),)

    def recovery(self) -> Iterable[Look]:
        """Return one look: the old master follows the new one."""
        return (partial(self.sentinels.follows, self.victim),)


class RedisFailover(_Master, CrashBehind):
    """The Redis master dies by SIGKILL and Sentinel promotes a replica, which may lack the last writes.

    Breaks: no registration or lease can be written until the promotion. Replication is cut `lag_s` seconds before the
    kill, so the replica never sees what the master took in that time.
    Proven: the old master's pid is gone and its port refuses connections. Another node says that it is master, and most
    of the Sentinels say so too.
    Undone: replicas are accepted again, and the supervisor may restart the old master.
    Healed: a new pid is a replica in step with the new master, and every Sentinel sees it.
    """

    name = "redis_failover"


class RedisPause(_Master, Pause):
    """The Redis master stops (SIGSTOP) until another one is promoted, and still believes that it is the master.

    Breaks: calls hang instead of failing. After the promotion the old master continues as a zombie with the old routes.
    Until Sentinel turns it into a replica, it answers with old data and loses what is written to it.
    Proven: the kernel has it in state T and it does not answer a PING. Another node says that it is master, and most of
    the Sentinels say so too.
    Undone: SIGCONT.
    Healed: it runs, is a replica in step with the new master, and every Sentinel sees it.
    """

    name = "redis_pause"
    heal_timeout_s = 45.0
    usual_heal_s = 22.0
    """Measured: 20 s. Sentinel looks every 10 s, and waits until the node has claimed the wrong role for 8 s."""


class RedisPartition(_Master, PacketPartition):
    """The Redis master is cut off from its replicas and all Sentinels while clients still reach it: a split brain.

    Breaks: the old master still takes writes, beside the new one, until its clients learn from Sentinel that it is
    replaced. No other node sees these writes, and they are discarded when it comes back.
    Proven: packets from each replica and each Sentinel to it were dropped. It says role master and takes a write.
    Another node says that it is master, and most of the Sentinels say so too.
    Undone: packets pass again.
    Healed: it is a replica in step with the new master, and every Sentinel sees it.
    """

    name = "redis_partition"
    heal_timeout_s = 45.0
    usual_heal_s = RedisPause.usual_heal_s

    def find_peers(self) -> Iterable[Service]:
        """Return the data nodes and the Sentinels."""
        return *own(self.world.topology, "redis"), *own(self.world.topology, "sentinel")

    def cuts(self) -> Iterator[list[Way]]:
        """Yield the packets to the master, so that no new connection opens; then its answers over the open ones."""
        master = redis_address(self.victim)
        yield [Way(service.gid, master) for service in self.peers]
        open_ones = (one for pid in self.peer_pids for one in psutil.Process(pid).net_connections("tcp4"))
        yield [Way(self.victim.gid, (one.laddr.ip, one.laddr.port)) for one in open_ones if one.raddr == master]

    def damage(self) -> Iterable[Look]:
        """Return one look: packets of each peer are dropped."""
        return (partial(dropping, self.world, self.reason, self.peers, surely=self.peers),)

    def symptoms(self) -> Iterable[Look]:
        """Return one look: there are two masters."""
        return (partial(self.sentinels.split, self.victim),)


class RedisOutage(_Master, Crash):
    """Every Redis data node dies by SIGKILL at once: no registry, no replica to promote, and no data is kept.

    Breaks: no route can be looked up, no lease renewed and no connection registered while it lasts. Afterwards the
    registry is empty. That may cost latency (last known routes, SYNC within a heartbeat), never a message.
    Proven: all their pids are gone and all their ports refuse connections. Most Sentinels believe the master down and
    see no replica.
    Undone: the supervisor may restart them.
    Healed: one is master, the others are replicas in step, and every Sentinel sees all others and the master. Every
    gateway that held a lease before holds one again.
    """

    name = "redis_outage"
    heal_timeout_s = 60.0
    usual_heal_s = 12.0
    """Sentinel checks a node that it believes down every second, and the replicas of a master every 10 s."""

    @classmethod
    def targets(cls, topology: Topology) -> tuple[str, ...]:
        """Return one target, named after the kind, if a failover would be possible."""
        return ("redis",) if super().targets(topology) else ()

    def find_victims(self) -> tuple[Service, ...]:
        """Return all data nodes."""
        return own(self.world.topology, "redis")

    def look_before(self) -> None:
        """Record the leases at the master, which has a replica in step. Raises FaultError."""
        self._holders = self.sentinels.leases()

    def symptoms(self) -> Iterable[Look]:
        """Return one look: most Sentinels see neither master nor replica."""
        return (self.sentinels.blind,)

    def recovery(self) -> Iterable[Look]:
        """Return looks: a master, replicas in step, and the leases."""
        in_line = (partial(self.sentinels.in_line, node) for node in self.victims)
        return *in_line, partial(self.sentinels.leased, self._holders)


class SentinelCrash(_Watched, Crash):
    """One Sentinel of several dies by SIGKILL. It is a minority, so the others must continue as before.

    Breaks: clients that ask it get no answer and must ask another. A failover now needs every remaining Sentinel.
    Proven: its pid is gone and its port refuses connections. Each of the others says that it still has a quorum
    (SENTINEL CKQUORUM), and they name the same master.
    Undone: the supervisor may restart it.
    Healed: it has a new pid, and every Sentinel sees every other and the master again.
    """

    name = "sentinel_crash"
    kind = "sentinel"
    least = 3
    usual_heal_s = 2.0

    def look_before(self) -> None:
        """Check that every Sentinel sees every other and the master. Raises FaultError."""
        must(self.sentinels.content())

    def symptoms(self) -> Iterable[Look]:
        """Return one look: the others have a quorum and name the same master."""
        return (partial(self.sentinels.agree, without=self.target),)

    def recovery(self) -> Iterable[Look]:
        """Return one look: every Sentinel sees every other and the master again."""
        return (self.sentinels.content,)
