"""Mobile devices: planned from the seed, spread over the cells, and nothing else of the plan changes for them."""

from collections import Counter
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from load.plan import plan as plans
from load.plan import population as populations
from load.plan.mobile import STAY_S, mobile
from load.workload import SwarmConfig

BASE = {"seed": 7, "users": 60, "api_url": "http://127.0.0.1:1", "api_key": "k", "history_dir": "h", "duration_s": 60.0}


def config(**changes: object) -> SwarmConfig:
    return SwarmConfig(**(BASE | changes))  # type: ignore[arg-type]


def test_without_a_share_nobody_is_mobile_and_with_one_the_rest_of_the_plan_is_the_same() -> None:
    still, moving = config(), config(mobile_share=0.6, move_share=0.5, cells=(2, 64))
    population = populations.make(still)
    assert populations.make(moving) == population
    one, other = plans.make(still, population), plans.make(moving, population)
    assert one.changes == other.changes
    for device, plan in one.devices.items():
        same = other.devices[device]
        assert plan.mobile is None
        assert (plan.sends, plan.absences, plan.looks) == (same.sends, same.absences, same.looks)
    cells = Counter(plan.mobile.cell for plan in other.devices.values() if plan.mobile is not None)
    assert cells == {0: 18, 1: 18}


@given(st.integers(0, 2**40), st.floats(0, 1), st.floats(0, 1), st.floats(1, 400))
def test_a_share_moves_now_and_then_and_not_at_the_end(
    seed: int, share: float, moving: float, duration_s: float
) -> None:
    wanted = config(seed=seed, mobile_share=share, move_share=moving, duration_s=duration_s)
    planned = mobile(wanted, populations.make(wanted), round(duration_s * 1e6))
    assert planned == mobile(wanted, populations.make(wanted), round(duration_s * 1e6))
    assert len(planned) == round(60 * share)
    movers = [plan for plan in planned.values() if plan.moves]
    assert len(movers) <= round(len(planned) * moving)
    if duration_s > STAY_S[1] / 0.9:
        assert len(movers) == round(len(planned) * moving)
    for plan in movers:
        assert plan.moves[-1] < duration_s * 0.9e6
        for before, after in pairwise((0, *plan.moves)):
            assert STAY_S[0] <= (after - before) / 1e6 <= STAY_S[1]
