"""Groups that one user makes, and additions of one victim by one user, are bounded."""

from aiohttp.test_utils import TestClient

from sut.services.api.http import ADDITIONS_BURST, GROUPS_BURST
from tests.sut.services.api_world import Agreeing, token, with_api


async def group(client: TestClient, user: int, key: str, members: list[int]) -> int:
    body = {"kind": "group", "members": members, "key": key}
    headers = {"Authorization": f"Bearer {token(user, user)}"}
    return (await client.post("/v1/conversations", json=body, headers=headers)).status


async def add(client: TestClient, by: int, conv: int, user: int) -> int:
    headers = {"Authorization": f"Bearer {token(by, by)}"}
    return (await client.post(f"/v1/conversations/{conv}/members", json={"user": user}, headers=headers)).status


def test_one_user_makes_groups_at_a_bounded_rate() -> None:
    async def scenario(client: TestClient, control: Agreeing) -> None:
        statuses = [await group(client, 1, f"k{n}", [1_000 + n]) for n in range(GROUPS_BURST + 20)]
        assert statuses[:GROUPS_BURST] == [201] * GROUPS_BURST
        assert statuses.count(429) >= 10
        assert len(control.asked) == statuses.count(201)
        assert await group(client, 2, "k", [1]) == 201
        direct = {"kind": "direct", "members": [5], "key": "d"}
        headers = {"Authorization": f"Bearer {token(1, 1)}"}
        assert (await client.post("/v1/conversations", json=direct, headers=headers)).status == 201

    with_api(scenario)


def test_one_user_puts_another_into_groups_at_a_bounded_rate() -> None:
    victim = 9

    async def scenario(client: TestClient, _control: Agreeing) -> None:
        made = [await group(client, 1, f"k{n}", [victim]) for n in range(ADDITIONS_BURST - 10)]
        added = [await add(client, 1, 100 + n, victim) for n in range(20)]
        assert made == [201] * len(made)
        assert added[:10] == [200] * 10
        assert added.count(429) >= 5
        assert await group(client, 1, "more", [victim, 10]) == 429
        assert await add(client, 1, 100, 10) == 200  # others may be added
        assert await add(client, 2, 100, victim) == 200  # and by others

    with_api(scenario)
