"""Groups that one user makes, and additions of one victim, are bounded; and a person may refuse to be added."""

from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient

from sut.adapters.sqlite.devices import SqliteDevices
from sut.protocol.frames import Nack
from sut.services.api.additions import ADDITIONS_BURST, GROUPS_BURST, VICTIM_BURST, Additions
from sut.services.api.control import Denied
from sut.services.api.errors import ProblemError
from sut.services.api.model import HistoryPage, Member, MemberList, Settings
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


def test_many_users_together_put_one_into_groups_at_a_bounded_rate() -> None:
    victim = 9

    async def scenario(client: TestClient, _control: Agreeing) -> None:
        users = range(100, 100 + VICTIM_BURST // ADDITIONS_BURST * 2)
        statuses = [await add(client, by, 1_000 + n, victim) for by in users for n in range(ADDITIONS_BURST - 10)]
        assert statuses[:VICTIM_BURST] == [200] * VICTIM_BURST
        assert statuses.count(429) >= 100
        assert await add(client, 100, 7, 10) == 200, "others may be added"

    with_api(scenario)


async def set_added_by(client: TestClient, user: int, who: object) -> int:
    headers = {"Authorization": f"Bearer {token(user, user)}"}
    return (await client.put("/v1/settings", json={"added_by": who}, headers=headers)).status


async def added_by(client: TestClient, user: int) -> str:
    answer = await client.get("/v1/settings", headers={"Authorization": f"Bearer {token(user, 10 * user)}"})
    return (await answer.json())["added_by"]


def test_who_refuses_is_added_to_no_group_until_they_allow_it() -> None:
    async def scenario(client: TestClient, control: Agreeing) -> None:
        assert await added_by(client, 9) == "anybody"
        assert await set_added_by(client, 9, "nobody") == 200
        assert await added_by(client, 9) == "nobody"
        assert await added_by(client, 8) == "anybody"
        assert await add(client, 1, 100, 9) == 403
        assert await group(client, 1, "k", [8, 9]) == 403
        assert control.asked == [], "nothing reaches the log"
        assert await add(client, 1, 100, 8) == 200
        assert await group(client, 9, "mine", [8]) == 201, "who refuses may make groups"
        direct = {"kind": "direct", "members": ["9"], "key": "d"}
        headers = {"Authorization": f"Bearer {token(1, 1)}"}
        assert (await client.post("/v1/conversations", json=direct, headers=headers)).status == 201
        assert await set_added_by(client, 9, "anybody") == 200
        assert await add(client, 1, 100, 9) == 200
        for wrong in ("somebody", None, 1):
            assert await set_added_by(client, 9, wrong) == 400

    with_api(scenario)


async def test_the_repetition_of_an_addition_that_was_carried_out_is_not_refused(tmp_path: Path) -> None:
    """Somebody is added, the answer is lost, they refuse from then on: the repetition must not say that nothing was
    done.
    """

    class Holding:
        async def members(self, _conv: int, _user: int) -> MemberList:
            return MemberList("group", "members", [Member(9, "9", "member", 3)])

    devices = SqliteDevices(tmp_path, 8)
    try:
        additions = Additions(devices, Holding())  # type: ignore[arg-type]
        await additions.change(9, Settings("nobody"))
        await additions.change(8, Settings("nobody"))
        await additions.check(5, 1, (9,))
        with pytest.raises(ProblemError, match="user 8 does not want to be added to groups"):
            await additions.check(5, 1, (8, 9))
    finally:
        await devices.close()


async def test_the_repetition_of_a_creation_is_not_refused_whoever_has_left_since(tmp_path: Path) -> None:
    """The answer is lost, a member leaves and refuses from then on, or the creator has left: it is the same group."""

    class Left:
        async def members(self, _conv: int, _user: int) -> MemberList:
            raise Denied(Nack.FOREIGN)

        async def messages(self, conv: int, user: int, *, before: int, limit: int) -> HistoryPage:
            assert limit
            if (conv, user) != (5, 1):
                raise Denied(Nack.FOREIGN)
            return HistoryPage(0, before, [])

    devices = SqliteDevices(tmp_path, 8)
    try:
        additions = Additions(devices, Left())  # type: ignore[arg-type]
        await additions.change(9, Settings("nobody"))
        await additions.check_group(5, 1, (8, 9))
        await additions.check_willing([(5, 1, (8, 9))])
        with pytest.raises(ProblemError, match="user 9 does not want to be added to groups"):
            await additions.check_group(6, 1, (8, 9))
        with pytest.raises(ProblemError, match="user 9 does not want to be added to groups"):
            await additions.check(5, 1, (9,))
    finally:
        await devices.close()
