"""Two people talk, by `websockets` and the page docs/protocol.md alone: plain_client.py API_URL API_KEY."""

import asyncio
import json
import secrets
import struct
import sys
import urllib.request

from websockets.asyncio.client import connect


def call(url, bearer="", body=None):
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {bearer}", "Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=10) as answer:
        return json.load(answer)


async def expect(ws, kind):
    async for frame in ws:  # others (a NOTIFY, say) are not what this client waits for
        if frame[0] == kind:
            return frame
    raise ConnectionError(f"closed with {ws.close_code} while waiting for 0x{kind:02x}")


async def talk(api, key):
    ann, bob = secrets.randbits(40) + 1, secrets.randbits(40) + 1
    devices = [{"user": str(user), "device": str(secrets.randbits(31) + 1)} for user in (ann, bob)]
    tokens = [one["token"] for one in call(f"{api}/v1/tokens", key, {"devices": devices})["tokens"]]
    wanted = {"kind": "direct", "members": [str(bob)], "key": "first contact"}
    conv = int(call(f"{api}/v1/conversations", tokens[0], wanted)["conversation_id"])
    gateways = call(f"{api}/v1/discovery")["gateways"]
    bearers = [{"Authorization": f"Bearer {token}"} for token in tokens]
    async with (
        connect(gateways[0], additional_headers=bearers[0]) as sender,
        connect(gateways[-1], additional_headers=bearers[1]) as receiver,
    ):
        assert struct.unpack("!BQQ", (await expect(sender, 0x81))[:17]) == (0x81, ann, int(devices[0]["device"]))
        await expect(receiver, 0x81)
        await sender.send(struct.pack("!BQQ", 0x01, conv, 1) + b"hello")
        _, acked_conv, client_seq, seq = struct.unpack("!BQQQ", await expect(sender, 0x82))
        assert (acked_conv, client_seq, seq) == (conv, 1, 1)
        await receiver.send(struct.pack("!BIQQH", 0x03, 7, conv, 0, 100))  # what was notified, or not: FETCH finds it
        page = await expect(receiver, 0x86)
        assert struct.unpack_from("!IQQQH", page, 1) == (7, conv, 1, 1, 1)
        word, user, _device, client_seq, size = struct.unpack_from("!QQQQI", page, 31)
        assert (word >> 16, user, client_seq, page[67 : 67 + size]) == (1, ann, 1, b"hello")
        await receiver.send(struct.pack("!BQQ", 0x02, conv, 1))
        await receiver.send(b"\x05")
        await expect(receiver, 0x88)
    print(f"user {ann} said hello to user {bob} in conversation {conv}, number {seq}")


if __name__ == "__main__":
    asyncio.run(asyncio.wait_for(talk(sys.argv[1].rstrip("/"), sys.argv[2]), timeout=30))
