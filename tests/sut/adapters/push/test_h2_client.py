"""Requests on shared connections, against a real HTTP/2 server over TLS: what befalls one is no other one's trouble."""

import asyncio
import contextlib
import ssl
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from sut.adapters.push.h2_client import H2Client, NoAnswer
from sut.deploy.servers import stand_in_files
from sut.deploy.servers.push_files import PushFiles
from sut.standins.h2_server import H2Server, Harm, Request, Response
from tests.sut.services.push.conftest import topology_of

TIMEOUT_S = 1.0


@dataclass
class Site:
    """A server whose paths say what it does, and how often each request was looked at."""

    client: H2Client
    server: H2Server
    done: Counter[str] = field(default_factory=Counter)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    """What /wait waits for."""

    async def ask(self, path: str) -> str:
        """ "200", or how it ended without an answer."""
        try:
            return str((await self.client.post(path, b"body", {})).status)
        except NoAnswer as error:
            return f"{'own' if error.own else 'all'}: {error}"

    async def handle(self, request: Request) -> Response | Harm:
        """One request. It counts as done at the moment it is answered."""
        what, _, _rest = request.path.strip("/").partition("/")
        harms = {"silent": Harm.SILENCE, "cut": Harm.CUT, "goaway": Harm.GOAWAY, "reset": Harm.RESET}
        if what in harms:
            return harms[what]
        if what == "wait":
            await self.gate.wait()
        self.done[request.path] += 1
        return Response(200, b"fine", goaway=what == "drain")


@contextlib.asynccontextmanager
async def site(directory: Path) -> AsyncIterator[Site]:
    """A server with a certificate of its own CA, and a client that trusts it."""
    topology = topology_of(directory)
    stand_in_files.write_conf(topology, topology.of_kind("provider")[0])
    files, service = PushFiles(directory), topology.services[0]
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(files.stand_in("server.pem"), files.stand_in("server.key"))
    tls.set_alpn_protocols(["h2"])
    trusting = ssl.create_default_context(cafile=str(files.of("ca.pem")))
    client = H2Client(f"https://{service.host}:{service.ports['apns']}", tls=trusting, timeout_s=TIMEOUT_S)
    made = Site(client, None)  # type: ignore[arg-type]
    made.server = H2Server(made.handle, tls)
    await made.server.start(service.host, service.ports["apns"])
    try:
        yield made
    finally:
        await client.renew()
        made.server.close()


async def test_one_unanswered_request_costs_one_request(tmp_path: Path) -> None:
    """64 in flight on one connection when the time of one is over: the other 63 are answered, and once."""
    async with site(tmp_path) as here:
        silent = asyncio.create_task(here.ask("/silent"))
        await asyncio.sleep(TIMEOUT_S / 2)
        others = [asyncio.create_task(here.ask(f"/wait/{n}")) for n in range(63)]
        assert await silent == f"own: no answer within {TIMEOUT_S:g} s"
        assert len(here.server.connections) == 1
        here.gate.set()
        assert set(await asyncio.gather(*others)) == {"200"}
        assert sorted(here.done.values()) == [1] * 63


async def test_a_connection_on_which_an_answer_is_missing_is_replaced(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        assert await here.ask("/a") == "200"
        (old,) = here.server.connections
        await here.ask("/silent")
        assert await here.ask("/b") == "200"
        async with asyncio.timeout(5):
            while old in here.server.connections:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert len(here.server.connections) == 1


async def test_a_server_that_answers_nothing_is_given_up_on_time_and_used_again_later(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        loop = asyncio.get_running_loop()
        for _ in range(3):
            begun_s = loop.time()
            answers = await asyncio.gather(*(here.ask("/silent") for _ in range(64)))
            assert set(answers) == {f"own: no answer within {TIMEOUT_S:g} s"}
            assert loop.time() - begun_s < 3 * TIMEOUT_S
        assert await here.ask("/a") == "200"


async def test_a_polite_goaway_costs_nothing_and_repeats_nothing(tmp_path: Path) -> None:
    """Those before it are answered on the old connection; those after it were not looked at and go out again."""
    async with site(tmp_path) as here:
        before = [asyncio.create_task(here.ask(f"/wait/{n}")) for n in range(30)]
        await asyncio.sleep(0.1)
        after = [asyncio.create_task(here.ask(path)) for path in ("/drain", *(f"/wait/{n}" for n in range(30, 63)))]
        assert await after[0] == "200"
        here.gate.set()
        assert set(await asyncio.gather(*before, *after)) == {"200"}
        assert sorted(here.done.values()) == [1] * 64
        async with asyncio.timeout(5):
            while len(here.server.connections) > 1:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


async def test_a_goaway_to_every_request_ends(tmp_path: Path) -> None:
    """Each of these GOAWAYs names its own request, so each wave gets one further; nothing turns for ever."""
    async with site(tmp_path) as here:
        answers = await asyncio.gather(*(here.ask(f"/drain/{n}") for n in range(16)))
        assert answers.count("200") >= 1
        assert all(answer == "200" or answer.startswith("own: refused") for answer in answers)
        assert max(here.done.values()) == 1


@pytest.mark.parametrize(
    ("path", "ends"),
    [
        ("/reset", "own: StreamReset: error 2"),
        ("/cut", "all: the connection ended"),
        ("/goaway", "all: the connection ended"),
    ],
)
async def test_each_way_not_to_answer(path: str, ends: str, tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        beside = asyncio.create_task(here.ask("/wait"))
        await asyncio.sleep(0.1)
        assert (await here.ask(path)).startswith(ends)
        here.gate.set()
        assert (await beside == "200") == (path == "/reset")
        assert await here.ask("/a") == "200"


async def test_nobody_listens(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        here.server.close()
        answers = await asyncio.gather(*(here.ask("/a") for _ in range(10)))
        assert all(answer.startswith("all: ConnectionRefused") for answer in answers)


async def test_a_server_that_accepts_and_says_nothing_is_unreachable(tmp_path: Path) -> None:
    """As one that is stopped: the kernel accepts for it."""
    async with site(tmp_path) as here:
        topology = here.client._port
        here.server.close()
        quiet = await asyncio.start_server(lambda _reader, _writer: asyncio.sleep(3600), "127.0.0.1", topology)
        assert (await here.ask("/a")).startswith("all: ")
        quiet.close()


async def test_an_answer_that_is_too_long_is_not_kept(tmp_path: Path) -> None:
    async with site(tmp_path) as here:

        async def long(_request: Request) -> Response:
            return Response(200, b"x" * 10_000)

        here.server._handler = long
        assert await here.ask("/a") == "own: an answer that is too long"
