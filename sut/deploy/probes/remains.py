"""Finds what a stopped system has left on this machine. Changes nothing."""

from __future__ import annotations

import contextlib
import os
import socket
from typing import Final

import psutil

from sut.deploy.supervise import state
from sut.deploy.supervise.reaper import members
from sut.deploy.topology import Topology

CONNECT_TIMEOUT_S: Final = 0.2
"""Enough for loopback, which refuses at once."""


def remains(topology: Topology) -> list[str]:
    """Return a line for each process, container, network, listening port and mounted disk of a run that is over.

    Raises DeployError if containers cannot be looked at.
    """
    found = [f"process {process.pid} ({name})" for process, name in members(topology.run_id).items()]
    if topology.contained:  # its addresses are gone with its networks
        from sut.deploy.docker.engine import Engine

        found += Engine.connect().left(topology.run_id)
    else:
        found += _ports(topology)
    with contextlib.suppress(OSError):
        found += [f"mount {place}" for place in state.mounts(os.getpid()) if place.startswith(f"{topology.dir}/")]
    return found


def _ports(topology: Topology) -> list[str]:
    """Return a line for each port of the run on which somebody listens who is of no other run."""
    addresses = [
        (service.host, port, f"{service.name} {role}")
        for service in topology.services
        if not service.external
        for role, port in service.ports.items()
    ]
    addresses += [(*link.address, link.name) for link in topology.links]
    return [
        f"port {host}:{port} ({name})"
        for host, port, name in addresses
        if _answers(host, port) and not _taken(port, topology.run_id)
    ]


def _answers(host: str, port: int) -> bool:
    with socket.socket() as sock:
        sock.settimeout(CONNECT_TIMEOUT_S)
        return sock.connect_ex((host, port)) == 0


def _taken(port: int, run_id: str) -> bool:
    """Return True if a process of another run listens there now: the kernel hands out free ports again."""
    with contextlib.suppress(psutil.Error):
        for one in psutil.net_connections("tcp"):
            if one.laddr[1:] == (port,) and one.status == psutil.CONN_LISTEN and one.pid is not None:
                return psutil.Process(one.pid).environ().get(state.RUN_ID, run_id) != run_id
    return False
