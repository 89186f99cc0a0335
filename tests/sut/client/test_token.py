"""A token that was given by hand: the client keeps it alive, whatever its machine's clock says."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine

import pytest
from aiohttp.test_utils import TestClient

from sut.client.errors import ApiProblem
from sut.client.service import api as client_api
from sut.client.service.api import Access, Api
from sut.protocol.tokens import prove
from tests.sut.services.api_world import KEY, Agreeing, token, with_api


class Clock:
    """The wall clock of the client's machine."""

    def __init__(self, ahead_s: float = 0.0) -> None:
        self.ahead_s = ahead_s

    def time(self) -> float:
        return time.time() + self.ahead_s


def with_client(given: str, scenario: Callable[[Api], Coroutine[None, None, None]]) -> None:
    """Run a scenario with a client of the device 11 of user 1 that has this token alone."""

    async def live(client: TestClient, _control: Agreeing) -> None:
        access = Access(str(client.make_url("")).rstrip("/"), token=given, device=11)
        async with Api(access, user=1, device=11) as api:
            await scenario(api)

    with_api(live)


def test_a_token_that_was_given_is_refreshed_at_the_first_use_and_at_half_its_life(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock()
    monkeypatch.setattr(client_api, "time", clock)
    given = token(1, 11, now_s=time.time() - 30)

    async def scenario(api: Api) -> None:
        first = await api.token()
        assert first != given
        assert prove(first, KEY).login_s == prove(given, KEY).login_s
        clock.ahead_s = client_api.LATEST_S - 10
        assert await api.token() == first
        clock.ahead_s = client_api.LATEST_S + 10
        await asyncio.sleep(1.1 - time.time() % 1)  # tokens count in whole seconds
        assert await api.token() != first

    with_client(given, scenario)


@pytest.mark.parametrize("days", [-400, 400])
def test_a_clock_that_is_wrong_by_a_year_neither_refreshes_all_the_time_nor_never(
    monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    clock = Clock(days * 86_400)
    monkeypatch.setattr(client_api, "time", clock)

    async def scenario(api: Api) -> None:
        first = await api.token()
        await asyncio.sleep(1.1 - time.time() % 1)
        assert await api.token() == first
        clock.ahead_s += client_api.LATEST_S + 1
        assert await api.token() != first

    with_client(token(1, 11), scenario)


def test_a_clock_that_is_set_back_meanwhile_does_not_end_the_refreshing(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would not be due before the clock has caught up, and the token ends before that."""
    clock = Clock()
    monkeypatch.setattr(client_api, "time", clock)

    async def scenario(api: Api) -> None:
        first = await api.token()
        clock.ahead_s = -3 * 86_400
        await asyncio.sleep(1.1 - time.time() % 1)
        second = await api.token()
        assert second != first
        assert await api.token() == second

    with_client(token(1, 11), scenario)


def test_a_token_that_is_refused_is_kept_and_whoever_uses_it_hears_why() -> None:
    given = token(1, 11, now_s=time.time() - 600)

    async def scenario(api: Api) -> None:
        assert await api.token() == given
        with pytest.raises(ApiProblem, match="start again with a new --token"):
            await api.token(fresh=True)

    with_client(given, scenario)
