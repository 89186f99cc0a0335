"""A correct system is always judged valid; each way of going wrong is found by the check that is there for it."""

import random

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from chaos.verdict.judge import judge
from chaos.verdict.model import encode
from tests.chaos.verdict.help import history_of, run
from tests.chaos.verdict.mutations import MUTATIONS
from tests.chaos.verdict.world import World

worlds = st.builds(
    lambda seed, users, convs, sends, faults, own: World(
        random.Random(seed), users=users, convs=convs, sends=sends, faults=faults, own=own
    ),
    seed=st.integers(0, 10**9),
    users=st.integers(2, 5),
    convs=st.integers(1, 3),
    sends=st.integers(0, 60),
    faults=st.integers(0, 2),
    own=st.booleans(),
)
QUIET = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]


@settings(max_examples=40, deadline=None, suppress_health_check=QUIET)
@given(world=worlds, shuffle=st.integers(0, 10**9))
def test_a_correct_system_is_valid(world: World, shuffle: int) -> None:
    verdict = judge(history_of(world.lines))
    doubts = [check for check in verdict.checks if check.verdict != "valid" and check.name != "vacuity"]
    assert not doubts
    assert verdict.verdict != "invalid"
    counts = verdict.counts
    assert counts.sends_invoked == counts.sends_acked + counts.sends_failed + counts.sends_indeterminate
    assert counts.lost == counts.duplicates == counts.reordered == counts.gaps == counts.phantoms == counts.leaks == 0
    random.Random(shuffle).shuffle(world.lines)
    assert encode(judge(history_of(world.lines))) == encode(verdict), "the order of lines is free"


@pytest.mark.parametrize("name", MUTATIONS)
@settings(max_examples=6, deadline=None, suppress_health_check=QUIET)
@given(
    seed=st.integers(0, 10**9), own=st.booleans(), faults=st.integers(0, 2), users=st.integers(3, 5),
    sends=st.integers(30, 70),
)  # fmt: skip
def test_what_goes_wrong_is_found(name: str, seed: int, own: bool, faults: int, users: int, sends: int) -> None:
    check, mutate = MUTATIONS[name]
    rng = random.Random(seed)
    world = World(rng, users=users, convs=3, sends=sends, faults=faults, own=own)
    assume(mutate(world.lines, rng))
    found = run(check, world.lines)
    assert found.verdict == "invalid", found
    assert found.anomalies > 0
    assert found.counterexamples
    assert all(example.text for example in found.counterexamples)
