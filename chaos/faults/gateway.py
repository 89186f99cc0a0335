"""The faults on gateways."""

from __future__ import annotations

from chaos.faults.mechanisms.clock import ClockJump
from chaos.faults.mechanisms.crash import CrashOfAll, PeerCrash, PeerStop, RollingDeploy
from chaos.faults.mechanisms.limit import NoFiles, NoMemory
from chaos.faults.mechanisms.loop import CrashLoop
from chaos.faults.mechanisms.partition import Partition
from chaos.faults.mechanisms.pause import PeerPause
from chaos.faults.mechanisms.starve import Starve


class GatewayCrash(PeerCrash):
    """A gateway dies by SIGKILL and takes all its connections with it.

    Breaks: every device on it is cut off without a close frame. Its routes in the registry point to nobody until its
    lease ends. Notifications on their way through it are lost.
    Proven: its pid is gone and its ports refuse connections.
    Undone: the supervisor may restart it.
    Healed: a new pid answers a peer ping as a newer incarnation.
    """

    name = "gateway_crash"
    kind = "gateway"


class GatewayPause(PeerPause):
    """A gateway stops for a while (SIGSTOP) and then continues as if no time had passed.

    Breaks: its sockets stay open and silent, so its devices and the sequencers must notice by themselves. If it is
    stopped longer than its lease, it continues as a zombie: its devices have moved to other gateways, but their
    connections remain.
    Proven: the kernel has it in state T and it does not answer a peer ping.
    Undone: SIGCONT.
    Healed: it is no longer in state T and the same incarnation answers a peer ping.
    """

    name = "gateway_pause"
    kind = "gateway"


class GatewaysCrash(CrashOfAll):
    """All gateways die by SIGKILL at the same moment, and every device reconnects at once.

    Breaks: no device is connected. Then all devices connect, authenticate, register and catch up within the same
    seconds. Without jitter in the devices' backoff they would arrive in step.
    Proven: all their pids are gone and all their ports refuse connections.
    Undone: the supervisor may restart them.
    Healed: new pids answer peer pings as newer incarnations.
    """

    name = "gateways_crash"
    kind = "gateway"


class PartitionGatewayRedis(Partition):
    """One gateway is cut off from all Redis nodes: it can register no route and renew no lease.

    Breaks: its devices are connected, but the registry does not show them once the lease has expired. New devices on it
    must still be welcomed, and be found without the registry.
    Proven: a PING through each of its proxies gets no answer, while Redis itself answers.
    Undone: the toxics are removed.
    Healed: a PING through each proxy is answered.
    """

    name = "partition_gateway_redis"
    kind = "gateway"
    source = "gateway"
    to = ("redis", "shard")
    effect_timeout_s = 8.0
    """The nodes of a Redis Cluster are six, and each is waited for in turn."""


class GatewayStop(PeerStop):
    """A gateway is told to end (SIGTERM) and drains: it tells its devices to go elsewhere.

    Breaks: all its devices connect to the other gateways within a second or two. A message that was under way through
    it must reach them there.
    Proven: its pid is gone and its ports refuse connections.
    Undone: the supervisor may restart it.
    Healed: a new pid answers a peer ping as a newer incarnation.
    """

    name = "gateway_stop"
    kind = "gateway"


class GatewaysDeploy(RollingDeploy):
    """All gateways are replaced, one after the other: each ends in good order and is back before the next ends.

    Breaks: every device moves at least once, and some of them each time. At no moment is there no gateway, so nobody
    may wait for long.
    Proven: each of them in turn has a new pid that answers a peer ping as a newer incarnation.
    Undone: the supervisor may restart all of them.
    Healed: all of them answer peer pings as newer incarnations.
    """

    name = "gateways_deploy"
    kind = "gateway"


class GatewayNoFiles(NoFiles):
    """A gateway may open no further socket: it serves the devices that it has and takes no new one.

    Breaks: devices that dial it wait in its backlog without an answer. It cannot dial a service again that it lost. Its
    lease goes on, so discovery still names it.
    Proven: the kernel reports the limit, and a ping over a new connection gets no answer.
    Undone: it gets its former limit.
    Healed: the kernel reports that limit, and the same incarnation answers a peer ping.
    """

    name = "gateway_no_files"
    kind = "gateway"


class GatewayNoMemory(NoMemory):
    """A gateway gets no further memory: what it asks the kernel for is refused.

    Breaks: a device or a peer whose frame it cannot hold is cut off, and must connect again. The others are
    served on.
    Proven: the kernel reports the limit, and it breaks a link that brings it 8 MiB. Or its pid is gone.
    Undone: it gets its former limit.
    Healed: the kernel reports that limit, and the same incarnation answers a peer ping. If it ended, a newer one does.
    """

    name = "gateway_no_memory"
    kind = "gateway"


class GatewayCrashLoop(CrashLoop):
    """A gateway dies by SIGKILL again each time it is back, before its devices have caught up.

    Breaks: devices find it in discovery, connect, and are cut off again. Their backoff must not begin anew at each
    welcome, and the routes of its lives must not be taken for one another.
    Proven: three of its processes in turn are gone, and the one that kills them is still at it.
    Undone: the one that kills them ends.
    Healed: a process of it is 3 s old and answers a peer ping as a newer incarnation.
    """

    name = "gateway_crash_loop"
    kind = "gateway"


class GatewayClockAhead(ClockJump):
    """The wall clock of a gateway jumps `by_s` seconds into the future, and back at the heal.

    Breaks: the connections that it takes have epochs far ahead, and where their devices go next, the newest connection
    must win all the same. Tokens may seem expired. Leases, heartbeats and time-outs must not notice.
    Proven: among its metrics it says a time that is so far from this machine's.
    Undone: the file with the offset is removed.
    Healed: it says this machine's time, and the same incarnation answers a peer ping.
    """

    name = "gateway_clock_ahead"
    kind = "gateway"
    ahead = True


class GatewayClockBehind(ClockJump):
    """The wall clock of a gateway jumps `by_s` seconds into the past, and back at the heal.

    Breaks: the connections that it takes have epochs below those that their devices had before, and must win all the
    same. Tokens may seem not yet issued. Leases, heartbeats and time-outs must not notice.
    Proven: among its metrics it says a time that is so far from this machine's.
    Undone: the file with the offset is removed.
    Healed: it says this machine's time, and the same incarnation answers a peer ping.
    """

    name = "gateway_clock_behind"
    kind = "gateway"
    ahead = False


class GatewayStarved(Starve):
    """A gateway gets a fifth of the time: a helper stops and continues it ten times a second.

    Breaks: everything through it is late, and nothing is lost. It must not be taken for dead, nor take others for dead.
    Proven: the kernel has it in state T at more than a quarter of 60 looks within a second, not at all of them.
    Undone: the helper ends, and SIGCONT.
    Healed: it is not in state T and the same incarnation answers a peer ping.
    """

    name = "gateway_starved"
    kind = "gateway"
