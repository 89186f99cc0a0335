"""Configuration of the foreign servers of the embedded profile, as text: Redis, Sentinel, Toxiproxy.

Redis keeps nothing on disk: the registry is rebuilt by the gateways, and losing it costs latency, never a message.
Who is master is not written here: the supervisor says so at each start (sut/deploy/supervise/restart.py). The
Sentinels are told of the replica and of each other from the start, under ids derived from the run, so that a
failover is possible as soon as they answer instead of after ten seconds of discovery. Toxiproxy reads its proxies
from a file, so a restarted one has them all, without toxics, before it answers its API.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from sut.adapters.redis.tilt import DOWN_AFTER_MS
from sut.deploy.servers import cassandra as cassandra_server
from sut.deploy.servers import kafka as kafka_server
from sut.deploy.topology import Service, ServiceKind, Topology

_COMMON = """\
bind {host}
port {port}
protected-mode no
daemonize no
set-proc-title no
dir "{directory}"
"""

_REDIS = """\
save ""
appendonly no
repl-diskless-sync yes
repl-diskless-sync-delay 0
"""

_SENTINEL = """\
sentinel myid {own_id}
sentinel monitor {master_name} {master_host} {master_port} {quorum}
sentinel down-after-milliseconds {master_name} {down_after_ms}
sentinel failover-timeout {master_name} 6000
sentinel parallel-syncs {master_name} 1
"""


def redis_conf_path(directory: Path, name: str) -> Path:
    """Where the configuration of this redis or sentinel is, in a topology's directory."""
    return directory / "data" / "redis" / name / "redis.conf"


def toxiproxy_conf_path(directory: Path) -> Path:
    """Where the list of proxies is, in a topology's directory."""
    return directory / "data" / "toxiproxy.json"


def redis_conf(topology: Topology, service: Service) -> str:
    """Of a data node, master and replica alike."""
    return _common(topology, service) + _REDIS


def sentinel_conf(topology: Topology, service: Service) -> str:
    """Of a Sentinel: the first redis of the topology is the master it begins with. Sentinel rewrites its file."""
    master, *replicas = topology.of_kind("redis")
    sentinels = topology.of_kind("sentinel")
    name = topology.redis_master
    text = _common(topology, service) + _SENTINEL.format(
        own_id=_sentinel_id(topology, service),
        master_name=name,
        master_host=master.host,
        master_port=master.ports["redis"],
        quorum=len(sentinels) // 2 + 1,
        down_after_ms=DOWN_AFTER_MS,
    )
    for replica in replicas:
        text += f"sentinel known-replica {name} {replica.host} {replica.ports['redis']}\n"
    for other in sentinels:
        if other.name != service.name:
            known = f"{other.host} {other.ports['redis']} {_sentinel_id(topology, other)}"
            text += f"sentinel known-sentinel {name} {known}\n"
    return text


def toxiproxy_conf(topology: Topology) -> bytes:
    """All links, as `toxiproxy-server -config` reads them."""
    proxies = []
    for link in topology.links:
        target = topology.service(link.target)
        host = f"[{target.host}]" if ":" in target.host else target.host
        upstream = f"{host}:{target.ports[link.port]}"
        proxies.append(Proxy(name=link.name, listen=f"127.0.0.1:{link.listen}", upstream=upstream))
    return msgspec.json.format(msgspec.json.encode(proxies), indent=1)


class Proxy(msgspec.Struct, frozen=True, kw_only=True):
    """One proxy in that file."""

    name: str
    listen: str
    upstream: str
    enabled: bool = True


_WRITERS: Final[Mapping[ServiceKind, Callable[[Topology, Service], None]]] = {
    "kafka": kafka_server.write_conf,
    "cassandra": cassandra_server.write_conf,
}
"""Of servers that write their own, and begin empty."""


def write_confs(topology: Topology) -> None:
    """Write the configuration of every server that we run, over those of an earlier life. Raises OSError.

    What brokers and nodes of an earlier system left is removed: a new topology has other addresses, and begins empty.
    """
    for service in topology.services:
        if service.kind in _WRITERS and not service.external:
            shutil.rmtree(topology.path / "data" / service.name, ignore_errors=True)
            _WRITERS[service.kind](topology, service)
    for kind, render in (("redis", redis_conf), ("sentinel", sentinel_conf)):
        for service in topology.services:
            if service.kind == kind and not service.external:
                path = redis_conf_path(topology.path, service.name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(render(topology, service))
    if topology.of_kind("provider"):
        from sut.deploy.servers import stand_in_files  # the cryptography takes 0.1 s to import

        stand_in_files.write_stand_in_files(topology)
    if topology.of_kind("toxiproxy"):
        toxiproxy_conf_path(topology.path).write_bytes(toxiproxy_conf(topology))


def _common(topology: Topology, service: Service) -> str:
    directory = str(redis_conf_path(topology.path, service.name).parent)
    quoted = directory.replace("\\", "\\\\").replace('"', '\\"')
    return _COMMON.format(host=service.host, port=service.ports["redis"], directory=quoted)


def _sentinel_id(topology: Topology, service: Service) -> str:
    """40 hex digits, which no other Sentinel has."""
    return hashlib.sha256(f"{topology.run_id}/{service.name}".encode()).hexdigest()[:40]
