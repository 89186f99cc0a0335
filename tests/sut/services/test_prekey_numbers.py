"""What the API tells a device that publishes prekeys: how many are left, and how far its numbers ever went."""

import base64
import time
from pathlib import Path

from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient

from sut.process.trace import RECORD, Hop
from tests.sut.services.api_world import Agreeing, token, with_api


def test_a_device_that_was_put_back_hears_how_far_its_numbers_went() -> None:
    """Numbers up to there are never taken again, whatever key comes with them."""

    async def scenario(client: TestClient, _control: Agreeing) -> None:
        assert await published(client, range(0)) == {"one_time": 0, "highest": 0}
        assert await published(client, range(2, 5)) == {"one_time": 3, "highest": 4}
        assert await published(client, range(2, 5)) == {"one_time": 3, "highest": 4}
        first = await taken(client)
        assert await published(client, range(2, 5), key=b"another") == {"one_time": 2, "highest": 4}
        assert await published(client, range(5, 6), key=b"another") == {"one_time": 3, "highest": 5}
        found = [first, *[await taken(client) for _ in range(3)]]
        assert found == [(2, b"k"), (3, b"k"), (4, b"k"), (5, b"another")]
        assert await taken(client) is None

    with_api(scenario)


def test_a_number_ahead_of_the_clock_is_not_taken_and_the_next_one_has_room() -> None:
    """Otherwise one request with number 2^32 - 1 would be the last one-time prekey that the device ever publishes."""

    async def scenario(client: TestClient, _control: Agreeing) -> None:
        now_s = int(time.time())
        for number in ((1 << 32) - 1, now_s + 1000):
            answer = await publish(client, range(number, number + 1))
            assert answer.status == 429
            assert "not taken yet" in (await answer.json())["error"]
        assert await published(client, range(1, 3)) == {"one_time": 2, "highest": 2}
        assert await published(client, range(now_s - 10, now_s - 9)) == {"one_time": 3, "highest": now_s - 10}
        assert await published(client, range(now_s - 9, now_s - 5)) == {"one_time": 7, "highest": now_s - 6}

    with_api(scenario)


def test_keys_that_are_published_and_taken_are_stamped(tmp_path: Path) -> None:
    async def scenario(client: TestClient, _control: Agreeing) -> None:
        await published(client, range(5, 7))
        assert await taken(client) == (5, b"k")
        await client.get("/v1/users/1/keys?one_time=no", headers={"Authorization": f"Bearer {token(2, 22)}"})

    path = tmp_path / "trace-api-1.bin"
    with_api(scenario, traced=path)
    stamps = [(Hop(hop), device, of, seq) for _, device, of, _, seq, hop in RECORD.iter_unpack(path.read_bytes())]
    assert stamps[1:] == [
        (Hop.KEYS_PUBLISHED, 11, 0, 2), (Hop.KEYS_TAKEN, 22, 11, 5), (Hop.KEYS_TAKEN, 22, 11, 0),
    ]  # fmt: skip


async def published(client: TestClient, numbers: range, *, key: bytes = b"k") -> object:
    answer = await publish(client, numbers, key=key)
    assert answer.status == 200, await answer.text()
    return await answer.json()


async def publish(client: TestClient, numbers: range, *, key: bytes = b"k") -> ClientResponse:
    def text(value: bytes, size: int) -> str:
        return base64.b64encode(value.ljust(size, b"\0")).decode()

    body = {
        "identity_key": text(b"i", 32),
        "signed_prekey": {"number": 1, "key": text(b"k", 32), "signature": text(b"s", 64)},
        "one_time": [{"number": number, "key": text(key, 32)} for number in numbers],
    }
    return await client.put("/v1/keys", json=body, headers={"Authorization": f"Bearer {token(1, 11)}"})


async def taken(client: TestClient) -> tuple[int, bytes] | None:
    answer = await client.get("/v1/users/1/keys", headers={"Authorization": f"Bearer {token(2, 22)}"})
    (bundle,) = (await answer.json())["devices"]
    one_time = bundle["one_time"]
    return one_time and (one_time["number"], base64.b64decode(one_time["key"]).rstrip(b"\0"))
