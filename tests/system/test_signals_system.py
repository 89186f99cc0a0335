"""Receipts, typing and presence in the whole embedded system: plain clients, and a gateway that is killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator

import pytest
import websockets

from sut.deploy.topology import Settings
from sut.protocol import frames as f
from sut.protocol.signals import (
    PresenceNews,
    Read,
    Receipt,
    Receipts,
    Seen,
    Typing,
    Typist,
    Typists,
    Watch,
)
from tests.kit.pace import scaled
from tests.kit.waits import until
from tests.kit.whole import call, create, embedded, tokens

HEARTBEAT_S = 2.0
TTL_S = 2.5 * HEARTBEAT_S
PERIOD_S, GRACE_S = 0.5, 2.0
SLACK_S = 4.0
"""On a machine that others use too."""

pytestmark = [pytest.mark.long, pytest.mark.slow]


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    settings = Settings(heartbeat_s=HEARTBEAT_S, presence_period_s=PERIOD_S, presence_grace_s=GRACE_S)
    with embedded(tmp_path_factory.mktemp("system"), settings) as started:
        yield started


class Phone:
    """A connected device that beats and keeps all that it hears."""

    def __init__(self, socket) -> None:
        self._socket = socket
        self.heard: list[f.ServerFrame] = []

    async def listen(self) -> None:
        with contextlib.suppress(websockets.ConnectionClosed):
            async for data in self._socket:
                self.heard.append(f.decode_server(data))

    async def beat(self) -> None:
        with contextlib.suppress(websockets.ConnectionClosed):
            while True:
                await self.say(f.Heartbeat())
                await asyncio.sleep(HEARTBEAT_S / 2)

    async def say(self, frame) -> None:
        await self._socket.send(f.encode(frame))

    def receipts(self) -> list[Receipt]:
        return [entry for frame in self.heard if isinstance(frame, Receipts) for entry in frame.entries]

    def typists(self) -> list[Typist]:
        return [entry for frame in self.heard if isinstance(frame, Typists) for entry in frame.entries]

    def seen(self) -> list[Seen]:
        return [entry for frame in self.heard if isinstance(frame, PresenceNews) for entry in frame.entries]


@contextlib.asynccontextmanager
async def phone(topology, token: str, gateway: int) -> AsyncIterator[Phone]:
    """On this gateway, by number."""
    service = topology.of_kind("gateway")[gateway]
    headers = {"Authorization": f"Bearer {token}"}
    url = f"ws://{service.host}:{service.ports['ws']}/v1/ws"
    async with websockets.connect(url, additional_headers=headers, compression=None, ping_interval=None) as socket:
        one = Phone(socket)
        tasks = [asyncio.create_task(one.listen()), asyncio.create_task(one.beat())]
        await until(lambda: any(isinstance(frame, f.Welcome) for frame in one.heard))
        try:
            yield one
        finally:
            for task in tasks:
                task.cancel()


def direct(topology, keys: dict[int, str], one: int, other: int) -> int:
    return create(topology, keys[one], "direct", [other], "d")


def test_receipts_reach_the_author_rising_and_stay_with_the_system(running):
    topology = running.topology
    keys = tokens(topology, 101, 102, 109)
    conv = direct(topology, keys, 101, 102)

    async def scenario() -> None:
        async with phone(topology, keys[101], 0) as ann, phone(topology, keys[102], 1) as bob:
            for seq in (1, 2):
                await ann.say(f.Send(conv, seq, b"hello"))
                await until(lambda seq=seq: f.Ack(conv, seq, seq) in ann.heard)
            await until(lambda: sum(isinstance(frame, f.Message) for frame in bob.heard) == 2)
            await asyncio.sleep(0.5)
            assert ann.receipts() == [], "arrived is not shown"
            await bob.say(f.Recv(conv, 2))
            await until(lambda: ann.receipts() == [Receipt(conv, 2, 0, 102)])
            await bob.say(f.Recv(conv, 1))
            await bob.say(Read(conv, 1))
            await until(lambda: Receipt(conv, 1, 1, 102) in ann.receipts())
            await bob.say(Read(conv, 99))
            await until(lambda: Receipt(conv, 2, 1, 102) in ann.receipts())
            assert len(ann.receipts()) == 3
            assert bob.receipts() == []

    asyncio.run(scenario())
    path = f"/v1/conversations/{conv}/receipts"
    for who in (101, 102):
        found = call(topology, path, None, keys[who], "GET")
        assert found == {"receipts": [{"user": 102, "user_id": "102", "delivered": 2, "read": 2}]}
    with pytest.raises(urllib.error.HTTPError, match="404"):
        call(topology, path, None, keys[109], "GET")
    with pytest.raises(urllib.error.HTTPError, match="404"):
        call(topology, "/v1/conversations/12345/receipts", None, keys[109], "GET")


def test_an_author_who_was_away_asks_and_a_sequencer_that_died_has_forgotten_nothing(running):
    topology = running.topology
    keys = tokens(topology, 201, 202)
    conv = direct(topology, keys, 201, 202)

    async def scenario() -> None:
        async with phone(topology, keys[201], 0) as ann:
            await ann.say(f.Send(conv, 1, b"hello"))
            await until(lambda: f.Ack(conv, 1, 1) in ann.heard)
        async with phone(topology, keys[202], 1) as bob:
            await bob.say(f.Recv(conv, 1))
            await bob.say(f.Heartbeat())
            await asyncio.sleep(3)
        for service in topology.of_kind("sequencer"):
            os.kill(running.pid(service.name), signal.SIGKILL)
        path = f"/v1/conversations/{conv}/receipts"
        found = await asyncio.to_thread(call, topology, path, None, keys[201], "GET")
        assert found == {"receipts": [{"user": 202, "user_id": "202", "delivered": 1, "read": 0}]}
        async with phone(topology, keys[201], 0) as ann, phone(topology, keys[202], 1) as bob:

            async def read() -> bool:
                await bob.say(Read(conv, 1))
                await asyncio.sleep(0.3)
                return Receipt(conv, 1, 1, 202) in ann.receipts()

            async with asyncio.timeout(scaled(10)):
                while not await read():
                    pass

    asyncio.run(scenario())


def test_typing_reaches_the_other_members_and_no_one_else(running):
    topology = running.topology
    keys = tokens(topology, 301, 302, 303, 309)
    conv = create(topology, keys[301], "group", [302, 303], "typing")

    async def scenario() -> None:
        async with (
            phone(topology, keys[301], 0) as ann,
            phone(topology, keys[302], 1) as bob,
            phone(topology, keys[303], 2) as cid,
            phone(topology, keys[309], 0) as eve,
        ):
            await ann.say(f.Send(conv, 1, b"x"))  # known to all processes
            await until(lambda: f.Ack(conv, 1, 1) in ann.heard)
            await eve.say(Typing(conv, 1))
            await bob.say(Typing(conv, 1))
            await until(lambda: ann.typists() == [Typist(conv, 302, 1)])
            await until(lambda: cid.typists() == [Typist(conv, 302, 1)])
            await bob.say(Typing(conv, 0))
            await until(lambda: ann.typists()[1:] == [Typist(conv, 302, 0)])
            assert bob.typists() == eve.typists() == []

    asyncio.run(scenario())


def test_presence_across_gateways_and_the_death_of_one(running):
    topology = running.topology
    keys = tokens(topology, 401, 402, 403)

    async def scenario() -> None:
        async with phone(topology, keys[401], 0) as ann:
            await ann.say(Watch((402, 403)))
            await until(lambda: {entry.user for entry in ann.seen()} == {402, 403})
            assert {entry.state for entry in ann.seen()} == {0}
            async with phone(topology, keys[402], 1):
                took_s = await until(lambda: Seen(402, 1, 0) in ann.seen(), PERIOD_S + SLACK_S)
                print(f"online told after {took_s:.2f} s")
            left_ms = time.time() * 1000
            took_s = await until(lambda: ann.seen()[-1].state == 0, PERIOD_S + GRACE_S + SLACK_S)
            print(f"offline told after {took_s:.2f} s")
            assert took_s > GRACE_S / 2
            assert abs(ann.seen()[-1].last_seen_ms - left_ms) < 1_500
            async with phone(topology, keys[402], 1), phone(topology, keys[403], 1):
                await until(lambda: {entry.user for entry in ann.seen()[3:]} == {402, 403})
                before = len(ann.seen())
                os.kill(running.pid("gateway-2"), signal.SIGKILL)
                async with phone(topology, keys[402], 2):  # one comes back elsewhere, the other does not
                    took_s = await until(lambda: len(ann.seen()) > before, TTL_S + PERIOD_S + GRACE_S + SLACK_S)
                    print(f"the ghost left after {took_s:.2f} s")
                    assert ann.seen()[before].user == 403
                    await asyncio.sleep(GRACE_S + 2 * PERIOD_S)
                    assert [entry[:2] for entry in ann.seen()[before:]] == [(403, 0)], "the other flapped"
            query = "/v1/presence?user=401&user=403"
            found = await asyncio.to_thread(call, topology, query, None, keys[403], "GET")
            assert [(item["user"], item["online"]) for item in found["users"]] == [(401, True), (403, False)]

    asyncio.run(scenario())


def test_two_devices_of_a_user_are_one_presence_and_both_get_receipts(running):
    topology = running.topology
    wanted = {"devices": [{"user": 501, "device": 5011}, {"user": 501, "device": 5012}, {"user": 502, "device": 502}]}
    answer = call(topology, "/v1/tokens", wanted, topology.api_key)["tokens"]
    keys = {item["device"]: item["token"] for item in answer}
    conv = create(topology, keys[5011], "direct", [502], "d")

    async def scenario() -> None:
        async with phone(topology, keys[502], 0) as bob, phone(topology, keys[5011], 2) as first:
            await bob.say(Watch((501,)))
            await until(lambda: bob.seen() == [Seen(501, 1, 0)], PERIOD_S + SLACK_S)
            async with phone(topology, keys[5012], 0) as second:
                await first.say(f.Send(conv, 1, b"hello"))
                await until(lambda: f.Ack(conv, 1, 1) in first.heard)
                await bob.say(f.Recv(conv, 1))
                for device in (first, second):
                    await until(lambda device=device: device.receipts() == [Receipt(conv, 1, 0, 502)])
            await asyncio.sleep(GRACE_S + 2 * PERIOD_S)
            assert bob.seen() == [Seen(501, 1, 0)]

    asyncio.run(scenario())
