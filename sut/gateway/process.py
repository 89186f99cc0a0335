"""The gateway process: from listening to the redirection of the last device."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import resource
from typing import Final

from sut.adapters.backends import Backends
from sut.deploy.topology import Service, Topology
from sut.gateway.gateway import Gateway
from sut.gateway.pieces import GatewayPieces
from sut.process.revoked import Revoked
from sut.process.trace import open_trace
from sut.protocol.tokens import LOGIN_S

RESERVED_FILES: Final = 192
"""Open files kept for links, the registry, logs and refused sockets. The rest of the limit is for devices."""


async def serve(
    topology: Topology,
    service: Service,
    incarnation: int,
    stop: asyncio.Event,
    pieces: GatewayPieces = GatewayPieces(),  # noqa: B008 (frozen)
) -> None:
    """Serve devices until `stop` is set, then drain. Raises PortInUse, TlsError."""
    backends = Backends(topology, service.name)
    registry, presence = backends.registry(), backends.presence(ttl_s=pieces.presence_ttl_s)
    revoked = Revoked(backends.revocations(registry), keep_s=LOGIN_S)
    trace = open_trace(topology, service.name)
    gc.collect()
    gc.freeze()  # imported objects stay, so that no collection has to visit them again
    gateway = Gateway(
        topology,
        service,
        incarnation=incarnation,
        registry=pieces.registry(registry),
        max_sockets=max_sockets(),
        presence=presence,
        revoked=revoked,
        pieces=pieces,
        trace=trace,
    )
    try:
        await run(gateway, stop)
    finally:
        await backends.close()
        await trace.close()


async def run(gateway: Gateway, stop: asyncio.Event) -> None:
    """Serve until `stop` is set, drain, and close the gateway. Raises PortInUse, TlsError."""
    registrar = gateway.registrar
    try:
        await gateway.start()
        async with asyncio.TaskGroup() as group:
            lease = group.create_task(registrar.hold_lease())
            changes = group.create_task(registrar.write_changes())
            rewriting = group.create_task(registrar.rewrite_routes())
            keeping = group.create_task(gateway.presence.run()) if gateway.presence is not None else None
            watching = group.create_task(gateway.revoked.watch(gateway.on_revoked))
            await stop.wait()
            watching.cancel()
            lease.cancel()
            rewriting.cancel()
            await asyncio.wait([lease, rewriting])
            await registrar.release_lease()
            await gateway.drain()
            changes.cancel()
            if keeping is not None and gateway.presence is not None:
                keeping.cancel()
                await asyncio.wait([keeping])
                await gateway.presence.keeper.leave()
    finally:
        await gateway.close()


def max_sockets() -> int:
    """Raise the limit of open files, and return the number of devices that it leaves room for."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(1, soft - RESERVED_FILES)
