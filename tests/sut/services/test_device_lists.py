"""Which device lists the API stores: genuine ones, a bounded step above the one before; so a thief cannot end them."""

import base64
import dataclasses

import pytest
from aiohttp.test_utils import TestClient

from sut.crypto import primitives
from sut.crypto.device_list import DeviceList, parse, signed
from sut.services.api.device_lists import MAX_STEP, why_not
from sut.services.api.keys import LISTS_BURST
from tests.sut.services.api_world import Agreeing, token, with_api

HIGHEST = (1 << 32) - 1


@dataclasses.dataclass(frozen=True)
class Person:
    """The key of a device that is its account's first."""

    private: bytes
    device: int = 11

    @property
    def key(self) -> bytes:
        return primitives.public_of(self.private)

    def listed(self, version: int, *, user: int = 1, more: tuple[tuple[int, bytes], ...] = ()) -> bytes:
        devices = DeviceList(user=user, version=version, devices=((self.device, self.key), *more))
        return signed(devices, self.private)


OWNER, THIEF = Person(bytes([7]) * 32), Person(bytes([9]) * 32, device=12)


def body(person: Person, version: int, data: bytes) -> dict:
    def text(value: bytes) -> str:
        return base64.b64encode(value).decode()

    prekey = {"number": 1, "key": text(b"k" * 32), "signature": text(b"s" * 64)}
    listed = {"version": version, "data": text(data)}
    return {"identity_key": text(person.key), "signed_prekey": prekey, "device_list": listed}


async def publish(client: TestClient, person: Person, version: int, data: bytes) -> int:
    headers = {"Authorization": f"Bearer {token(1, person.device)}"}
    answer = await client.put("/v1/keys", json=body(person, version, data), headers=headers)
    return answer.status


async def stored(client: TestClient) -> DeviceList:
    answer = await client.get("/v1/users/1/keys?one_time=no", headers={"Authorization": f"Bearer {token(2, 22)}"})
    return parse(base64.b64decode((await answer.json())["device_list"]))


def altered(listed: bytes) -> bytes:
    """The same with one bit of the signature turned."""
    return listed[:-1] + bytes([listed[-1] ^ 1])


def test_a_stolen_device_cannot_end_the_owners_lists() -> None:
    async def scenario(client: TestClient, _control: Agreeing) -> None:
        assert await publish(client, OWNER, 1, OWNER.listed(1)) == 200
        for version, data in (
            (HIGHEST, b"garbage"),
            (HIGHEST, OWNER.listed(1)),
            (HIGHEST, OWNER.listed(HIGHEST)),
            (HIGHEST, THIEF.listed(HIGHEST)),
            (2, b"garbage"),
            (2, altered(OWNER.listed(2))),
            (2, OWNER.listed(2, user=2)),
            (2, THIEF.listed(3)),
        ):
            assert await publish(client, THIEF, version, data) == 409
        assert await publish(client, OWNER, 2, OWNER.listed(2, more=((13, b"x" * 32),))) == 200
        assert [device for device, _ in (await stored(client)).devices] == [11, 13]

    with_api(scenario)


def test_a_device_may_begin_a_new_account_and_the_old_one_has_the_last_word() -> None:
    """A device of the user may say that it is the first one now (/anew). It gets a step ahead, not the last version."""

    async def scenario(client: TestClient, _control: Agreeing) -> None:
        assert await publish(client, OWNER, 1, OWNER.listed(1)) == 200
        assert await publish(client, THIEF, 1 + MAX_STEP, THIEF.listed(1 + MAX_STEP)) == 200
        assert await publish(client, OWNER, 2 + MAX_STEP, OWNER.listed(2 + MAX_STEP)) == 200
        assert (await stored(client)).account_key == OWNER.key

    with_api(scenario)


def test_lists_have_a_rate_for_each_device_and_a_repetition_costs_nothing() -> None:
    async def scenario(client: TestClient, _control: Agreeing) -> None:
        first = OWNER.listed(1)
        assert await publish(client, OWNER, 1, first) == 200
        statuses = [await publish(client, THIEF, 2, b"garbage") for _ in range(LISTS_BURST + 1)]
        assert statuses == [409] * LISTS_BURST + [429]
        for _ in range(LISTS_BURST + 5):
            assert await publish(client, OWNER, 1, first) == 200
        assert await publish(client, OWNER, 2, OWNER.listed(2)) == 200

    with_api(scenario)


def ask(data: bytes, version: int, before: bytes = b"", publisher: Person = OWNER) -> str | None:
    return why_not(data, version, before, user=1, device=publisher.device, identity_key=publisher.key)


def test_what_is_stored_and_what_is_not() -> None:
    assert ask(OWNER.listed(1), 1) is None
    assert ask(OWNER.listed(MAX_STEP), MAX_STEP) is None
    assert ask(OWNER.listed(MAX_STEP + 1), MAX_STEP + 1)
    assert ask(OWNER.listed(8), 8, OWNER.listed(7), publisher=THIEF) is None  # any of the devices passes it on
    assert ask(THIEF.listed(8), 8, OWNER.listed(7), publisher=THIEF) is None
    assert ask(THIEF.listed(8), 8, OWNER.listed(7), publisher=OWNER)
    other = Person(THIEF.private, device=99)
    assert ask(other.listed(8), 8, OWNER.listed(7), publisher=THIEF)
    assert ask(OWNER.listed(1), 1, b"garbage from before lists were checked") is None


@pytest.mark.parametrize("at", [0, 1, 9, 13, 20, -1])
def test_one_changed_byte_is_enough(at: int) -> None:
    data = bytearray(OWNER.listed(1))
    data[at] ^= 1
    assert ask(bytes(data), 1)
