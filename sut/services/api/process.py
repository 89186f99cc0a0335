"""The API process: an HTTP server, and a peer server for the sequencers' answers."""

from __future__ import annotations

import asyncio
from functools import partial

from aiohttp import web

from sut.adapters.backends import Backends
from sut.deploy.topology import Service, Topology
from sut.ports import Unavailable
from sut.process.links import by_partition, links_to
from sut.process.listening import BACKLOG, listener
from sut.process.peer import PeerServer, PortInUse
from sut.process.ready import Ready
from sut.process.revoked import Revoked
from sut.process.serving import peers, work_until
from sut.process.tls import server_context
from sut.process.trace import open_trace
from sut.protocol.tokens import LOGIN_S
from sut.services.api import wire
from sut.services.api.control import Control
from sut.services.api.history import Conversations
from sut.services.api.http import make_app
from sut.services.api.people import People
from sut.services.api.pieces import ApiPieces
from sut.services.chat.reader import Reader
from sut.services.covered import covered


async def serve(
    topology: Topology,
    service: Service,
    incarnation: int,
    stop: asyncio.Event,
    pieces: ApiPieces = ApiPieces(),  # noqa: B008 (frozen)
) -> None:
    """Serve until `stop` is set. Raises PortInUse, TlsError."""
    backends = Backends(topology, service.name)
    message_log, registry, store = backends.log(), backends.registry(), backends.store()
    keys, devices, presence = backends.keys(), backends.devices(), backends.presence(ttl_s=pieces.presence_ttl_s)
    links = links_to(topology, service, incarnation, "sequencer")
    sequencers = covered(topology, links)
    control = Control(node=service.name, incarnation=incarnation, message_log=message_log, sequencers=sequencers)
    trace = open_trace(topology, service.name)
    ready = Ready()
    server = PeerServer(
        node=service.name,
        incarnation=incarnation,
        secret=topology.peer_secret,
        on_frame=control.on_frame,
        stats=ready.stats,
    )
    revoked = Revoked(backends.revocations(registry), keep_s=LOGIN_S)
    app = make_app(
        topology,
        control,
        registry,
        revoked,
        conversations=Conversations(Reader(store, sequencers)),
        devices=devices,
        keys=keys,
        people=People(sequencers=by_partition(topology, links), store=store, presence=presence),
        trace=trace,
    )
    linked = partial(_linked, server, {sequencer.name for sequencer in topology.of_kind("sequencer")})
    async with peers(service, server, links, backends.close):
        watching = asyncio.create_task(revoked.watch(lambda _new: None))
        runner = web.AppRunner(app)
        listening: asyncio.Server | None = None
        try:
            listening = await _listen(topology, service, runner)
            looks = (lambda: message_log.committed(0), lambda: devices.owner(0), linked)
            await work_until(stop, [ready.reach(*looks)])
        finally:
            watching.cancel()
            if listening is not None:
                listening.close()
            await runner.cleanup()
            await trace.close()


async def _listen(topology: Topology, service: Service, runner: web.AppRunner) -> asyncio.Server:
    """Serve the runner's application on the "http" port. Raises PortInUse, TlsError."""
    await runner.setup()
    host, port = service.host, service.ports["http"]
    try:
        secured = server_context(topology.tls) if topology.tls is not None else None
        return await wire.listen(runner, listener(host, port), secured=secured, backlog=BACKLOG)
    except OSError as error:
        raise PortInUse(f"{service.name}: cannot listen on {host}:{port}: {error.strerror}") from None


async def _linked(server: PeerServer, sequencers: set[str]) -> None:
    """Return when every sequencer has a link to this process. Raises Unavailable when one has none."""
    if missing := sequencers - {connection.node for connection in server.connections}:
        raise Unavailable(f"no link from {', '.join(sorted(missing))} yet")
