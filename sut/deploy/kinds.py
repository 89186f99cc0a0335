"""The kinds of services, one record each. All code that depends on the existing kinds reads them here.

To add a service of our own: its folder with `process.py`, and one record. To add a foreign server: its module in
sut/deploy/servers/, and one record. topologies/*.yaml say how many of a kind a system has, where that is not `count`,
and which connections go through a proxy.

Modules are named, not imported: a process imports only what its own kind needs, which keeps starts short.
"""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """One kind of service."""

    name: str
    """Also the first part of its services' names: gateway-1, gateway-2..."""
    count: int = 0
    """Number of services in a system whose profile does not say."""
    serves: str = ""
    """Module whose `serve(topology, service, incarnation, stop)` is the process, for our own kinds."""
    ports: tuple[str, ...] = ("peer", "metrics")
    """Roles of its ports, for our own kinds. All have "peer", which answers pings, and "metrics", which Prometheus
    scrapes; "http" answers GET /v1/health."""
    sign: tuple[str, str] | None = None
    """Our own kinds: a counter of its Pong, and what is wrong while that is 0."""
    server: str = ""
    """Module in sut.deploy.servers. A foreign server needs the first two functions, and may have the others:

    - services(kind, count, place) -> its services, with their ports and commands
    - problem(topology, service, timeout_s) -> the problem in one line; None: healthy
    - write_conf(topology, service): writes the files of a service before the system starts; raises OSError
    - start_arguments(topology, service, waited_s) -> the end of its command line at this start; None: not now
    """
    start: int = 2
    """Stage of the start: the next stage begins when the ports of this one accept connections."""
    stop: int = 4
    """Stage of the stop: the next stage begins when all of this one have ended."""
    grace_s: float = 1.0
    """Seconds that it may take to stop before SIGKILL."""
    only_with: str = ""
    """Field of the topology's Settings without which a system has none of this kind."""

    def own(self, part: str) -> Any:
        """Return the function of this name in `server`, None if there is none."""
        return getattr(importlib.import_module(self.server), part, None) if self.server else None


_REACHED: Final = ("ready", "has not reached its log and its store yet")

KINDS: Final[Mapping[str, Kind]] = {
    kind.name: kind
    for kind in (
        Kind(
            name="gateway",
            serves="sut.gateway.process",
            ports=("ws", "peer", "metrics"),
            sign=("whole", "lacks its lease or a link from a sequencer"),
            stop=1,
            grace_s=4.0,
        ),
        Kind(name="chat", serves="sut.services.chat.process", sign=_REACHED, stop=2, grace_s=2.0),
        Kind(name="sequencer", serves="sut.services.sequencer.process", sign=_REACHED, stop=3, grace_s=2.0),
        Kind(
            name="api",
            serves="sut.services.api.process",
            ports=("http", "peer", "metrics"),
            sign=_REACHED,
            stop=2,
            grace_s=2.0,
        ),
        Kind(name="push", serves="sut.services.push.process", sign=_REACHED, stop=3, grace_s=2.0, only_with="push"),
        Kind(
            name="provider",
            serves="sut.standins.process",
            ports=("apns", "fcm", "control", "peer", "metrics"),
            server="sut.deploy.servers.stand_in_files",
            only_with="push",
        ),
        Kind(name="redis", server="sut.deploy.servers.redis", start=1),
        Kind(name="shard", server="sut.deploy.servers.shard", start=1),
        Kind(name="sentinel", server="sut.deploy.servers.sentinel"),
        Kind(name="toxiproxy", server="sut.deploy.servers.toxiproxy", start=1),
        Kind(name="kafka", server="sut.deploy.servers.kafka"),
        Kind(name="cassandra", server="sut.deploy.servers.cassandra"),
        Kind(name="other", server="sut.deploy.servers.other"),
        Kind(name="volume", server="sut.deploy.servers.volume", start=1, stop=5),
    )
}


def stages(stage_of: Callable[[Kind], int]) -> list[list[Kind]]:
    """Return the kinds by stage, the first stage first."""
    ordered = sorted(KINDS.values(), key=stage_of)
    return [list(group) for _, group in itertools.groupby(ordered, key=stage_of)]
