"""Devices that are added to a group while they connect, on the real embedded system: each hears of it at once.

What was acknowledged before WELCOME is in the SYNC after it, or a NOTIFY came, or SYNC says STALE. Heartbeats are 30 s
apart, so nothing else would tell them within the test.
"""

import asyncio
from typing import Any, cast

import pytest
import websockets

from sut.deploy.system import System
from sut.protocol import frames as f
from tests.kit.whole import call, create, gateways, tokens

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

OWNER = 8000
ROUNDS, AT_ONCE = 6, 24
HEARD_S = 2.0


@pytest.fixture(scope="module")
def running(silent: System) -> System:
    return silent


async def hears_of(running: System, url: str, token: str, conv: int) -> str:
    """How a device that connects now hears of the conversation; "" when it does not."""
    headers = {"Authorization": f"Bearer {token}"}
    async with websockets.connect(url, additional_headers=headers, compression=None) as socket:
        while not isinstance(f.decode_server(cast("bytes", await socket.recv())), f.Welcome):
            pass
        await socket.send(f.encode(f.Sync(1, 0, ())))
        try:
            async with asyncio.timeout(HEARD_S):
                while True:
                    frame = f.decode_server(cast("bytes", await socket.recv()))
                    if isinstance(frame, f.Notify | f.Synced) and any(entry.conv == conv for entry in frame.entries):
                        return type(frame).__name__
                    if isinstance(frame, f.Synced) and frame.flags & f.SYNCED_STALE:
                        return "stale"
        except TimeoutError:
            return ""


def test_who_is_added_while_connecting_hears_of_it(running: System) -> None:
    users = range(OWNER + 1, OWNER + 1 + ROUNDS * AT_ONCE)
    keys = tokens(running.topology, OWNER, *users)
    urls = gateways(running.topology)
    conv = create(running.topology, keys[OWNER], "group", [OWNER + 900], "while connecting")

    def add(user: int) -> dict[str, Any]:
        return call(running.topology, f"/v1/conversations/{conv}/members", {"user": user}, keys[OWNER])

    async def one(user: int, place: int) -> str:
        adding = asyncio.create_task(asyncio.to_thread(add, user))
        await asyncio.sleep(0.004 * place)
        heard = await hears_of(running, urls[place % len(urls)], keys[user], conv)
        await adding
        return heard

    async def scenario() -> list[str]:
        heard: list[str] = []
        for number in range(ROUNDS):
            some = users[number * AT_ONCE : (number + 1) * AT_ONCE]
            heard += await asyncio.gather(*(one(user, place) for place, user in enumerate(some)))
        return heard

    heard = asyncio.run(scenario())
    print({how: heard.count(how) for how in sorted(set(heard))})
    assert heard.count("") == 0
    assert heard.count("stale") <= len(heard) // 4


def test_who_is_added_and_connects_at_once_has_it_in_the_first_sync(running: System) -> None:
    """The addition is acknowledged, and the store does not have it for another tenth of a second."""
    users = range(OWNER + 501, OWNER + 521)
    keys = tokens(running.topology, OWNER, *users)
    url = gateways(running.topology)[0]
    conv = create(running.topology, keys[OWNER], "group", [OWNER + 900], "then connecting")
    heard = []
    for user in users:
        call(running.topology, f"/v1/conversations/{conv}/members", {"user": user}, keys[OWNER])
        heard.append(asyncio.run(hears_of(running, url, keys[user], conv)))
    assert set(heard) <= {"Synced", "Notify"}  # a notification may find the route of a device that came so soon
