"""Toxiproxy, which carries the links of a topology.

It reads its proxies from a file. A restarted one has them all, without toxics, before its API answers.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from sut.deploy.net.links import Links
from sut.deploy.place import Place
from sut.deploy.topology import Service, ServiceKind, Topology


def services(kind: ServiceKind, _count: int, place: Place) -> tuple[Service, ...]:
    """Return one server for all links; none where this machine has no Toxiproxy."""
    if place.toxiproxy is None:
        return ()
    # By default it logs each step of each connection.
    quiet = {"LOG_LEVEL": "warn"}
    command = (str(place.toxiproxy), "-config", str(conf_path(place.directory)))
    return (Service(name=kind, kind=kind, ports={"api": place.port()}, command=command, environment=quiet),)


def start_arguments(_topology: Topology, service: Service, _waited_s: float) -> tuple[str, ...]:
    """Return the arguments that say where its API listens."""
    return "-host", service.host, "-port", str(service.ports["api"])


def conf_path(directory: Path) -> Path:
    """Return the file with the list of proxies, in a topology's directory."""
    return directory / "data" / "toxiproxy.json"


def conf(topology: Topology) -> bytes:
    """Return all links as `toxiproxy-server -config` reads them."""
    proxies = []
    for link in topology.links:
        target = topology.service(link.target)
        host = f"[{target.host}]" if ":" in target.host else target.host
        upstream = f"{host}:{target.ports[link.port]}"
        proxies.append(Proxy(name=link.name, listen=f"{link.host}:{link.listen}", upstream=upstream))
    return msgspec.json.format(msgspec.json.encode(proxies), indent=1)


class Proxy(msgspec.Struct, frozen=True, kw_only=True):
    """One proxy in that file."""

    name: str
    listen: str
    upstream: str
    enabled: bool = True


def write_conf(topology: Topology, _service: Service) -> None:
    """Write the list of proxies. Raises OSError."""
    conf_path(topology.path).write_bytes(conf(topology))


def problem(topology: Topology, _service: Service, timeout_s: float) -> str | None:
    """Return the problem, None when it has all proxies."""
    return Links(topology, timeout_s=timeout_s).available()
