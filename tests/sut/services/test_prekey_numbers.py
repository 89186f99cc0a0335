"""What the API tells a device that publishes prekeys: how many are left, and how far its numbers ever went."""

import base64

from aiohttp.test_utils import TestClient

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


async def published(client: TestClient, numbers: range, *, key: bytes = b"k") -> object:
    def text(value: bytes, size: int) -> str:
        return base64.b64encode(value.ljust(size, b"\0")).decode()

    body = {
        "identity_key": text(b"i", 32),
        "signed_prekey": {"number": 1, "key": text(b"k", 32), "signature": text(b"s", 64)},
        "one_time": [{"number": number, "key": text(key, 32)} for number in numbers],
    }
    answer = await client.put("/v1/keys", json=body, headers={"Authorization": f"Bearer {token(1, 11)}"})
    assert answer.status == 200, await answer.text()
    return await answer.json()


async def taken(client: TestClient) -> tuple[int, bytes] | None:
    answer = await client.get("/v1/users/1/keys", headers={"Authorization": f"Bearer {token(2, 22)}"})
    (bundle,) = (await answer.json())["devices"]
    one_time = bundle["one_time"]
    return one_time and (one_time["number"], base64.b64decode(one_time["key"]).rstrip(b"\0"))
