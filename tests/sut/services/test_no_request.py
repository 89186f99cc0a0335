"""What is no request, and clients that hang up: one line of JSON, nothing of it in the log, and no traceback."""

import asyncio
import contextlib
import json
import logging
import socket
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web

from sut.services.api import wire
from tests.kit.pace import scaled
from tests.sut.services.api_world import Agreeing, application, token

SECRET = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.a-secret"
BEARER = f"Authorization: Bearer {SECRET}\r\n".encode()
GET = b"GET /v1/health HTTP/1.1\r\nHost: x\r\n"
POST = b"POST /v1/conversations HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n"
BAD = {
    "no request line": (b"GET\r\n\r\n", 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(60), 400),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "another version": (b"GET /v1/health HTTP/9.9\r\n" + BEARER + b"\r\n", 400),
    "bare LF": (GET + BEARER[:-2] + b"\n\r\n", 400),
    "NUL in a value": (GET + BEARER[:-2] + b"\0\r\n\r\n", 400),
    "long line": (b"GET /" + b"a" * 9_000 + b" HTTP/1.1\r\n\r\n", 431),
    "long header": (GET + BEARER[:-2] * 200 + b"\r\n\r\n", 431),
    "many headers": (GET + BEARER.replace(b"Auth", b"X-Auth") * 300 + b"\r\n", 400),
    "bad port": (b"GET http://x:99999/v1/health?token=" + SECRET.encode() + b" HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "raw bytes": (b"GET /v1/presence?user=\xff" + SECRET.encode() + b" HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "length": (POST + BEARER + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n{}", 400),
    "two lengths": (POST + BEARER + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400),
}
IN_A_BODY = {
    "chunk": b"Transfer-Encoding: chunked\r\n\r\n" + SECRET.encode() + b"\r\n",
    "gzip": b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
    "deflate": b"Content-Encoding: deflate\r\nContent-Length: 5\r\n\r\nhello",
    "encodings": b"Content-Encoding: gzip, gzip\r\nContent-Length: 2\r\n\r\n{}",
    "unknown encoding": b"Content-Encoding: rot13\r\nContent-Length: 2\r\n\r\n{}",
}


class Served:
    """The API on a real socket."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address

    async def ask(self, data: bytes) -> bytes:
        """All that it answers until it hangs up."""
        reader, writer = await asyncio.open_connection(*self.address)
        writer.write(data)
        async with asyncio.timeout(scaled(5)):
            answer = await reader.read()
        writer.close()
        return answer


def served(scenario: Callable[[Served], Awaitable[None]]) -> None:
    """Run a scenario with the API on a real socket, as its process serves it."""

    async def live() -> None:
        async with application(Agreeing()) as app, contextlib.AsyncExitStack() as stack:
            runner = web.AppRunner(app)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            sock = socket.socket()
            sock.bind(("127.0.0.1", 0))
            server = await wire.listen(runner, sock)
            stack.callback(server.close)

            api = Served(sock.getsockname())
            await scenario(api)
            assert (await api.ask(GET + b"Connection: close\r\n\r\n")).startswith(b"HTTP/1.1 200 ")

    asyncio.run(live())


def silent(caplog: pytest.LogCaptureFixture) -> None:
    logged = [record for record in caplog.records if record.levelno >= logging.INFO]
    assert not logged, [record.getMessage() for record in logged]


def one_line(answer: bytes, status: int) -> None:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.split()[1] == b"%d" % status, answer[:200]
    said = json.loads(body)
    assert list(said) == ["error"]
    assert "\n" not in said["error"]
    assert SECRET not in said["error"]


@pytest.mark.parametrize(("request_", "status"), BAD.values(), ids=BAD)
def test_what_is_no_request_gets_one_line_and_leaves_nothing(
    caplog: pytest.LogCaptureFixture, request_: bytes, status: int
) -> None:
    async def scenario(api: Served) -> None:
        one_line(await api.ask(request_), status)

    served(scenario)
    silent(caplog)


@pytest.mark.parametrize("rest", IN_A_BODY.values(), ids=IN_A_BODY)
def test_a_body_that_cannot_be_read_is_400_and_leaves_nothing(caplog: pytest.LogCaptureFixture, rest: bytes) -> None:
    async def scenario(api: Served) -> None:
        one_line(await api.ask(POST + f"Authorization: Bearer {token()}\r\n".encode() + rest), 400)

    served(scenario)
    silent(caplog)


@pytest.mark.parametrize("sent", [b"", b'{"kind":', b"Content-Length: 2"])
def test_who_hangs_up_in_the_middle_leaves_nothing(caplog: pytest.LogCaptureFixture, sent: bytes) -> None:
    """A phone does so each time that it loses its network. It was a traceback, and counted as a failure of ours."""

    async def scenario(api: Served) -> None:
        head = POST + f"Authorization: Bearer {token()}\r\nContent-Length: 500\r\n\r\n".encode()
        reader, writer = await asyncio.open_connection(*api.address)
        writer.write(head + sent)
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.close()
        assert await reader.read() == b""
        await asyncio.sleep(0.05)

    served(scenario)
    silent(caplog)


def test_a_client_that_waits_for_100_continue_is_asked_for_its_body_and_others_need_not_be() -> None:
    body = b'{"kind":"group","members":["2"],"key":"k"}'
    head = POST + f"Authorization: Bearer {token()}\r\nContent-Length: {len(body)}\r\n".encode()

    async def scenario(api: Served) -> None:
        answer = await api.ask(head + b"Expect: 100-continue\r\n\r\n" + body)
        assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 ")
        assert (await api.ask(head + b"Expect: magic\r\n\r\n" + body)).startswith(b"HTTP/1.1 201 ")

    served(scenario)
