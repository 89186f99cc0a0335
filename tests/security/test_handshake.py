"""Upgrade requests that try to be read in two ways, to come slowly, or to be very large; at a real gateway's socket."""

import asyncio
import time

import pytest

from tests.sut.gateway.test_bad_input import answer_to, assert_alive
from tests.sut.gateway.world import World, in_world, upgrade

BLANK = b"\r\n\r\n"
SECOND = b"GET /v1/ws HTTP/1.1\r\nHost: x\r\n\r\n"


def with_header(request: bytes, line: bytes) -> bytes:
    """The request with one more header line."""
    return request.replace(BLANK, b"\r\n" + line + BLANK, 1)


SMUGGLES = {
    "two lengths": b"Content-Length: 0\r\nContent-Length: 5",
    "two equal lengths": b"Content-Length: 0\r\nContent-Length: 0",
    "length list": b"Content-Length: 0, 5",
    "length": b"Content-Length: 5",
    "signed length": b"Content-Length: +0",
    "chunked": b"Transfer-Encoding: chunked",
    "chunked, hidden": b"Transfer-Encoding: xchunked",
    "length and chunked": b"Content-Length: 0\r\nTransfer-Encoding: chunked",
    "folded value": b"X: a\r\n b",
    "folded by tab": b"X: a\r\n\tb",
    "folded first": b" X: a",
    "space before colon": b"Content-Length : 0",
    "no name": b": a",
    "no colon": b"just text",
    "NUL in a value": b"X: a\0b",
    "NUL in a name": b"X\0: a",
    "bare LF": b"X: a\nY: b",
    "bare CR": b"X: a\rY: b",
    "vertical tab": b"X: a\x0bb",
    "DEL": b"X: a\x7fb",
    "high byte": b"X: \xff",
    "two hosts": b"Host: y",
    "two tokens": b"Authorization: Bearer other",
    "two keys": b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "two versions": b"Sec-WebSocket-Version: 13",
}


@pytest.mark.parametrize("line", SMUGGLES.values(), ids=SMUGGLES)
def test_what_could_be_read_in_two_ways_is_refused(tmp_path, line):
    async def scenario(world: World) -> None:
        answer = await answer_to(world, with_header(upgrade(world.token()), line) + SECOND)
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert answer.count(b"HTTP/1.1") == 1  # and what follows is no second request
        assert (await world.stats())["handshakes"] == 0
        await assert_alive(world)

    in_world(scenario, tmp_path)


@pytest.mark.parametrize(
    "line",
    [
        b"GET  /v1/ws HTTP/1.1",
        b"GET /v1/ws  HTTP/1.1",
        b"GET /v1/ws HTTP/1.1 ",
        b" GET /v1/ws HTTP/1.1",
        b"GET\t/v1/ws\tHTTP/1.1",
        b"GET /v1/ws HTTP/1.0",
        b"GET /v1/ws HTTP/2.0",
        b"GET /v1/ws",
        b"GET http://x/v1/ws HTTP/1.1",
        b"PRI * HTTP/2.0",
        b"GET /v1/ws\0 HTTP/1.1",
        b"\x00GET /v1/ws HTTP/1.1",
    ],
)
def test_an_odd_request_line_is_refused(tmp_path, line):
    async def scenario(world: World) -> None:
        request = upgrade(world.token()).replace(b"GET /v1/ws HTTP/1.1", line)
        assert (await answer_to(world, request)).startswith(b"HTTP/1.1 400 ")
        assert (await world.stats())["handshakes"] == 0

    in_world(scenario, tmp_path)


@pytest.mark.parametrize("path", [b"/v1/ws/", b"/v1/ws%00", b"/v1/../v1/ws", b"//v1/ws", b"/v1/WS", b"/%761/ws"])
def test_only_the_very_path_is_the_path(tmp_path, path):
    async def scenario(world: World) -> None:
        request = upgrade(world.token()).replace(b"/v1/ws", path)
        assert (await answer_to(world, request)).startswith(b"HTTP/1.1 404 ")

    in_world(scenario, tmp_path)


def test_frames_before_the_answer_are_no_way_around_the_token(tmp_path):
    async def scenario(world: World) -> None:
        frame = b"\x82\x92abcd" + bytes(18)
        answer = await answer_to(world, upgrade("a.b.c") + frame * 50)
        assert answer.startswith(b"HTTP/1.1 401 ")
        assert world.forwarded == []

    in_world(scenario, tmp_path)


def test_a_request_without_an_end_is_cut_at_its_size_and_at_its_time(tmp_path):
    async def scenario(world: World) -> None:
        endless = upgrade(world.token())[:-2] + b"X: " + b"y" * 9000
        assert (await answer_to(world, endless)).startswith(b"HTTP/1.1 431 ")
        began_s = time.monotonic()
        slow = [asyncio.create_task(answer_to(world, upgrade(world.token())[:size])) for size in (0, 1, 30, 150)]
        for answer in await asyncio.gather(*slow):
            assert answer.startswith(b"HTTP/1.1 408 ")
        assert time.monotonic() - began_s < 1.5
        await assert_alive(world)

    in_world(scenario, tmp_path, handshake_timeout_s=0.5)


def test_a_thousand_slow_handshakes_keep_nobody_out(tmp_path):
    async def scenario(world: World) -> None:
        writers = []
        for _ in range(1000):
            _, writer = await asyncio.open_connection(*world.address("gateway-1", "ws"))
            writer.write(b"GET /v1/ws HTTP/1.1\r\n")
            writers.append(writer)
        await assert_alive(world)
        await world.wait_until_stat("sockets", lambda n: n <= 1)
        for writer in writers:
            writer.close()

    in_world(scenario, tmp_path, handshake_timeout_s=2.0)
