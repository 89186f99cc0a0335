"""Groups on the whole embedded system: roles, who is told what, and history backwards, over HTTP and by frame."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
import urllib.error
from concurrent.futures import ThreadPoolExecutor

import pytest

from sut.protocol import frames as f
from tests.kit.whole import call, tokens
from tests.system.conftest import GROUP_CAP
from tests.system.test_whole_system import phone


@pytest.fixture(scope="module")
def running(talking):
    return talking


class Group:
    """A group on the running system, as its members use the HTTP API."""

    def __init__(self, topology, *users: int, key: str, adding: str = "members") -> None:
        self._topology = topology
        self.keys = tokens(topology, *users, 999)
        body = {"kind": "group", "members": list(users[1:]), "key": key, "adding": adding}
        self.conv = call(topology, "/v1/conversations", body, self.keys[users[0]])["conversation"]

    def ask(self, by: int, method: str, path: str, body: object = None) -> dict:
        return call(self._topology, f"/v1/conversations/{self.conv}/{path}", body, self.keys[by], method)

    def status(self, by: int, method: str, path: str, body: object = None) -> int:
        try:
            self.ask(by, method, path, body)
        except urllib.error.HTTPError as error:
            return error.code
        return 200

    def roles(self, by: int) -> dict[int, str]:
        return {member["user"]: member["role"] for member in self.ask(by, "GET", "members")["members"]}


def test_roles_over_http(running):
    group = Group(running.topology, 11, 12, 13, key="roles", adding="admins")
    assert group.roles(13) == {11: "owner", 12: "member", 13: "member"}
    assert group.status(12, "POST", "members", {"user": 14}) == 403
    assert group.ask(11, "PUT", "members/12", {"role": "admin"}) == {"seq": 1}
    assert group.ask(12, "POST", "members", {"user": 14}) == {"seq": 2}
    assert group.status(12, "DELETE", "members/11") == 403
    assert group.status(11, "PUT", "members/11", {"role": "member"}) == 409
    assert group.status(13, "PUT", "members/13", {"role": "owner"}) == 403
    assert group.status(11, "PUT", "members/13", {"role": "king"}) == 400
    assert group.ask(11, "DELETE", "members/11") == {"seq": 3}
    assert group.roles(12) == {12: "owner", 13: "member", 14: "member"}


def test_members_are_told_to_members_only(running):
    group = Group(running.topology, 21, 22, key="members")
    assert group.status(999, "GET", "members") == 404
    group.ask(21, "DELETE", "members/22")
    assert group.status(22, "GET", "members") == 404
    assert group.status(22, "GET", "messages") == 200
    assert group.status(999, "GET", "messages") == 404


def test_adds_at_once_never_make_a_group_larger_than_the_cap(running):
    group = Group(running.topology, 31, 32, key="cap")
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(lambda user: group.status(31 + user % 2, "POST", "members", {"user": user}), range(300, 330))
        )
    assert sorted(set(answers)) == [200, 409]
    assert answers.count(200) == GROUP_CAP - 2
    assert len(group.roles(31)) == GROUP_CAP


async def ask_history(device, conv: int, before: int, limit: int) -> f.Page:
    return await device.ask(f.History(7, conv, before, limit))


def test_history_is_cut_by_the_stay_whether_memory_or_the_store_answers(running):
    """A member sees nothing from before the join and nothing after the removal, backwards too."""
    group = Group(running.topology, 41, 42, key="history")

    async def scenario() -> None:
        writer = await phone(running.topology, group.keys[41])

        async def write(first: int, last: int) -> None:
            for client_seq in range(first, last + 1):
                await writer.ask(f.Send(group.conv, client_seq, b"%d" % client_seq))

        await write(1, 3)
        late = tokens(running.topology, 43)[43]
        assert await asyncio.to_thread(group.ask, 41, "POST", "members", {"user": 43}) == {"seq": 4}
        await write(5, 7)
        await asyncio.to_thread(group.ask, 41, "DELETE", "members/42")  # takes 8
        await write(9, 10)

        async def seen(token: str) -> tuple[list[int], int, int]:
            device = await phone(running.topology, token)
            before, numbers = 1 << 47, []
            while True:
                page = await ask_history(device, group.conv, before, 2)
                numbers = [m.seq for m in page.messages] + numbers
                assert page.through < before
                if page.through <= 1:
                    return numbers, page.through, page.head
                before = page.through

        for round_ in ("from memory", "from the store"):
            assert await seen(group.keys[41]) == (list(range(1, 11)), 1, 10), round_
            assert await seen(group.keys[42]) == (list(range(1, 8)), 1, 7), round_
            assert await seen(late) == (list(range(5, 11)), 1, 10), round_
            if round_ == "from memory":
                await asyncio.sleep(1.0)
                for service in running.topology.of_kind("sequencer"):
                    os.kill(running.pid(service.name), signal.SIGKILL)
                await asyncio.sleep(2.5)
        stranger = await phone(running.topology, group.keys[999])
        assert (await ask_history(stranger, group.conv, 9, 2)).code == f.Nack.FOREIGN
        assert await stranger.code() == f.Close.FOREIGN

    asyncio.run(scenario())
    page = group.ask(42, "GET", "messages?before=6&limit=2")
    assert (page["head"], page["through"], [m["seq"] for m in page["messages"]]) == (7, 4, [4, 5])
    assert [m["change"] for m in page["messages"]] == ["added", ""]
    assert base64.b64decode(page["messages"][1]["body"]) == b"5"
    assert group.status(42, "GET", "messages?before=x") == 400
    assert group.status(42, "GET", "messages?limit=0") == 400
