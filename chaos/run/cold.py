"""Kills every sequencer before the read-back and waits until it is back, so that the read-back comes from the store.

A sequencer answers for the newest messages from memory. A read-back that trusted it would count a message as kept that
was never stored.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable

from chaos.faults.proofs.observe import peer_address
from sut.deploy.probes import probe
from sut.deploy.system import System
from sut.deploy.topology import Service, Topology

LOOK_S = 0.5


def kill_sequencers(system: System) -> dict[str, int]:
    """SIGKILL all sequencers. Returns the previous incarnation of each, 0 if it did not answer."""
    had: dict[str, int] = {}
    for service in system.topology.of_kind("sequencer"):
        pong = probe.peer_ping(peer_address(service), LOOK_S, system.topology.peer_secret)
        had[service.name] = pong.incarnation if pong is not None else 0
        pid = system.pid(service.name)
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    return had


def await_back(
    system: System, had: dict[str, int], *, expired: Callable[[], bool], tick: Callable[[], None]
) -> str | None:
    """Wait until each sequencer is back as another incarnation that has caught up with its log.

    Returns None, or a line that names the missing ones once `expired` is true.
    """
    topology = system.topology
    waiting = [topology.service(name) for name in had]
    while waiting:
        waiting = [service for service in waiting if not _is_back(topology, service, had[service.name])]
        if waiting and expired():
            return f"{', '.join(service.name for service in waiting)} did not come back before the read-back"
        tick()
    return None


def await_stored(topology: Topology, *, expired: Callable[[], bool], tick: Callable[[], None]) -> str | None:
    """Wait until each sequencer says that it has read all of its log and stored all of it.

    This is for sequencers that must not be killed: a read-back may come from memory, which the store then has too.
    Returns None, or a line that names the others once `expired` is true.
    """
    waiting = topology.of_kind("sequencer")
    while waiting:
        waiting = tuple(service for service in waiting if not _has_stored(topology, service))
        if waiting and expired():
            return (
                f"{', '.join(service.name for service in waiting)} did not say before the read-back that all is stored"
            )
        tick()
    return None


def _has_stored(topology: Topology, service: Service) -> bool:
    pong = probe.peer_ping(peer_address(service), LOOK_S, topology.peer_secret)
    return pong is not None and pong.stats.get("behind", 1.0) == 0.0 and pong.stats.get("unstored", 1.0) == 0.0


def _is_back(topology: Topology, service: Service, old: int) -> bool:
    pong = probe.peer_ping(peer_address(service), LOOK_S, topology.peer_secret)
    return pong is not None and pong.incarnation != old and pong.stats.get("behind", 1.0) == 0.0
