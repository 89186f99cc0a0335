"""Single looks at processes, ports, links and dropped packets."""

from __future__ import annotations

import errno
import math
import resource
import socket
import time
from collections.abc import Collection
from pathlib import Path
from typing import Final

from chaos.errors import FaultError
from chaos.faults.proofs.proof import Proof
from chaos.faults.world import World
from sut.deploy import throttle
from sut.deploy.errors import PacketError, ThrottleError
from sut.deploy.probes import probe
from sut.deploy.topology import Service, Topology

Address = tuple[str, int]

STARVED_LOOKS: Final = 60
STARVED_EVERY_S: Final = 0.013
"""Out of step with the periods of 0.1 s of chaos/faults/mechanisms/starve.py: the looks fall on all parts of one."""
LOOK_S: Final = 0.8
"""Seconds that one look waits for an answer. A healthy service on this machine answers in milliseconds."""
ANSWER_S: Final = 3.0
"""Seconds that a look waits for an answer that must come, as a busy machine is slow. It ends with the answer."""

CLOCK_S: Final = ANSWER_S + 1.0
"""Seconds by which a clock may seem to be off."""


def peer_address(service: Service) -> Address:
    """Return the address at which a service of the chat system answers a ping."""
    return service.host, service.ports["peer"]


def redis_address(service: Service) -> Address:
    """Return the address at which a Redis or a Sentinel listens."""
    return service.host, service.ports["redis"]


def living_pid(world: World, name: str) -> int:
    """Return the pid of the service `name`. Raises FaultError if it has none now."""
    pid = world.processes.pid(name)
    if pid is None:
        raise FaultError(f"{name} is not running")
    return pid


def incarnation(topology: Topology, service: Service) -> int:
    """Return the incarnation that answers a ping now. Raises FaultError if none does."""
    pong = probe.peer_ping(peer_address(service), ANSWER_S, topology.peer_secret)
    if pong is None:
        raise FaultError(f"{service.name} does not answer a ping")
    return pong.incarnation


def gone(pid: int) -> Proof:
    """Observe whether the process is dead."""
    state = probe.process_state(pid)
    return Proof(state is None, f"pid {pid} is gone" if state is None else f"pid {pid} still lives (state {state})")


def in_state(pid: int, *, stopped: bool) -> Proof:
    """Observe that the kernel has the process stopped (T), or alive and not stopped."""
    state = probe.process_state(pid)
    text = f"pid {pid} is gone" if state is None else f"pid {pid} is in state {state}"
    return Proof(state is not None and (state == "T") == stopped, text)


def refuses(service: Service) -> Proof:
    """Observe whether all its ports refuse connections. The address of a dead container is no longer there at all."""
    for role, port in service.ports.items():
        try:
            socket.create_connection((service.host, port), timeout=LOOK_S).close()
        except ConnectionRefusedError:
            continue
        except OSError as error:
            if service.image and _is_nowhere(error):
                return Proof(ok=True, text=f"nobody is at {service.host} any more")
            return Proof(ok=False, text=f"{role} port {port}: {error}")
        return Proof(ok=False, text=f"{role} port {port} accepts connections")
    ports = ", ".join(map(str, service.ports.values()))
    return Proof(ok=True, text=f"port{'s' * (len(service.ports) > 1)} {ports} refuse connections")


def _is_nowhere(error: OSError) -> bool:
    """Return True if the network says that nobody has the address, or says nothing at all."""
    return isinstance(error, TimeoutError) or error.errno == errno.EHOSTUNREACH


def refuses_on(service: Service, role: str, *, expected: bool = True) -> Proof:
    """Observe whether its port of this role refuses connections."""
    try:
        socket.create_connection((service.host, service.ports[role]), timeout=LOOK_S).close()
    except ConnectionRefusedError:
        return Proof(expected, f"port {service.ports[role]} ({role}) refuses connections")
    except OSError as error:
        return Proof(ok=False, text=f"port {service.ports[role]} ({role}): {error}")
    return Proof(not expected, f"port {service.ports[role]} ({role}) accepts connections")


def limited(pid: int, of: int, soft: int) -> Proof:
    """Observe whether the kernel's soft limit of a resource is this, by its number in the module `resource`."""
    try:
        seen = resource.prlimit(pid, of)[0]
    except OSError as error:
        return Proof(ok=False, text=f"the limits of pid {pid}: {error.strerror}")
    what = {
        resource.RLIMIT_NOFILE: "open files",
        resource.RLIMIT_FSIZE: "bytes of a file",
        resource.RLIMIT_DATA: "bytes of memory",
    }[of]
    amount = "no limit" if seen == resource.RLIM_INFINITY else f"at most {seen}"
    return Proof(seen == soft, f"the kernel allows pid {pid} {amount} of {what}")


def without_room(topology: Topology, service: Service, size: int) -> Proof:
    """Observe that the service answers, and breaks a link that brings it a frame of so many bytes."""
    held = probe.peer_holds(peer_address(service), LOOK_S, topology.peer_secret, size=size)
    said = {None: "no answer", True: "it took them", False: "it answered a ping and broke the link"}[held]
    return Proof(held is False, f"{size >> 20} MiB to its port: {said}")


