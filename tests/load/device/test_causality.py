"""What the swarm's messages name, and who the plan says is where."""

import random
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from load.device import body as bodies
from load.device.causality import Ties
from load.plan import plan as plans
from load.plan import population as populations
from load.workload import SwarmConfig
from sut.protocol.causal import MAX_DEPENDENCIES, Dependency
from sut.protocol.frames import MAX_BODY, Message

ENTRIES = st.lists(
    st.builds(Dependency, st.integers(1, (1 << 63) - 1), st.integers(1, (1 << 48) - 1), st.integers(0, 1)),
    max_size=MAX_DEPENDENCIES,
)


@given(st.integers(0, (1 << 55)), st.integers(16, 2000), ENTRIES)
def test_a_body_names_what_it_depends_on_beside_its_size(due: int, size: int, named: list[Dependency]) -> None:
    body = bodies.make(seed=1, msg=7 << 32, due_offset_ns=due, size=size, dependencies=named)
    assert len(body) == size + 16 * len(named) <= MAX_BODY
    assert bodies.due_offset_ns(body) == due
    assert bodies.dependencies(body) == tuple(named)
    assert int.from_bytes(body[:8], "big") == 7 << 32


@given(st.binary(max_size=200))
def test_a_body_of_somebody_else_names_whatever_and_breaks_nothing(body: bytes) -> None:
    assert len(bodies.dependencies(body)) <= MAX_DEPENDENCIES


@given(ENTRIES, st.text(max_size=80), st.sampled_from([b"", b"c" * 16]))
def test_a_text_comes_back_with_its_dependencies(named: list[Dependency], said: str, canary: bytes) -> None:
    body = bodies.make(seed=1, msg=7 << 32, due_offset_ns=5, size=0, canary=canary, dependencies=named,
                       text=said.encode())  # fmt: skip
    assert bodies.text(body, canary=len(canary)) == said
    assert bodies.due_offset_ns(body) == 5
    assert bodies.dependencies(body) == tuple(named)
    planned = bodies.make(seed=1, msg=7 << 32, due_offset_ns=5, size=200, dependencies=named)
    assert bodies.text(planned) == ""


def test_what_a_body_names_is_in_its_hash() -> None:
    one, other = (
        bodies.make(seed=1, msg=1, due_offset_ns=0, size=40, dependencies=[Dependency(9, seq, 0)]) for seq in (1, 2)
    )
    assert bodies.digest(one) != bodies.digest(other)


@pytest.fixture
def config(tmp_path: Path) -> SwarmConfig:
    return SwarmConfig(seed=3, users=60, api_url="http://x", api_key="key", history_dir=str(tmp_path), churn=40)


def test_the_plan_tells_who_shares_what(config: SwarmConfig) -> None:
    population = populations.make(config)
    plan = plans.make(config, population)
    ids = tuple(random.Random(1).sample(range(1, 1 << 60), len(population.conversations)))
    ties = Ties.planned(population, plan, ids)
    ever = [set(one.members) for one in population.conversations]
    added = [change for change in plan.changes if change.add]
    assert added
    for change in added:
        ever[change.conversation].add(change.user)
    for user in (1, 2, 3, added[0].user):
        tie = ties.of(user)
        for i, conv in enumerate(ids):
            assert tie.member_of(conv) == (user in population.conversations[i].members)
            assert tie.grows(conv) == (population.conversations[i].kind == "group")
            assert tie.may_be_in(user, conv) == (user in ever[i])
        for (i, conv), (j, other) in combinations(enumerate(ids), 2):
            assert tie.shared(conv, other) == bool((ever[i] & ever[j]) - {user})
    assert not ties.of(1).member_of(12345)
    assert not ties.of(1).shared(ids[0], 12345)


def test_bad_clients_name_and_do_not_obey(config: SwarmConfig) -> None:
    population = populations.make(config)
    plan = plans.make(config, population)
    ids = range(1, 1 + len(population.conversations))
    named = [Dependency(2, 5, 0)]
    body = bodies.make(seed=1, msg=1, due_offset_ns=0, size=40, dependencies=named)
    message = Message(1, 1, 0, 2, 2, 1, body)
    assert Ties.planned(population, plan, ids).of(1).named_by(message) == tuple(named)
    assert not Ties.planned(population, plan, ids, ignore_dependencies=True).of(1).named_by(message)
