"""Serves the metrics of this process: GET /metrics on the port "metrics", in the text format or as OpenMetrics.

The server is prometheus-client's own, in a thread. Counters are read on the process's event loop, so they need no lock,
and a process whose loop hangs does not answer: Prometheus sees it down. The port has no password: it listens on
`Service.metrics_host`, this machine by default.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from prometheus_client import Info, start_http_server

from sut.deploy.topology import Service, Topology
from sut.process.lateness import slack_s
from sut.process.metrics import instruments
from sut.process.metrics.catalogue import Counted, counted
from sut.process.peer import PortInUse

LOOP_S: Final = 5.0
"""How long a scrape waits for the event loop. Prometheus gives up before."""


@contextlib.asynccontextmanager
async def exposed(topology: Topology, service: Service) -> AsyncIterator[None]:
    """Serve the metrics inside the block; a service without the port serves none. Raises PortInUse."""
    port = service.ports.get("metrics")
    if port is None:
        yield
        return
    registry = instruments.REGISTRY
    try:
        server, thread = start_http_server(port, service.metrics_host, registry)
    except OSError as error:
        raise PortInUse(f"{service.name}: cannot listen on {service.metrics_host}:{port}: {error.strerror}") from None
    build = Info("petrel_build", "What runs here.", registry=registry)
    # The names of the service and its kind are labels of the target.
    build.info({"version": _version(), "profile": topology.profile, "variant": topology.variant or ""})
    collector = Counted(service.kind, partial(_on_loop, asyncio.get_running_loop()))
    registry.register(collector)
    instruments.watch_collections()
    slack_s()  # begins to measure how late the loop is
    try:
        yield
    finally:
        await asyncio.to_thread(server.shutdown)
        server.server_close()
        thread.join()
        registry.unregister(collector)
        registry.unregister(build)


def _version() -> str:
    try:
        return version("stormpetrel")
    except PackageNotFoundError:  # a tree that is not installed
        return ""


def _on_loop(loop: asyncio.AbstractEventLoop) -> Mapping[str, float]:
    """Return the counters, read on the event loop. Called by the server's thread. Raises TimeoutError."""

    async def read() -> Mapping[str, float]:
        return counted()

    return asyncio.run_coroutine_threadsafe(read(), loop).result(LOOP_S)
