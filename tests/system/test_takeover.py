"""A sequencer is dead and stays dead, on the real embedded system: people talk on, with the numbers that follow."""

import asyncio
import os
import signal
from typing import cast

import pytest
import websockets

from sut.deploy.system import System
from sut.process.partitioning import partition_of
from sut.protocol import frames as f
from tests.kit.pace import scaled
from tests.kit.waits import Deadline, wait_until
from tests.kit.whole import create, gateways, tokens

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

ANN, BOB = 7101, 7102
WITHIN_S = 5.0


@pytest.fixture(scope="module")
def running(silent: System) -> System:
    return silent


class Device:
    """A device's socket."""

    def __init__(self, socket: websockets.ClientConnection) -> None:
        self._socket = socket

    async def send(self, frame: f.ClientFrame) -> None:
        await self._socket.send(f.encode(frame))

    async def hear(self, *kinds: type) -> f.ServerFrame:
        """The next frame of one of these kinds. Raises TimeoutError."""
        async with asyncio.timeout(scaled(WITHIN_S)):
            while True:
                frame = f.decode_server(cast("bytes", await self._socket.recv()))
                if isinstance(frame, kinds):
                    return frame


def connect(url: str, token: str) -> websockets.connect:
    return websockets.connect(url, additional_headers={"Authorization": f"Bearer {token}"}, compression=None)


async def say(running: System, keys: dict[int, str], conv: int, client_seq: int) -> tuple[int, list[bytes]]:
    """Ann says something, and Bob is told and fetches all. The number of it, and the bodies that Bob has then."""
    urls = gateways(running.topology)
    async with connect(urls[0], keys[ANN]) as first, connect(urls[1], keys[BOB]) as second:
        ann, bob = Device(first), Device(second)
        await ann.hear(f.Welcome)
        await bob.hear(f.Welcome)
        await ann.send(f.Send(conv, client_seq, b"%d" % client_seq))
        acked = await ann.hear(f.Ack)
        assert isinstance(acked, f.Ack)
        while True:
            told = await bob.hear(f.Notify)
            assert isinstance(told, f.Notify)
            if any(entry[:2] == (conv, acked.seq) for entry in told.entries):
                break
        return acked.seq, await everything(bob, conv, up_to=acked.seq)


async def everything(device: Device, conv: int, *, up_to: int) -> list[bytes]:
    """The bodies of a conversation: what the store has, then what only a sequencer has yet.

    Asks again, as any device does, when the one that is asked is a moment behind the one that told of the message.
    """
    bodies: list[bytes] = []
    after = 0
    deadline = Deadline(WITHIN_S)
    while after < up_to:
        deadline.check()
        await device.send(f.Fetch(1, conv, after, 50))
        page = await device.hear(f.Page, f.Error)
        assert isinstance(page, f.Page), page
        bodies += [message.body for message in page.messages if not message.flags]
        after = max(after, page.through)
    return bodies


async def whole_sync(running: System, token: str) -> set[tuple[int, int]]:
    """The heads of a SYNC that is not STALE. Asks until there is one."""
    async with connect(gateways(running.topology)[2], token) as socket, asyncio.timeout(scaled(WITHIN_S)):
        device = Device(socket)
        await device.hear(f.Welcome)
        while True:
            await device.send(f.Sync(1, 0, ()))
            synced = await device.hear(f.Synced)
            assert isinstance(synced, f.Synced)
            if not synced.flags & f.SYNCED_STALE:
                return {entry[:2] for entry in synced.entries}
            await asyncio.sleep(0.1)


def conversations(running: System, token: str) -> dict[str, int]:
    """A group in a partition of each sequencer, by the sequencer's name."""
    found: dict[str, int] = {}
    for number in range(40):
        conv = create(running.topology, token, "group", [BOB], f"takeover {number}")
        partition = partition_of(conv, running.topology.settings.partitions)
        found.setdefault(running.topology.sequencer_of(partition).name, conv)
    return found


def test_what_a_dead_sequencer_owned_goes_on_and_comes_back_to_it(running: System) -> None:
    keys = tokens(running.topology, ANN, BOB)
    convs = conversations(running, keys[ANN])
    client_seq = 0
    said: dict[int, list[bytes]] = {conv: [] for conv in convs.values()}

    def everybody_talks() -> None:
        nonlocal client_seq
        for conv, before in said.items():
            client_seq += 1
            before.append(b"%d" % client_seq)
            assert asyncio.run(say(running, keys, conv, client_seq)) == (len(before), before)

    everybody_talks()
    for victim in sorted(convs):
        pid = running.pid(victim)
        assert pid is not None
        running.hold(victim)
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda victim=victim: running.pid(victim) is None)  # type: ignore[misc]
        everybody_talks()
        everybody_talks()
        heads = asyncio.run(whole_sync(running, keys[BOB]))
        assert {(conv, len(before)) for conv, before in said.items()} <= heads
        running.release(victim)
        wait_until(lambda: not running.problems())
        everybody_talks()
