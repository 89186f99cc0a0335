"""Small disks for brokers, which a fault can fill. Each is a tmpfs in its own mount namespace."""

from __future__ import annotations

from typing import Final

from sut.deploy.place import Place
from sut.deploy.servers import kafka as kafka_server
from sut.deploy.topology import Service, ServiceKind, Topology

VOLUME_MB: Final = 192
"""Size of the disk in MiB: enough for a run's log, and quick to fill. It takes memory only as it is used."""
_VOLUME: Final = (
    'mkdir -p "$0.disk" && mount -t tmpfs -o "size=$1m" petrel "$0.disk"'
    ' && cp -a "$0/." "$0.disk/" && mount --bind "$0.disk" "$0" && exec sleep infinity'
)
"""Runs in a mount namespace, so the disk vanishes with the last process in it, however that ends."""


def services(kind: ServiceKind, count: int, place: Place) -> tuple[Service, ...]:
    """Return small disks for the last brokers; none where this process may not mount, or the brokers are not ours."""
    if not place.root or "kafka" in place.external:
        return ()
    services = []
    for index in range(count):
        broker = f"kafka-{3 - index}"
        data = str(kafka_server.log_dir(place.directory, broker))
        command = ("unshare", "--mount", "--propagation", "private", "sh", "-c", _VOLUME, data, str(VOLUME_MB))
        services.append(Service(name=f"volume-{broker}", kind=kind, index=index, command=command))
    return tuple(services)


def problem(_topology: Topology, _service: Service, _timeout_s: float) -> str | None:
    """Return None: the broker that needs the disk starts only when it is mounted."""
    return None
