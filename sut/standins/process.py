"""The process that stands in for both push providers. Tests and faults set its behaviour over HTTP.

    GET  /behaviour      what is set now
    PUT  /behaviour      set it: {"apns": {"throttled": 0.1}, "fcm": {"away": true}}; a provider left out has no faults
    POST /dead           {"apns": ["token", ...], "fcm": [...]}: the apps of these phones were deleted just now
    GET  /counts         {"accepted": 12, "too_soon": 0}: too_soon are pushes that did not wait for their Retry-After

Ports: "apns" and "fcm" speak HTTP/2 over TLS; "control" is plain, and local.
"""

from __future__ import annotations

import asyncio
import random
import ssl
import time

import msgspec
from aiohttp import web

from sut.deploy.servers.push_files import PushFiles
from sut.deploy.servers.stand_in_files import ACCOUNT, KEY_ID, PROJECT, TEAM_ID, TOPIC
from sut.deploy.topology import Service, Topology
from sut.process.peer import PeerServer, PortInUse
from sut.process.serving import peers, refuse
from sut.standins.accepted import AcceptedPushes
from sut.standins.apns import ApnsStandIn
from sut.standins.behaviour import Behaviours
from sut.standins.fcm import FcmStandIn
from sut.standins.h2_server import H2Server


class _Dead(msgspec.Struct, frozen=True):
    apns: tuple[str, ...] = ()
    fcm: tuple[str, ...] = ()


class StandIns:
    """Stand-ins for both providers. Belongs to one event loop."""

    def __init__(self, files: PushFiles, accepted: AcceptedPushes, *, fcm_url: str, rng: random.Random) -> None:
        self.behaviours = Behaviours()
        self.accepted = accepted
        self.apns = ApnsStandIn(
            public_key=files.stand_in("apns.pub").read_text(),
            key_id=KEY_ID,
            team_id=TEAM_ID,
            topic=TOPIC,
            accepted=accepted,
            behaviour=lambda: self.behaviours.apns,
            rng=rng,
        )
        self.fcm = FcmStandIn(
            public_key=files.stand_in("fcm.pub").read_text(),
            account=ACCOUNT,
            project=PROJECT,
            token_uri=f"{fcm_url}/token",
            accepted=accepted,
            behaviour=lambda: self.behaviours.fcm,
            rng=rng,
        )
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(files.stand_in("server.pem"), files.stand_in("server.key"))
        tls.set_alpn_protocols(["h2"])
        self.apns_server, self.fcm_server = H2Server(self.apns.handle, tls), H2Server(self.fcm.handle, tls)

    @property
    def too_soon(self) -> int:
        """Pushes that came again before their Retry-After was over."""
        return self.apns.waits.too_soon + self.fcm.waits.too_soon

    async def behave(self, wanted: Behaviours) -> None:
        """Set the behaviour. Raises OSError."""
        self.behaviours = wanted
        await self.apns_server.set_away(wanted.apns.away)
        await self.fcm_server.set_away(wanted.fcm.away)

    def kill_tokens(self, apns: tuple[str, ...] = (), fcm: tuple[str, ...] = ()) -> None:
        """Mark these tokens dead from now on: their apps were deleted."""
        now_ms = time.time_ns() // 1_000_000
        self.apns.dead |= dict.fromkeys(apns, now_ms)
        self.fcm.dead |= dict.fromkeys(fcm, now_ms)

    def close(self) -> None:
        """Stop both servers, cut their connections and close the file."""
        self.apns_server.close()
        self.fcm_server.close()
        self.accepted.close()


async def serve(topology: Topology, service: Service, incarnation: int, stop: asyncio.Event) -> None:
    """Serve until `stop` is set. Raises PortInUse."""
    accepted = AcceptedPushes(topology.path, service.name)
    fcm_url = f"https://{service.host}:{service.ports['fcm']}"
    stand_ins = StandIns(PushFiles(topology.path), accepted, fcm_url=fcm_url, rng=random.Random())
    server = PeerServer(
        node=service.name,
        incarnation=incarnation,
        secret=topology.peer_secret,
        on_frame=refuse,
        stats=lambda: {"accepted": float(accepted.count), "grants": float(stand_ins.fcm.grants)},
    )
    runner = web.AppRunner(_control(stand_ins), access_log=None)
    await runner.setup()
    try:
        try:
            await stand_ins.apns_server.start(service.host, service.ports["apns"])
            await stand_ins.fcm_server.start(service.host, service.ports["fcm"])
            await web.TCPSite(runner, service.host, service.ports["control"]).start()
        except OSError as error:
            raise PortInUse(f"{service.name}: {error.strerror}") from None
        async with peers(service, server, {}):
            await stop.wait()
    finally:
        await runner.cleanup()
        stand_ins.close()


def _control(stand_ins: StandIns) -> web.Application:
    async def show(_request: web.Request) -> web.Response:
        return web.Response(body=msgspec.json.encode(stand_ins.behaviours), content_type="application/json")

    async def change(request: web.Request) -> web.Response:
        try:
            await stand_ins.behave(msgspec.json.decode(await request.read(), type=Behaviours))
        except msgspec.DecodeError as error:
            return web.json_response({"error": str(error)}, status=400)
        return await show(request)

    async def kill(request: web.Request) -> web.Response:
        try:
            dead = msgspec.json.decode(await request.read(), type=_Dead)
        except msgspec.DecodeError as error:
            return web.json_response({"error": str(error)}, status=400)
        stand_ins.kill_tokens(dead.apns, dead.fcm)
        return web.json_response({"dead": len(dead.apns) + len(dead.fcm)})

    async def counts(_request: web.Request) -> web.Response:
        return web.json_response({"accepted": stand_ins.accepted.count, "too_soon": stand_ins.too_soon})

    app = web.Application()
    app.add_routes(
        [
            web.get("/behaviour", show),
            web.put("/behaviour", change),
            web.post("/dead", kill),
            web.get("/counts", counts),
        ]
    )
    return app
