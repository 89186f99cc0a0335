"""The whole embedded system, real processes and sockets: what a client that knows only the protocol's page can do."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import websockets

from sut.protocol import frames as f
from tests.kit.pace import scaled
from tests.kit.whole import call, create, gateways, tokens

PLAIN_CLIENT = Path(__file__).parents[1] / "kit" / "plain_client.py"


@pytest.fixture(scope="module")
def running(talking):
    return talking


class Phone:
    """A device on the `websockets` library."""

    def __init__(self, socket) -> None:
        self._socket = socket

    async def ask(self, frame):
        """The answer, past notifications that come between."""
        await self._socket.send(f.encode(frame))
        while isinstance(answer := await self.next(), f.Notify):
            pass
        return answer

    async def next(self):
        async with asyncio.timeout(scaled(5)):
            return f.decode_server(await self._socket.recv())

    async def code(self) -> int:
        async with asyncio.timeout(scaled(5)):
            await self._socket.wait_closed()
        return self._socket.close_code


async def phone(topology, token: str) -> Phone:
    urls = gateways(topology)
    headers = {"Authorization": f"Bearer {token}"}
    socket = await websockets.connect(urls[0], additional_headers=headers, compression=None)
    connected = Phone(socket)
    assert isinstance(await connected.next(), f.Welcome)
    return connected


def test_a_plain_client_written_from_the_page_sends_and_receives(running):
    topology = running.topology
    command = [sys.executable, str(PLAIN_CLIENT), topology.api_url, topology.api_key]
    done = subprocess.run(command, capture_output=True, text=True, timeout=scaled(60), check=False)
    assert done.returncode == 0, done.stderr


def test_a_stranger_is_refused_definitely_and_closed_and_the_gateway_goes_on(running):
    topology = running.topology
    keys = tokens(topology, 101, 102, 109)
    conv = create(topology, keys[101], "group", [102], "strangers")

    async def scenario() -> None:
        stranger, member = await phone(topology, keys[109]), await phone(topology, keys[101])
        assert await stranger.ask(f.Send(conv, 1, b"let me in")) == f.Refused(conv, 1, f.Nack.FOREIGN)
        assert await stranger.code() == f.Close.FOREIGN
        reader = await phone(topology, keys[109])
        assert (await reader.ask(f.Fetch(1, conv, 0, 10))).code == f.Nack.FOREIGN
        assert await reader.code() == f.Close.FOREIGN
        assert await member.ask(f.Send(conv, 1, b"still here")) == f.Ack(conv, 1, 1)

    asyncio.run(scenario())


def test_a_removed_member_keeps_what_it_saw_and_gets_nothing_new(running):
    topology = running.topology
    keys = tokens(topology, 201, 202)
    conv = create(topology, keys[201], "group", [202], "removed")

    async def scenario() -> None:
        stays, leaves = await phone(topology, keys[201]), await phone(topology, keys[202])
        assert await stays.ask(f.Send(conv, 1, b"one")) == f.Ack(conv, 1, 1)
        path = f"/v1/conversations/{conv}/members/202"
        assert await asyncio.to_thread(call, topology, path, None, keys[201], "DELETE") == {"seq": 2}
        assert await stays.ask(f.Send(conv, 2, b"two")) == f.Ack(conv, 2, 3)
        page = await leaves.ask(f.Fetch(1, conv, 0, 10))
        assert ([m.body for m in page.messages], page.head, page.through) == ([b"one"], 1, 1)
        assert await leaves.ask(f.Send(conv, 1, b"me too")) == f.Refused(conv, 1, f.Nack.NOT_MEMBER)

    asyncio.run(scenario())


def test_a_message_outlives_the_sequencer_and_is_not_numbered_twice(running):
    topology = running.topology
    keys = tokens(topology, 301, 302)
    conv = create(topology, keys[301], "direct", [302], "d")

    async def scenario() -> None:
        sender = await phone(topology, keys[301])
        assert await sender.ask(f.Send(conv, 7, b"before")) == f.Ack(conv, 7, 1)
        for service in topology.of_kind("sequencer"):
            os.kill(running.pid(service.name), signal.SIGKILL)
        for _ in range(10):
            try:
                answer = await sender.ask(f.Send(conv, 7, b"before"))
            except TimeoutError:
                continue
            break
        assert answer == f.Ack(conv, 7, 1)

    asyncio.run(scenario())
