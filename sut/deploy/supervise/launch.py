"""`python -m sut.deploy.supervise.launch TOPOLOGY NAME`: one of our own processes, from its start to its clean end.

Runs serve() of the service's kind on uvloop until SIGTERM, SIGINT or SIGHUP sets the stop event. An error that a person
can fix (a port in use, an unreadable topology) ends as one log line and exit status 70. A bug ends as a traceback in
the log and status 1. In both cases the supervisor starts the process again.
"""

from __future__ import annotations

import asyncio
import errno
import functools
import importlib
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop

from sut.deploy.errors import EXIT_CANNOT, EXIT_USAGE
from sut.deploy.kinds import KINDS
from sut.deploy.supervise import log_lines
from sut.deploy.topology import PRIVATE, Service, Topology, TopologyError, load
from sut.ports import SutError
from sut.process.metrics.serving import exposed

Serve = Callable[..., Awaitable[None]]


def main(arguments: list[str]) -> int:
    """Run the service. Returns the exit status: 0 after a clean stop."""
    if len(arguments) != 2:
        sys.stderr.write("usage: python -m sut.deploy.supervise.launch TOPOLOGY NAME\n")
        return EXIT_USAGE
    os.umask(PRIVATE)
    path, name = arguments
    try:
        topology = load(Path(path))
    except TopologyError as error:
        log_lines.configure(name).error("%s", error)
        return EXIT_CANNOT
    return live(topology, name)


def live(topology: Topology, name: str) -> int:
    """Be the process of this service until it is told to stop. Returns the exit status: 0 after a clean stop."""
    log = log_lines.configure(name)
    try:
        service = topology.service(name)
        uvloop.run(_run(_serve_of(topology, service), topology, service))
    except (SutError, TopologyError) as error:
        log.error("%s", error)
        return EXIT_CANNOT
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        log.error("%s", error)
        return EXIT_CANNOT
    return 0


def _serve_of(topology: Topology, service: Service) -> Serve:
    """Return the serve() of its kind, with the pieces of the variant if there is one. Raises UnknownVariant."""
    module = KINDS[service.kind].serves
    if not module:
        raise TopologyError(f"{service.name} is a {service.kind}, which has a command of its own")
    serve: Serve = importlib.import_module(module).serve
    if topology.variant is not None:
        from sut import variants  # only a system with a variant imports any

        pieces = variants.find(topology.variant, topology.variant_dir).pieces(service.kind, topology)
        return serve if pieces is None else functools.partial(serve, pieces=pieces)
    return serve


async def _run(serve: Serve, topology: Topology, service: Service) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(signum, stop.set)
    async with exposed(topology, service):
        await serve(topology, service, time.time_ns() // 1000, stop)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
