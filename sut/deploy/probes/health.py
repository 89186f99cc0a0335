"""Checks from outside that a service works; a start waits for this."""

from __future__ import annotations

from typing import cast

from sut.deploy.kinds import KINDS
from sut.deploy.probes import probe
from sut.deploy.topology import Service, Topology


def problem(topology: Topology, service: Service, timeout_s: float) -> str | None:
    """Return a service's problem in one line, None when it is healthy. Each question takes `timeout_s` at most."""
    kind = KINDS[service.kind]
    if not kind.serves:
        return cast("str | None", kind.own("problem")(topology, service, timeout_s))
    if "http" in service.ports and (found := _http_problem(topology, service, timeout_s)):
        return found
    pong = probe.peer_ping((service.host, service.ports["peer"]), timeout_s, topology.peer_secret)
    if pong is None:
        return "does not answer a ping"
    if pong.node != service.name:
        return f"its port answers as {pong.node}"
    name, lacks = kind.sign or ("", "")
    return None if pong.stats.get(name, 1.0) else lacks


def _http_problem(topology: Topology, service: Service, timeout_s: float) -> str | None:
    ca = topology.tls.ca if topology.tls is not None else None
    address = service.public_host or service.host, service.ports["http"]
    status = probe.http_status(address, "/v1/health", timeout_s, ca)
    return None if status == 200 else f"GET /v1/health: {status or 'no answer'}"
