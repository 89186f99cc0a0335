"""The population and the plan: deterministic, bounded, as large as promised, and the whole is the sum of its shares."""

import hashlib
import json
from bisect import bisect_right
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from load.device import body as bodies
from load.history.events import message_id
from load.plan import plan as plans
from load.plan import population as populations
from load.workload import SwarmConfig


def config(**changes: object) -> SwarmConfig:
    base = {"seed": 7, "users": 1000, "api_url": "http://127.0.0.1:1", "api_key": "k", "history_dir": "h"}
    return SwarmConfig(**(base | changes))


def made(settings_: SwarmConfig) -> tuple[populations.Population, plans.Plan]:
    population = populations.make(settings_)
    return population, plans.make(settings_, population)


small = st.builds(
    config,
    seed=st.integers(0, 1 << 40),
    users=st.integers(1, 60),
    duration_s=st.floats(5, 120),
    rate_per_s=st.floats(0.5, 40),
    offline_share=st.floats(0, 1),
    silent_share=st.floats(0, 1),
    churn=st.integers(0, 60),
    group_cap=st.integers(2, 40),
    directs_per_user=st.floats(0, 3),
    groups_per_user=st.floats(0, 2),
    first_id=st.integers(1, 1_000_000),
)


@given(small)
@settings(max_examples=150, deadline=None)
def test_every_population_is_well_formed(settings_: SwarmConfig) -> None:
    population = populations.make(settings_)
    assert len(population.users) == settings_.users
    assert population.users[0] == settings_.first_id
    keys = [conversation.key for conversation in population.conversations]
    assert len(set(keys)) == len(keys)
    pairs = [frozenset(c.members) for c in population.conversations if c.kind == "direct"]
    assert len(set(pairs)) == len(pairs)
    for conversation in population.conversations:
        assert len(set(conversation.members)) == len(conversation.members)
        assert set(conversation.members) <= set(population.users)
        if conversation.kind == "direct":
            assert len(conversation.members) == 2
        else:
            assert 2 <= len(conversation.members) <= settings_.group_cap
        if not any(population.activity_of(user) for user in conversation.members):
            assert conversation.weight == 0
    total = sum(conversation.weight for conversation in population.conversations)
    assert total == 0 or total == pytest.approx(1)


@given(small)
@settings(max_examples=150, deadline=None)
def test_every_plan_is_well_formed(settings_: SwarmConfig) -> None:
    population, plan = made(settings_)
    assert set(plan.devices) == set(population.users)
    duration_us = settings_.duration_s * plans.US
    left = {}
    for change in reversed(plan.changes):
        left[change.conversation, change.user] = change.at_us
    assert sum(len(device.sends) for device in plan.devices.values()) <= round(
        settings_.rate_per_s * settings_.duration_s
    )
    for device, its in plan.devices.items():
        for away in its.absences:
            assert away.from_us < away.to_us <= duration_us * 0.9 + 1
        for before, after in pairwise(its.absences):
            assert before.to_us < after.from_us
        for before, after in pairwise(its.sends):
            assert before.due_us <= after.due_us
        edges = [(away.from_us, away.to_us) for away in its.absences]
        for send in its.sends:
            assert 0 <= send.due_us < duration_us
            assert bodies.MIN_BODY <= send.size <= populations.MAX_BODY
            assert device in population.conversations[send.conversation].members
            assert population.activity_of(device) > 0
            assert send.due_us < left.get((send.conversation, device), send.due_us + 1)
            place = bisect_right(edges, (send.due_us, duration_us))
            assert place == 0 or send.due_us >= edges[place - 1][1]


@given(small, st.integers(1, 5))
@settings(max_examples=50, deadline=None)
def test_the_shares_are_the_whole(settings_: SwarmConfig, workers: int) -> None:
    _, plan = made(settings_)
    shares = [plan.share(worker, workers) for worker in range(workers)]
    assert sum(len(share) for share in shares) == settings_.users
    assert {device: its for share in shares for device, its in share.items()} == plan.devices
    for worker, share in enumerate(shares):
        assert all((device - 1) % workers == worker for device in share)


@given(small)
@settings(max_examples=50, deadline=None)
def test_changes_keep_to_what_the_service_allows(settings_: SwarmConfig) -> None:
    population, plan = made(settings_)
    members = {i: set(c.members) for i, c in enumerate(population.conversations)}
    for before, after in pairwise(plan.changes):
        assert before.at_us <= after.at_us
    for change in plan.changes:
        conversation = population.conversations[change.conversation]
        now = members[change.conversation]
        assert conversation.kind == "group"
        assert change.user != conversation.creator
        assert (change.user in now) is not change.add
        (now.add if change.add else now.remove)(change.user)
        assert 2 <= len(now) <= settings_.group_cap


