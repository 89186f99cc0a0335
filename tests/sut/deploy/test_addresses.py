"""What clients dial, and what processes listen on: IPv4, IPv6 and both, with TLS and without; the certificates."""

import asyncio
import json
import socket
import ssl

import msgspec
import pytest
from aiohttp import ClientSession, web

from sut.deploy.probes import probe
from sut.deploy.servers import certificates, toxiproxy
from sut.deploy.topology import Link, Service, Tls, Topology
from sut.process.listening import listener
from sut.process.tls import server_context

TLS = Tls(certificate="c", key="k", ca="a")


def topology(host: str, *, tls: Tls | None = None, public_host: str = "") -> Topology:
    gateway = Service(
        name="gateway-1", kind="gateway", host=host, public_host=public_host, ports={"ws": 81, "peer": 82}
    )
    return Topology(
        run_id="r",
        profile="p",
        dir="/d",
        token_key="",
        api_key="",
        tls=tls,
        services=(gateway, Service(name="api-1", kind="api", host=host, public_host=public_host, ports={"http": 80})),
        links=(Link(source="api-1", target="gateway-1", port="peer", listen=83),),
    )


@pytest.mark.parametrize(
    ("made", "gateway", "api"),
    [
        (topology("127.0.0.1"), "ws://127.0.0.1:81/x", "http://127.0.0.1:80"),
        (topology("::1"), "ws://[::1]:81/x", "http://[::1]:80"),
        (topology("::1", tls=TLS), "wss://[::1]:81/x", "https://[::1]:80"),
        (topology("::", public_host="chat.example"), "ws://chat.example:81/x", "http://chat.example:80"),
        (topology("::", public_host="2001:db8::1", tls=TLS), "wss://[2001:db8::1]:81/x", "https://[2001:db8::1]:80"),
    ],
)
def test_what_clients_dial(made: Topology, gateway: str, api: str) -> None:
    assert made.gateway_url(made.service("gateway-1"), "/x") == gateway
    assert made.api_url == api
    assert msgspec.json.decode(msgspec.json.encode(made), type=Topology) == made


def test_a_proxy_reaches_an_ipv6_service() -> None:
    assert json.loads(toxiproxy.conf(topology("::1")))[0]["upstream"] == "[::1]:82"
    assert json.loads(toxiproxy.conf(topology("127.0.0.1")))[0]["upstream"] == "127.0.0.1:82"


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 on this machine")
@pytest.mark.parametrize(
    ("host", "by_four", "by_six"), [("127.0.0.1", True, False), ("::1", False, True), ("::", True, True)]
)
def test_a_listener_is_reached_by_what_it_says(host: str, by_four: bool, by_six: bool) -> None:
    with listener(host, 0) as listening:
        listening.listen()
        assert listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        for dialled, reached in (("127.0.0.1", by_four), ("::1", by_six)):
            family = socket.AF_INET6 if ":" in dialled else socket.AF_INET
            with socket.socket(family) as client:
                assert (client.connect_ex((dialled, listening.getsockname()[1])) == 0) == reached


def test_a_listener_whose_address_is_taken_leaves_no_socket() -> None:
    with listener("127.0.0.1", 0) as one:
        one.listen()
        with pytest.raises(OSError, match="in use"):
            listener("127.0.0.1", one.getsockname()[1])


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_http_by_tls_is_trusted_with_its_authority_and_by_nobody_else(tmp_path, host: str) -> None:
    made, other = certificates.make(tmp_path / "one"), certificates.make(tmp_path / "other")

    async def scenario() -> None:
        app = web.Application()
        app.add_routes([web.get("/v1/health", lambda _request: web.json_response({}))])
        runner = web.AppRunner(app)
        await runner.setup()
        sock = listener(host, 0)
        await web.SockSite(runner, sock, ssl_context=server_context(made)).start()
        address = (host, sock.getsockname()[1])
        assert await asyncio.to_thread(probe.http_status, address, "/v1/health", 2.0, made.ca) == 200
        assert await asyncio.to_thread(probe.http_status, address, "/v1/health", 2.0, other.ca) is None
        assert await asyncio.to_thread(probe.http_status, address, "/v1/health", 2.0) is None
        async with ClientSession() as client:
            with pytest.raises(OSError, match="certificate"):
                await client.get(f"https://[{host}]:{address[1]}/" if ":" in host else f"https://{host}:{address[1]}/")
        await runner.cleanup()

    asyncio.run(scenario())


def test_a_certificate_for_another_name_is_not_trusted(tmp_path) -> None:
    made = certificates.make(tmp_path, hosts=["chat.example"])
    context = ssl.create_default_context(cafile=made.ca)
    with listener("127.0.0.1", 0) as listening:
        listening.listen()
        server = server_context(made)

        async def scenario() -> None:
            serving = await asyncio.start_server(lambda _r, _w: None, sock=listening, ssl=server)
            port = listening.getsockname()[1]
            with pytest.raises(ssl.SSLCertVerificationError):
                await asyncio.open_connection("127.0.0.1", port, ssl=context)
            _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="chat.example")
            writer.close()
            serving.close()

        asyncio.run(scenario())
