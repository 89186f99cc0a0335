"""A device that breaks every rule of the wire, at a real gateway: the documented end, no more memory, others served."""

import asyncio
import random
import struct

import pytest

from sut.protocol.frames import MAX_BODY, MAX_FRAME, Close, Heartbeat, Send, encode
from sut.protocol.websocket import unmask
from tests.kit.waits import until
from tests.security import fuzz
from tests.security.targets import FROM_DEVICE
from tests.sut.gateway.test_bad_input import assert_alive
from tests.sut.gateway.world import World, in_world

MASK = b"\x11\x22\x33\x44"


def frame(first: int, payload: bytes = b"", *, size: int | None = None) -> bytes:
    """A masked frame; `size` lies about its length."""
    size = len(payload) if size is None else size
    if size < 126:
        head = struct.pack("!BB", first, 0x80 | size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", first, 0xFE, size)
    else:
        head = struct.pack("!BBQ", first, 0xFF, size)
    return head + MASK + unmask(payload, MASK)


PING = frame(0x89, b"ping")
BIG = encode(Send(1, 1, bytes(MAX_BODY)))
HALF = frame(0x02, b"\x05")
ENDS = {
    "unmasked": (b"\x82\x01\x05", Close.PROTOCOL),
    "unmasked ping": (b"\x89\x00", Close.PROTOCOL),
    "text": (frame(0x81, b"\x05"), Close.TEXT),
    "reserved bit": (frame(0xC2, b"\x05"), Close.PROTOCOL),
    "opcode 3": (frame(0x83), Close.PROTOCOL),
    "opcode B": (frame(0x8B), Close.PROTOCOL),
    "long length": (struct.pack("!BBQ", 0x82, 0xFF, 5) + MASK + bytes(5), Close.PROTOCOL),
    "length with its top bit": (struct.pack("!BBQ", 0x82, 0xFF, 1 << 63) + MASK, Close.TOO_BIG),
    "length of all ones": (struct.pack("!BBQ", 0x82, 0xFF, (1 << 64) - 1) + MASK, Close.TOO_BIG),
    "one byte too many": (frame(0x82, bytes(MAX_FRAME + 1)), Close.TOO_BIG),
    "too many in pieces": (frame(0x02, bytes(MAX_FRAME)) + frame(0x80, b"x"), Close.TOO_BIG),
    "too many in small pieces": (frame(0x02) + frame(0x00, bytes(120)) * 140, Close.TOO_BIG),
    "ping over 125": (frame(0x89, bytes(126)), Close.PROTOCOL),
    "fragmented ping": (frame(0x09, b"x"), Close.PROTOCOL),
    "fragmented close": (frame(0x08, b""), Close.PROTOCOL),
    "continuation of nothing": (frame(0x80, b"x"), Close.PROTOCOL),
    "message within a message": (HALF + frame(0x82, b"\x05"), Close.PROTOCOL),
    "text within a message": (HALF + frame(0x81, b"\x05"), Close.TEXT),
    "close of one byte": (frame(0x88, b"\x03"), Close.PROTOCOL),
    "close with a code that nobody may send": (frame(0x88, struct.pack("!H", 1006)), Close.PROTOCOL),
    "close reason not UTF-8": (frame(0x88, struct.pack("!H", 1000) + b"\xff"), 1007),
    "empty message": (frame(0x82), Close.MALFORMED),
    "a gateway's frame": (frame(0x82, b"\x88\x01"), Close.MALFORMED),
    "unknown type": (frame(0x82, b"\x7f"), Close.MALFORMED),
    "body too large": (frame(0x82, encode(Send(1, 1, bytes(MAX_BODY + 1)))), Close.MALFORMED),
}


@pytest.mark.parametrize(("stream", "code"), ENDS.values(), ids=ENDS)
def test_who_breaks_the_wire_gets_its_code_whatever_surrounds_it(tmp_path, stream, code):
    async def scenario(world: World) -> None:
        for before, after in ((b"", b""), (PING * 3, frame(0x82, b"\x05") * 20)):
            reader, writer = await world.raw()
            writer.write(before + stream + after)
            async with asyncio.timeout(4):
                said = await reader.read()
            assert struct.pack("!H", code) in said[said.rindex(b"\x88") :]
            assert said.count(b"\x8a\x04ping") == before.count(PING)
            assert b"\x88\x00" not in said.partition(struct.pack("!H", code))[2]  # nothing after the end
            writer.close()
        await world.wait_until_stat("connections", lambda n: n == 0)
        await assert_alive(world)

    in_world(scenario, tmp_path)


def test_control_frames_may_come_within_a_message_and_are_answered_in_order(tmp_path):
    async def scenario(world: World) -> None:
        reader, writer = await world.raw()
        pieces = [BIG[start : start + 500] for start in range(0, len(BIG), 500)]
        stream = b"".join(
            frame(0x02 if number == 0 else 0x80 if number == len(pieces) - 1 else 0x00, piece)
            + frame(0x89, b"%d" % number)
            for number, piece in enumerate(pieces)
        )
        for start in range(0, len(stream), 97):  # whatever the network's cuts
            writer.write(stream[start : start + 97])
            await asyncio.sleep(0)
        for number in range(len(pieces)):
            await reader.readuntil(b"\x8a" + bytes([len(b"%d" % number)]) + b"%d" % number)
        await until(lambda: world.forwarded)
        assert [one.body for one in world.forwarded] == [bytes(MAX_BODY)]
        writer.close()

    in_world(scenario, tmp_path)


@pytest.mark.parametrize("kind", ["heartbeats", "pings", "pongs", "empty pieces", "sends"])
def test_a_flood_costs_others_nothing_and_leaves_no_memory(tmp_path, kind):
    floods = {
        "heartbeats": frame(0x82, encode(Heartbeat())),
        "pings": PING,
        "pongs": frame(0x8A, b"unasked"),
        "empty pieces": frame(0x00),
        "sends": frame(0x82, encode(Send(1, 1, b"x" * 100))),
    }

    async def scenario(world: World) -> None:
        flood = floods[kind] * (100_000 // len(floods[kind]))
        reader, writer = await world.raw(66, 66)
        reading = asyncio.create_task(swallow(reader))
        writer.write(HALF if kind == "empty pieces" else b"")
        before = (await world.stats())["rss_bytes"]
        async with world.device(1, 11) as other:
            for _ in range(20):
                writer.write(flood)
                await writer.drain()
                async with asyncio.timeout(2):
                    await other.ask(Heartbeat())
        assert len(world.forwarded) <= 2_000 * 4  # the limit of a device, for as long as this took
        assert (await world.stats())["rss_bytes"] - before < 20 << 20
        writer.close()
        reading.cancel()

    in_world(scenario, tmp_path)


async def swallow(reader: asyncio.StreamReader) -> None:
    while await reader.read(1 << 16):
        pass


def test_noise_at_a_real_socket_ends_each_connection_and_nothing_else(tmp_path):
    async def scenario(world: World) -> None:
        rng = random.Random(7)

        async def one(number: int) -> None:
            reader, writer = await world.raw(number + 1, number + 1)
            writer.write(fuzz.wrapped(FROM_DEVICE, rng) + rng.randbytes(rng.randrange(200)))
            writer.write_eof()
            async with asyncio.timeout(5):
                await reader.read()
            writer.close()

        for start in range(0, 300, 50):
            await asyncio.gather(*(one(number) for number in range(start, start + 50)))
        await world.wait_until_stat("connections", lambda n: n == 0)
        await assert_alive(world)

    in_world(scenario, tmp_path)
