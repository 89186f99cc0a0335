"""The server of another chat system. Its command comes from an adapter (chaos/targets); no profile has one."""

from __future__ import annotations

from sut.deploy.place import Place
from sut.deploy.topology import Service, ServiceKind, Topology


def services(_kind: ServiceKind, _count: int, place: Place) -> tuple[Service, ...]:
    """Return none: a profile is a system of ours."""
    return ()


def problem(_topology: Topology, service: Service, timeout_s: float) -> str | None:
    """Return the problem, None when its port answers HTTP with any status."""
    from sut.deploy.probes import probe

    status = probe.http_status((service.host, service.ports["http"]), "/", timeout_s)
    return None if status is not None else "does not answer HTTP"
