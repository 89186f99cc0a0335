"""The API process: an HTTP server, and a peer server for the sequencers' answers."""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial

from aiohttp import web

from sut.adapters.backends import (
    open_devices,
    open_keys,
    open_log,
    open_presence,
    open_registry,
    open_revocations,
    open_store,
)
from sut.deploy.topology import Service, Topology
from sut.ports import Unavailable
from sut.process.links import links_to
from sut.process.listening import BACKLOG, listener
from sut.process.peer import PeerServer, PortInUse
from sut.process.ready import Ready
from sut.process.revoked import Revoked
from sut.process.tls import server_context
from sut.protocol.peer import Poke
from sut.services.api.control import Control
from sut.services.api.history import Conversations
from sut.services.api.http import make_app
from sut.services.api.people import People
from sut.services.chat.reader import Reader
from sut.variants import presence_ttl_s


async def serve(topology: Topology, service: Service, incarnation: int, stop: asyncio.Event) -> None:
    """Serve until `stop` is set. Raises PortInUse, TlsError."""
    message_log, registry = open_log(topology, service.name), open_registry(topology, service.name)
    store, keys = open_store(topology, service.name), open_keys(topology, service.name)
    devices = open_devices(topology, service.name)
    presence = open_presence(topology, service.name, ttl_s=presence_ttl_s(topology))
    links = links_to(topology, service, incarnation, "sequencer")
    control = Control(
        node=service.name,
        incarnation=incarnation,
        message_log=message_log,
        partitions=topology.settings.partitions,
        poke=lambda p: links[topology.sequencer_of(p).name].send(Poke(p)),
    )
    by_partition = {p: links[topology.sequencer_of(p).name] for p in range(topology.settings.partitions)}
    conversations = Conversations(Reader(store, by_partition))
    ready = Ready()
    server = PeerServer(node=service.name, incarnation=incarnation, on_frame=control.on_frame, stats=ready.stats)
    await server.start(service.host, service.ports["peer"])
    for link in links.values():
        link.start()
    people = People(sequencers=by_partition, store=store, presence=presence)
    revoked = Revoked(open_revocations(registry), keep_s=topology.settings.token_ttl_s)
    watching = asyncio.create_task(revoked.watch(lambda _new: None))
    app = make_app(
        topology,
        control,
        registry,
        revoked,
        conversations=conversations,
        devices=devices,
        keys=keys,
        people=people,
    )
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        try:
            secured = server_context(topology.tls) if topology.tls is not None else None
            sock = listener(service.host, service.ports["http"])
            await web.SockSite(runner, sock, ssl_context=secured, backlog=BACKLOG).start()
        except OSError as error:
            where = f"{service.host}:{service.ports['http']}"
            raise PortInUse(f"{service.name}: cannot listen on {where}: {error.strerror}") from None
        linked = partial(_linked, server, {sequencer.name for sequencer in topology.of_kind("sequencer")})
        reaching = asyncio.create_task(ready.reach(lambda: message_log.committed(0), lambda: devices.owner(0), linked))
        await stop.wait()
        reaching.cancel()
    finally:
        watching.cancel()
        await runner.cleanup()
        await server.close()
        for link in links.values():
            await link.close()
        closings = (presence.close, registry.close, devices.close, keys.close, store.close, message_log.close)
        for closing in closings:
            with contextlib.suppress(Exception):
                await closing()


async def _linked(server: PeerServer, sequencers: set[str]) -> None:
    """Every sequencer can bring its answers here. Raises Unavailable."""
    if missing := sequencers - {connection.node for connection in server.connections}:
        raise Unavailable(f"no link from {', '.join(sorted(missing))} yet")