@pytest.mark.parametrize("seed", range(5))
def test_the_demo_has_the_operations_it_promises(seed: int) -> None:
    population, plan = made(config(seed=seed))
    sends = [send for its in plan.devices.values() for send in its.sends]
    recipients = sum(len(population.conversations[send.conversation].members) - 1 for send in sends)
    assert len(sends) >= 12_000
    assert 4 <= recipients / len(sends) <= 6
    assert recipients >= 40_000
    groups = [len(c.members) for c in population.conversations if c.kind == "group"]
    assert max(groups) == 100
    assert min(groups) == 2
    assert sorted(groups)[len(groups) // 2] < 10
    mean = sum(send.size for send in sends) / len(sends)
    assert 140 <= mean <= 160
    away = [its for its in plan.devices.values() if its.absences]
    assert 90 <= len(away) <= 110
    assert any(its.absences[0].from_us == plans.ALWAYS_US for its in away)
    lengths = [a.to_us - a.from_us for its in away for a in its.absences if a.from_us != plans.ALWAYS_US]
    assert min(lengths) >= 8 * plans.US
    assert max(lengths) <= 20 * plans.US
    assert sum(1 for weight in population.activity if not weight) == 100
    assert len(plan.changes) >= 24
    everybody = {user for c in population.conversations for user in c.members}
    assert everybody == set(population.users)


def test_activity_is_skewed_but_nobody_does_everything() -> None:
    _, plan = made(config())
    counts = sorted((len(its.sends) for its in plan.devices.values()), reverse=True)
    assert sum(counts[:100]) > 2.5 * sum(counts) / 10
    assert counts[0] < 0.01 * sum(counts)


def test_another_seed_is_another_run() -> None:
    assert made(config(seed=1))[1] != made(config(seed=2))[1]


def test_the_plan_of_a_seed_is_the_same_on_every_machine() -> None:
    population, plan = made(config(users=200, duration_s=30.0, rate_per_s=40.0))
    told = json.dumps(
        [
            [[c.key, c.members] for c in population.conversations],
            [[device, its.sends, its.absences] for device, its in plan.devices.items()],
            [change[:4] for change in plan.changes],
        ]
    )
    assert hashlib.sha256(told.encode()).hexdigest() == GOLDEN


GOLDEN = "e98517730b60d6fdfe4ba6520d0561fc9ff5876004c341322d49e9885dd83067"


@given(st.integers(0, 1 << 60), st.integers(1, 1 << 30), st.integers(1, 1 << 31), st.integers(16, 2000))
def test_a_body_says_who_it_is_and_when_it_was_due(seed: int, device: int, client_seq: int, size: int) -> None:
    msg = message_id(device, client_seq)
    made_ = bodies.make(seed=seed, msg=msg, due_offset_ns=123_456_789, size=size)
    assert len(made_) == size
    assert int.from_bytes(made_[:8], "big") == msg
    assert bodies.due_offset_ns(made_) == 123_456_789
    assert made_ == bodies.make(seed=seed, msg=msg, due_offset_ns=123_456_789, size=size)
    assert 0 <= bodies.digest(made_) < 1 << 63


def test_bodies_differ_and_so_do_their_hashes() -> None:
    made_ = {bodies.make(seed=1, msg=message_id(1, n), due_offset_ns=0, size=16 + n % 50) for n in range(1, 500)}
    assert len(made_) == 499
    assert len({bodies.digest(body) for body in made_}) == 499


def test_a_foreign_body_has_no_due_time() -> None:
    assert bodies.due_offset_ns(b"hello") is None


@given(small, st.integers(2, 20))
@settings(max_examples=30)
def test_with_tasks_those_at_the_start_talk_among_themselves(planned: SwarmConfig, start: int) -> None:
    wanted = structs.replace(planned, users=2 * start, at_start=start, sends="both")
    population, plan = made(wanted)
    later = range(wanted.first_id + start, wanted.first_id + 2 * start)
    assert list(population.users) == [*range(wanted.first_id, later.start), *later]
    sides = [{user in later for user in one.members} for one in population.conversations]
    assert all(len(side) == 1 for side in sides)
    assert len({one.key for one in population.conversations}) == len(population.conversations)
    assert plan.devices.keys() == set(population.users)
    silent = populations.make(structs.replace(wanted, sends="tasks"))
    assert silent == population
    nothing = plans.make(structs.replace(wanted, sends="tasks"), silent)
    assert not nothing.changes
    assert all(its == plans.DevicePlan() for its in nothing.devices.values())


@pytest.mark.parametrize("users", range(2, 30))
def test_with_tasks_everybody_has_somebody_to_write_to(users: int) -> None:
    for start in range(1, users + 1):
        population = populations.make(config(users=users, at_start=start, sends="tasks", silent_share=0.0))
        assert {user for one in population.conversations for user in one.members} == set(population.users), start
