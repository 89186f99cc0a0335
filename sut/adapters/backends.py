"""The backend behind each port of a service. The only module that knows both.

The topology names the backend of the log, of the store and of the registry. A backend's library is imported only where
it is used: each costs some 0.2 s and 15 MB in every process.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar, cast

from sut.adapters.shared.site import Site
from sut.deploy.topology import Topology
from sut.ports import Devices, KeyStore, MessageLog, MessageStore, Presence, Registry, Revocations, SutError
from sut.process.metrics.instruments import timed

if TYPE_CHECKING:
    from sut.adapters.redis.master import RedisMaster

BACKENDS: Final[Mapping[str, str]] = {
    "sqlite": "sut.adapters.sqlite.backend",
    "kafka": "sut.adapters.kafka.backend",
    "cassandra": "sut.adapters.cassandra.backend",
    "redis": "sut.adapters.redis.backend",
    "redis-cluster": "sut.adapters.redis.cluster.backend",
}
"""The module of each backend, by name.

A log's module has `open_log(site)`; a store's has `open_store`, `open_keys` and `open_devices`; a registry's has
`open_registry`, `open_presence(site, ttl_s)` and `open_revocations(registry)`.
"""


class _Closable(Protocol):
    async def close(self) -> None:
        """Release connections and files."""


T = TypeVar("T", bound=_Closable)


class UnknownBackend(SutError):
    """The topology names a backend that does not exist or lacks the port; the text lists the backends."""

    definite = True


class Backends:
    """The connections that one service has opened. Each method opens a new one and may raise SutError."""

    def __init__(self, topology: Topology, node: str) -> None:
        """`node`: the name of the service, whose links are used."""
        self._site = Site(topology, node)
        self._closings: list[Callable[[], Awaitable[None]]] = []

    def log(self) -> MessageLog:
        return timed(cast("MessageLog", self._open(self._site.topology.log, "open_log")), MessageLog, "log")

    def store(self) -> MessageStore:
        return timed(cast("MessageStore", self._open(self._site.topology.store, "open_store")), MessageStore, "store")

    def keys(self) -> KeyStore:
        """Open the published keys, which are in the store's backend."""
        return timed(cast("KeyStore", self._open(self._site.topology.store, "open_keys")), KeyStore, "keys")

    def devices(self) -> Devices:
        """Open the device directory, which is in the store's backend."""
        return timed(cast("Devices", self._open(self._site.topology.store, "open_devices")), Devices, "devices")

    def registry(self) -> Registry:
        return timed(cast("Registry", self._open(self._site.topology.registry, "open_registry")), Registry, "registry")

    def revocations(self, registry: Registry) -> Revocations:
        """Return the list of revoked devices, over the connections of `registry`."""
        return cast("Revocations", self._opener(self._site.topology.registry, "open_revocations")(registry))

    def presence(self, *, ttl_s: float | None = None) -> Presence:
        """Open presence on its own connection, so that a slow look delays no route. `ttl_s` None: the system's TTL."""
        ttl_s = self._site.topology.settings.presence_ttl_s if ttl_s is None else ttl_s
        opened = self._open(self._site.topology.registry, "open_presence", ttl_s)
        return timed(cast("Presence", opened), Presence, "presence")

    def master(self) -> RedisMaster:
        """Open a client of the registry's Redis, for counters. Raises UnknownBackend if it has several masters."""
        return cast("RedisMaster", self._open(self._site.topology.registry, "open_master"))

    async def close(self) -> None:
        """Close all that was opened, the newest first. An error in one does not keep the others open."""
        while self._closings:
            with contextlib.suppress(Exception):
                await self._closings.pop()()

    def _open(self, name: str, port: str, *options: Any) -> Any:
        return self._kept(self._opener(name, port)(self._site, *options))

    def _opener(self, name: str, port: str) -> Callable[..., Any]:
        opener = getattr(importlib.import_module(BACKENDS[name]), port, None) if name in BACKENDS else None
        if opener is None:
            raise UnknownBackend(f"no backend {name!r} with {port}; there are {', '.join(BACKENDS)}")
        return cast("Callable[..., Any]", opener)

    def _kept(self, opened: T) -> T:
        self._closings.append(opened.close)
        return opened
