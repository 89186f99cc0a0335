"""Conversations are made as planned, and every membership change ends in the history or as a hole."""

from http import HTTPStatus
from pathlib import Path

import pytest

from load.drive.api import ApiClient
from load.drive.arrange import Changes, create_conversations, record_population
from load.history.control import ControlReader, ControlWriter, Hole
from load.history.events import Event
from load.history.writer import HistoryTail, HistoryWriter, now_ns
from load.plan import population as populations
from load.plan.changes import Change
from load.plan.population import Population
from load.workload import SwarmConfig


class World:
    """Users 1 to 12, their conversations made."""

    def __init__(self, chat, tmp_path: Path, *, give_up_s: float = 60.0) -> None:
        config = SwarmConfig(seed=3, users=12, api_url=chat.api_url, api_key="key", history_dir=str(tmp_path))
        self.population: Population = populations.make(config)
        self.api = ApiClient(chat.api_url, give_up_s=give_up_s, sleep=lambda _: None)
        self.tokens = self.api.tokens("key", self.population.users)
        self.conversations = create_conversations(self.api, self.population, "key")
        self.history = HistoryWriter(tmp_path / "swarm-1.bin")
        self.tail = HistoryTail(tmp_path / "swarm-1.bin")
        self.control = ControlWriter(tmp_path / "swarm-1.jsonl", process="swarm-1")
        self.lines = ControlReader(tmp_path)
        self.group = next(i for i, c in enumerate(self.population.conversations) if c.kind == "group")
        members = self.population.conversations[self.group].members
        self.member = members[-1]
        self.changes = Changes(
            api=self.api,
            creators={place: one.creator for place, one in enumerate(self.population.conversations)},
            conversations=self.conversations,
            tokens=self.tokens,
            history=self.history,
            control=self.control,
        )

    def run(self, *changes: Change) -> None:
        now = now_ns()
        self.changes.run(changes, t0_ns=now, end_ns=now + 10**10)

    def holes(self) -> list[str]:
        return [event.detail for event in self.lines.poll() if isinstance(event, Hole)]


@pytest.fixture
def world(chat, tmp_path: Path) -> World:
    return World(chat, tmp_path)


def test_conversations_are_made_by_their_creators_and_recorded(world: World, chat) -> None:
    assert len(set(world.conversations)) == len(world.conversations)
    for conv, planned in zip(world.conversations, world.population.conversations, strict=True):
        assert chat.conversations[conv].members == set(planned.members)
        mine = f"{planned.creator}/{planned.key}/"  # and who is in it
        assert [found for key, found in chat.keys.items() if key.startswith(mine)] == [conv]
    assert create_conversations(world.api, world.population, "key") == world.conversations
    record_population(world.history, world.population, world.conversations)
    records = world.tail.read()
    assert [r[2] for r in records if r[7] == Event.DEVICE] == list(world.population.users)
    members = {(r[3], r[4]) for r in records if r[7] == Event.MEMBER and r[8] == 1 and r[5] == 0}
    assert members == {
        (conv, user)
        for conv, planned in zip(world.conversations, world.population.conversations, strict=True)
        for user in planned.members
    }


def test_a_change_is_recorded_with_the_number_it_took_even_if_first_unknown(world: World, chat) -> None:
    chat.http_failures = [HTTPStatus.SERVICE_UNAVAILABLE] * 3
    world.run(Change(0, world.group, world.member, False), Change(1000, world.group, world.member, True))
    conv = world.conversations[world.group]
    changes = [(r[3], r[4], r[5], r[8]) for r in world.tail.read() if r[7] == Event.MEMBER]
    assert changes == [(conv, world.member, 1, 0), (conv, world.member, 2, 1)]
    assert world.changes.done == 2
    assert not world.holes()


def test_a_refused_change_leaves_no_trace(world: World, chat) -> None:
    chat.http_failures = [HTTPStatus.FORBIDDEN]
    world.run(Change(0, world.group, world.member, False))
    assert not world.tail.read()
    assert not world.holes()


def test_a_change_that_stays_unknown_is_a_hole(world: World, chat, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("load.drive.arrange.CHANGE_GIVE_UP_S", 0.05)
    chat.http_failures = [HTTPStatus.SERVICE_UNAVAILABLE] * 5000
    world.run(Change(0, world.group, world.member, False))
    (hole,) = world.holes()
    assert f"remove user {world.member} in conversation {world.conversations[world.group]}: outcome unknown" in hole


def test_a_change_under_way_when_the_run_ends_is_a_hole(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(world.api, "remove", interrupted)
    with pytest.raises(KeyboardInterrupt):
        world.run(Change(0, world.group, world.member, False))
    world.changes.abandon()
    (hole,) = world.holes()
    assert "the swarm stopped before the answer" in hole


def test_changes_past_the_end_are_left_out(world: World) -> None:
    now = now_ns()
    world.changes.run([Change(0, world.group, world.member, False)], t0_ns=now - 10**9, end_ns=now - 1)
    assert world.changes.done == 0
    world.changes.abandon()
    assert not world.holes()
