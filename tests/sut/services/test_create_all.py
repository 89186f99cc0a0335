"""The operator creates many conversations at once: one append a partition, and each as if its creator had made it."""

import asyncio
from collections.abc import Sequence

import pytest
from aiohttp.test_utils import TestClient

from sut.ports import Kind, LogRecord, Unavailable
from sut.process.partitioning import partition_of
from sut.protocol.frames import Ack, Nack, Refused, encode
from sut.protocol.peer import Deliver, Poke
from sut.services.api import control as controls
from sut.services.api.control import Control, Creation, Denied
from sut.services.api.model import MAX_MADE
from tests.sut.services.api_world import API_KEY, TOPOLOGY, Agreeing, token, with_api

PARTITIONS = 4


async def create_all(client: TestClient, *wanted: object, key: str = API_KEY) -> tuple[int, dict]:
    headers = {"Authorization": f"Bearer {key}"}
    answer = await client.post("/v1/conversations/bulk", json={"conversations": list(wanted)}, headers=headers)
    return answer.status, await answer.json()


def direct(creator: int, other: int) -> dict[str, object]:
    return {"kind": "direct", "creator": str(creator), "members": [str(other)], "key": "d"}


def group(creator: int, *others: int, key: str = "g") -> dict[str, object]:
    members = [str(user) for user in (creator, *others)]
    return {"kind": "group", "creator": str(creator), "members": members, "key": key}


def test_each_is_made_as_its_creator_would_make_it() -> None:
    async def scenario(client: TestClient, control: Agreeing) -> None:
        status, made = await create_all(client, direct(1, 2), group(3, 4, 5), group(4, 5) | {"adding": "admins"})
        bulk = list(control.asked)
        control.asked.clear()
        alone = []
        for wanted in (direct(1, 2), group(3, 4, 5), group(4, 5) | {"adding": "admins"}):
            creator = int(str(wanted.pop("creator")))
            headers = {"Authorization": f"Bearer {token(creator, creator)}"}
            answer = await client.post("/v1/conversations", json=wanted, headers=headers)
            alone.append(await answer.json())
        assert (status, made["conversations"], bulk) == (201, alone, control.asked)

    with_api(scenario)


def test_only_the_operator_may() -> None:
    async def scenario(client: TestClient, control: Agreeing) -> None:
        for key in (token(1, 1), "another key"):
            assert (await create_all(client, direct(1, 2), key=key))[0] == 401
        assert not control.asked

    with_api(scenario)


def test_one_that_cannot_be_keeps_all_from_being_made() -> None:
    async def scenario(client: TestClient, control: Agreeing) -> None:
        cap = TOPOLOGY.settings.group_cap
        assert (await create_all(client, direct(1, 2), group(3, *range(10, 10 + cap))))[0] == 409
        assert (await create_all(client, direct(1, 2), direct(3, 3)))[0] == 409
        headers = {"Authorization": f"Bearer {token(9, 9)}"}
        await client.put("/v1/settings", json={"added_by": "nobody"}, headers=headers)
        status, answer = await create_all(client, direct(1, 2), group(3, 4, 9))
        assert (status, answer["error"]) == (403, "user 9 does not want to be added to groups")
        assert not control.asked
        assert (await create_all(client, direct(1, 9), group(9, 4)))[0] == 201, "nobody adds them to a group there"

    with_api(scenario)


def test_the_number_of_one_request_is_bounded() -> None:
    async def scenario(client: TestClient, _control: Agreeing) -> None:
        assert (await create_all(client, *(direct(1, 2) for _ in range(MAX_MADE))))[0] == 201
        assert (await create_all(client, *(direct(1, 2) for _ in range(MAX_MADE + 1))))[0] == 400
        assert (await create_all(client))[0] == 400

    with_api(scenario)


class Sequencers:
    """A log that keeps the appends, and sequencers that answer each record once they are poked."""

    def __init__(self) -> None:
        self.appends: list[tuple[int, list[LogRecord]]] = []
        self.denied: set[int] = set()
        self.answers, self.fails = True, False
        self.control = Control(
            node="api-1",
            incarnation=1,
            message_log=self,  # type: ignore[arg-type]
            sequencers=dict.fromkeys(range(PARTITIONS), self),  # type: ignore[arg-type]
        )

    async def append(self, partition: int, records: Sequence[LogRecord]) -> list[int]:
        await asyncio.sleep(0)
        if self.fails:
            raise Unavailable("the log is away")
        self.appends.append((partition, list(records)))
        return []

    def send(self, frame: Poke) -> None:
        for record in next(its for partition, its in self.appends if partition == frame.partition):
            no = record.conv in self.denied
            answer = Refused(record.conv, 0, Nack.REUSED) if no else Ack(record.conv, 0, 0)
            if self.answers and record.origin is not None:
                self.control._answered(Deliver((record.origin.conn,), encode(answer)))


def creations(count: int) -> list[Creation]:
    return [Creation(100 + number, 7, "g", (7, number + 10)) for number in range(count)]


def test_a_partition_gets_one_append_and_every_answer_is_awaited() -> None:
    world, wanted = Sequencers(), creations(50)
    asyncio.run(world.control.create(wanted))
    assert len(world.appends) == len({partition for partition, _ in world.appends})
    for partition, records in world.appends:
        mine = [made for made in wanted if partition_of(made.conv, PARTITIONS) == partition]
        assert [(r.kind, r.conv, r.user, r.body, r.members) for r in records] == [
            (Kind.CREATE, made.conv, made.creator, b"g", made.members) for made in mine
        ]
    assert sum(len(records) for _, records in world.appends) == 50
    assert not world.control._waiting


def test_the_first_refusal_is_told_after_all_have_their_answers() -> None:
    world = Sequencers()
    world.denied = {105, 117}
    with pytest.raises(Denied):
        asyncio.run(world.control.create(creations(50)))
    assert not world.control._waiting


def test_no_answer_and_no_log_are_an_unknown_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controls, "ANSWER_TIMEOUT_S", 0.05)
    world = Sequencers()
    world.answers = False
    with pytest.raises(Unavailable, match="no answer"):
        asyncio.run(world.control.create(creations(5)))
    world.fails = True
    with pytest.raises(Unavailable, match="the log is away"):
        asyncio.run(world.control.create(creations(5)))
    assert not world.control._waiting
    with pytest.raises(Unavailable, match="wait already"):
        asyncio.run(world.control.create(creations(controls.MAX_WAITING + 1)))
