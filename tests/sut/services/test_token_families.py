"""Tokens of one login: refreshed for 30 days at most, taken back together; and who takes a place in that list."""

import time

from aiohttp.test_utils import TestClient

from sut.ports import Revocation, RevocationPage, Unavailable
from sut.process.revoked import Revoked
from sut.protocol.tokens import LOGIN_S, issue, prove
from sut.services.api.devices import PLACES_BURST
from tests.sut.services.api_world import API_KEY, KEY, Agreeing, token, with_api

DAY_S = 86_400


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


def of_login(ago_s: float, *, user: int = 1, device: int = 11) -> str:
    """A token that was just refreshed, of a login so long ago."""
    now_s = time.time()
    return issue(KEY, user, device, 3600, now_s, login_s=int(now_s - ago_s))


async def refreshed(client: TestClient, text: str) -> tuple[int, dict]:
    answer = await client.post("/v1/tokens/refresh", headers=bearer(text))
    return answer.status, await answer.json()


def test_a_refresh_prolongs_no_login_beyond_thirty_days() -> None:
    async def scenario(client: TestClient, _control: Agreeing) -> None:
        status, fresh = await refreshed(client, of_login(0))
        assert (status, prove(fresh["token"], KEY).device) == (200, 11)
        assert fresh["expires"] - time.time() > 0.9 * DAY_S
        status, last = await refreshed(client, of_login(LOGIN_S - 600))
        assert status == 200
        assert last["expires"] - time.time() <= 600
        assert prove(last["token"], KEY).login_s < time.time() - LOGIN_S + 700
        status, said = await refreshed(client, of_login(LOGIN_S))
        assert (status, said["error"]) == (401, "the login is 30 days old: log in again")

    with_api(scenario)


def test_a_refreshed_token_stays_in_the_family_that_is_taken_back() -> None:
    """The thief refreshes at a process that has not heard yet: the new token is of the same login, and void too."""

    async def scenario(client: TestClient, _control: Agreeing) -> None:
        theirs = of_login(100)
        _, again = await refreshed(client, theirs)
        answer = await client.delete("/v1/devices/11/tokens", headers=bearer(of_login(50)))
        assert answer.status == 200
        at_s = (await answer.json())["at"]
        later = issue(KEY, 1, 11, 3600, at_s + 5, login_s=prove(theirs, KEY).login_s)
        for text in (theirs, again["token"], later):
            assert (await refreshed(client, text))[0] == 401
        anew = issue(KEY, 1, 11, 3600, time.time(), login_s=at_s + 1)  # a login after it
        assert (await refreshed(client, anew))[0] == 200

    with_api(scenario, Revoked(keep_s=LOGIN_S))


def test_a_token_without_a_login_counts_as_one() -> None:
    import jwt

    now_s = int(time.time())
    text = jwt.encode({"sub": "1", "dev": 11, "iat": now_s, "exp": now_s + 60}, KEY, algorithm="HS256")
    assert prove(text, KEY).login_s == now_s


async def revoked(client: TestClient, device: int, text: str) -> int:
    return (await client.delete(f"/v1/devices/{device}", headers=bearer(text))).status


def test_one_token_takes_few_places_for_devices_that_were_never_registered() -> None:
    known = Revoked(keep_s=LOGIN_S)

    async def scenario(client: TestClient, _control: Agreeing) -> None:
        thief = token(1, 11)
        statuses = [await revoked(client, device, thief) for device in range(1000, 1050)]
        assert statuses == [200] * PLACES_BURST + [429] * (50 - PLACES_BURST)
        assert (await client.delete("/v1/devices/2000/tokens", headers=bearer(thief))).status == 429
        assert len(known) == PLACES_BURST
        assert not any(known.is_void(user, device, 0) for user in (2, 3) for device in range(1000, 1050))
        assert await revoked(client, 1000, token(2, 21)) == 200  # another user is not concerned
        await register(client, 12, user=1)
        await register(client, 13, user=2)
        assert await revoked(client, 13, thief) == 404
        assert await revoked(client, 12, thief) == 200  # nor is a registered device

    with_api(scenario, known)


async def register(client: TestClient, device: int, *, user: int) -> None:
    body = {"devices": [{"user": user, "device": device, "push": None}]}
    answer = await client.post("/v1/devices", json=body, headers=bearer(API_KEY))
    assert answer.status == 200, await answer.text()


class Full:
    """A list without room."""

    generation = 1

    def __init__(self) -> None:
        self.taken: list[Revocation] = []

    async def revoke(self, revocations: list[Revocation], *, now_s: int, always: bool = False) -> None:
        if not always:
            raise Unavailable("the list is full")
        self.taken += revocations

    async def since(self, position: int) -> RevocationPage:
        return RevocationPage(position, False, ())


def test_a_full_list_never_refuses_the_owner_of_a_registered_device() -> None:
    full = Full()
    known = Revoked(full, keep_s=LOGIN_S)

    async def scenario(client: TestClient, _control: Agreeing) -> None:
        await register(client, 12, user=1)
        assert await revoked(client, 11, token(1, 11)) == 503
        assert await revoked(client, 12, token(1, 13)) == 200
        assert [(one.user, one.device) for one in full.taken] == [(1, 12)]

    with_api(scenario, known)
