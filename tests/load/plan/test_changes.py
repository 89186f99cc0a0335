"""Roles in the plan: named are members who stay, asked are admins who are admins then, and a seed draws the same."""

from collections import Counter, defaultdict

from hypothesis import given, settings
from hypothesis import strategies as st

from load.plan import plan as plans
from load.plan import population as populations
from load.workload import SwarmConfig


def config(**changes: object) -> SwarmConfig:
    told = {"seed": 1, "users": 60, "api_url": "http://h", "api_key": "k", "history_dir": "h", "churn": 30, "roles": 20}
    return SwarmConfig(**(told | changes))  # type: ignore[arg-type]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1 << 40), st.integers(0, 40), st.integers(0, 40))
def test_every_change_is_one_that_may_be_made_when_it_is_due(seed: int, churn: int, roles: int) -> None:
    settings_ = config(seed=seed, churn=churn, roles=roles)
    population = populations.make(settings_)
    plan = plans.make(settings_, population)
    without = plans.make(config(seed=seed, churn=churn, roles=0), populations.make(settings_))
    assert [c._replace(by=0) for c in plan.changes if not c.role] == list(without.changes)
    assert plan.devices == without.devices
    assert plan.changes == plans.changes(settings_, population)
    assert [c.at_us for c in plan.changes] == sorted(c.at_us for c in plan.changes)
    members = {i: set(c.members) for i, c in enumerate(population.conversations)}
    admins: defaultdict[int, set[int]] = defaultdict(set)
    for change in plan.changes:
        here, group = admins[change.conversation], population.conversations[change.conversation]
        assert change.by in here | {0}
        if change.role:
            assert change.by == 0
            assert change.user in members[change.conversation] - {group.creator}
            assert (change.role == "admin") == (change.user not in here)
            here ^= {change.user}
        else:
            assert change.user not in here
            (members[change.conversation].add if change.add else members[change.conversation].discard)(change.user)


def test_there_are_as_many_as_asked_and_admins_do_a_part_of_the_rest() -> None:
    plan = plans.make(config(), populations.make(config()))
    assert Counter(bool(change.role) for change in plan.changes)[True] == 20
    assert any(change.by for change in plan.changes)
    assert plan == plans.make(config(), populations.make(config()))
