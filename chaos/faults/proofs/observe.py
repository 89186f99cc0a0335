"""Single looks at processes and links from outside, each as a Proof: what the faults' proofs are made of."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Final

from chaos.errors import FaultError
from chaos.faults.fault import Proof, World
from sut.deploy.errors import PacketError
from sut.deploy.probes import probe
from sut.deploy.topology import Service

Address = tuple[str, int]

LOOK_S: Final = 0.8
"""How long one look waits for an answer. What is alive here answers in milliseconds."""


def peer_address(service: Service) -> Address:
    """Where one of our own processes answers a ping."""
    return service.host, service.ports["peer"]


def redis_address(service: Service) -> Address:
    """Where a Redis or Sentinel listens."""
    return service.host, service.ports["redis"]


def living_pid(world: World, name: str) -> int:
    """The pid of a process of the run. Raises FaultError when there is none now."""
    pid = world.processes.pid(name)
    if pid is None:
        raise FaultError(f"{name} is not running")
    return pid


def incarnation(service: Service) -> int:
    """Of the process that answers now. Raises FaultError when none does."""
    pong = probe.peer_ping(peer_address(service), LOOK_S)
    if pong is None:
        raise FaultError(f"{service.name} does not answer a ping")
    return pong.incarnation


def gone(pid: int) -> Proof:
    """The process is dead."""
    state = probe.process_state(pid)
    return Proof(state is None, f"pid {pid} is gone" if state is None else f"pid {pid} still lives (state {state})")


def in_state(pid: int, *, stopped: bool) -> Proof:
    """The kernel has the process stopped (T), or alive and not stopped."""
    state = probe.process_state(pid)
    text = f"pid {pid} is gone" if state is None else f"pid {pid} is in state {state}"
    return Proof(state is not None and (state == "T") == stopped, text)


def refuses(service: Service) -> Proof:
    """Nobody listens on any of its ports."""
    for role, port in service.ports.items():
        try:
            socket.create_connection((service.host, port), timeout=LOOK_S).close()
        except ConnectionRefusedError:
            continue
        except OSError as error:
            return Proof(ok=False, text=f"{role} port {port}: {error}")
        return Proof(ok=False, text=f"{role} port {port} accepts connections")
    ports = ", ".join(map(str, service.ports.values()))
    return Proof(ok=True, text=f"port{'s' * (len(service.ports) > 1)} {ports} refuse connections")


def pings(address: Address, way: str, *, expected: bool) -> Proof:
    """A peer ping over `way` is answered, or is not, as expected."""
    pong = probe.peer_ping(address, LOOK_S)
    text = f"ping {way}: {'answered' if pong else f'no answer in {LOOK_S} s'}"
    return Proof((pong is not None) == expected, text)


def redis_pings(address: Address, way: str, *, expected: bool) -> Proof:
    """A Redis PING over `way` is answered, or is not, as expected."""
    answered = probe.redis_ping(address, LOOK_S)
    text = f"PING {way}: {'answered' if answered else f'no answer in {LOOK_S} s'}"
    return Proof(answered == expected, text)


def replaced(world: World, service: Service, old_pid: int) -> Proof:
    """The service has another process than that."""
    pid = world.processes.pid(service.name)
    if pid is None or pid == old_pid:
        return Proof(ok=False, text=f"{service.name} has no new process yet")
    return Proof(ok=True, text=f"{service.name} has new pid {pid}")


def reborn(service: Service, older_than: int) -> Proof:
    """The service answers as a newer incarnation."""
    pong = probe.peer_ping(peer_address(service), LOOK_S)
    if pong is None:
        return Proof(ok=False, text=f"{service.name} does not answer yet")
    newer = pong.node == service.name and pong.incarnation > older_than
    return Proof(newer, f"it answers as incarnation {pong.incarnation}")


def redis_role_is(service: Service, role: str) -> Proof:
    """A Redis says that it has that role."""
    seen = probe.redis_role(redis_address(service), LOOK_S)
    said = "does not answer" if seen is None else f"says role {seen.role}"
    return Proof(seen is not None and seen.role == role, f"{service.name} {said}")


def dropping(world: World, reason: str, senders: Mapping[int, str], *, surely: int | None = None) -> Proof:
    """Packets from each of these groups were dropped; `senders` are the services' names.

    With `surely`, that group's are enough: the others may have had nothing to send.
    """
    try:
        packets = world.packets.dropped(reason)
    except PacketError as error:
        return Proof(ok=False, text=str(error))
    counts = ", ".join(f"{packets.get(gid, 0)} from {name}" for gid, name in senders.items())
    needed = senders if surely is None else (surely,)
    return Proof(all(packets.get(gid, 0) for gid in needed), f"packets dropped: {counts}")