def in_group(pid: int, group: str, directory: Path, writes_per_s: int | None) -> Proof:
    """Observe whether the process is in this control group, and how often that may write to the directory's disk."""
    try:
        seen = throttle.group_of(pid)
    except ThrottleError as error:
        return Proof(ok=False, text=str(error))
    limit = throttle.limit_of(seen, directory)
    allowed = "any number of" if limit is None else f"{limit}"
    text = f"pid {pid} is in control group /{seen}, which may make {allowed} writes a second"
    return Proof((seen, limit) == (group, writes_per_s), text)


def writes(directory: Path, group: str | None, *, at_least_s: float = 0.0, below_s: float = math.inf) -> Proof:
    """Observe whether some writes of a process in the group take such a time; None: of one outside."""
    try:
        took_s = throttle.write_time_s(directory, group)
    except ThrottleError as error:
        return Proof(ok=False, text=str(error))
    where = "outside" if group is None else "there"
    return Proof(at_least_s <= took_s < below_s, f"{throttle.WRITES} writes {where} took {took_s:.2f} s")


def off_by(service: Service, by_s: float) -> Proof:
    """Observe whether the wall clock that the service reports is so many seconds after this machine's.

    To CLOCK_S: its answer takes some time.
    """
    seen_s = probe.wall_clock((service.metrics_host, service.ports["metrics"]), ANSWER_S)
    if seen_s is None:
        return Proof(ok=False, text=f"{service.name} does not tell its time")
    off_s = seen_s - time.time()
    return Proof(abs(off_s - by_s) < CLOCK_S, f"the clock of {service.name} is {off_s:+.1f} s from this machine's")


def starved(pid: int) -> Proof:
    """Observe whether the process is stopped at more than a quarter of STARVED_LOOKS looks, and not at all of them.

    It is meant to be stopped at four of five. Where others take the cores the helper is late: 18 of 60 were seen.
    """
    stopped = 0
    for _look in range(STARVED_LOOKS):
        stopped += probe.process_state(pid) == "T"
        time.sleep(STARVED_EVERY_S)
    text = f"pid {pid} was stopped at {stopped} of {STARVED_LOOKS} looks"
    return Proof(STARVED_LOOKS / 4 < stopped < STARVED_LOOKS, text)


def pings(topology: Topology, role: str, address: Address, way: str, *, expected: bool) -> Proof:
    """Observe whether a ping of a port of this role is answered as expected: Redis's own PING, else a peer ping.

    `way` says in the text what was asked. An answer that is expected may take longer.
    """
    patience_s = ANSWER_S if expected else LOOK_S
    if role == "redis":
        word, answered = "PING", probe.redis_ping(address, patience_s, topology.redis_login("operator"))
    else:
        word, answered = "ping", probe.peer_ping(address, patience_s, topology.peer_secret) is not None
    return Proof(answered == expected, f"{word} {way}: {'answered' if answered else f'no answer in {patience_s} s'}")


def serves(service: Service, *, expected: bool) -> Proof:
    """Observe whether its port answers HTTP, with any status, as expected."""
    patience_s = ANSWER_S if expected else LOOK_S
    status = probe.http_status((service.host, service.ports["http"]), "/", patience_s)
    text = f"GET /: {f'no answer in {patience_s} s' if status is None else f'status {status}'}"
    return Proof((status is not None) == expected, text)


def replaced(world: World, service: Service, old_pid: int) -> Proof:
    """Observe whether the service has another process than `old_pid`."""
    pid = world.processes.pid(service.name)
    if pid is None or pid == old_pid:
        return Proof(ok=False, text=f"{service.name} has no new process yet")
    return Proof(ok=True, text=f"{service.name} has new pid {pid}")


def alive_for(world: World, service: Service, least_s: float) -> Proof:
    """Observe whether the service's process of now has been there for so long."""
    pid = world.processes.pid(service.name)
    age_s = None if pid is None else probe.process_age_s(pid)
    if age_s is None:
        return Proof(ok=False, text=f"{service.name} has no process")
    return Proof(age_s >= least_s, f"pid {pid} of {service.name} is {age_s:.1f} s old")


def reborn(topology: Topology, service: Service, before: int) -> Proof:
    """Observe whether the service answers as a newer incarnation than `before`."""
    pong = probe.peer_ping(peer_address(service), ANSWER_S, topology.peer_secret)
    if pong is None:
        return Proof(ok=False, text=f"{service.name} does not answer yet")
    newer = pong.node == service.name and pong.incarnation > before
    return Proof(newer, f"it answers as incarnation {pong.incarnation}")


def same(topology: Topology, service: Service, before: int) -> Proof:
    """Observe whether the service answers as the incarnation `before`."""
    pong = probe.peer_ping(peer_address(service), ANSWER_S, topology.peer_secret)
    if pong is None:
        return Proof(ok=False, text="it does not answer")
    unchanged = pong.incarnation == before
    return Proof(unchanged, f"{'the same' if unchanged else 'another'} incarnation answers a ping")


def dropping(world: World, reason: str, senders: Collection[Service], *, surely: Collection[Service]) -> Proof:
    """Observe whether packets of every service in `surely` were dropped. The text counts them for each of `senders`."""
    try:
        packets = world.packets.dropped(reason)
    except PacketError as error:
        return Proof(ok=False, text=str(error))
    counts = ", ".join(f"{packets.get(service.gid, 0)} from {service.name}" for service in senders)
    return Proof(all(packets.get(service.gid, 0) for service in surely), f"packets dropped: {counts}")
