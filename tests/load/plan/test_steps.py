"""A run whose rate rises in steps."""

from load.plan import plan as plans
from load.plan import population
from load.workload import SwarmConfig

BASE = {"seed": 3, "users": 40, "api_url": "http://x", "api_key": "k", "history_dir": "h", "offline_share": 0.0}


def times_s(**settings: object) -> list[float]:
    """When each send is planned."""
    config = SwarmConfig(**BASE, **settings)  # type: ignore[arg-type]
    planned = plans.make(config, population.make(config)).devices.values()
    return sorted(send.due_us / 1e6 for device in planned for send in device.sends)


def test_each_step_has_its_share_of_the_time_and_its_multiple_of_the_rate() -> None:
    times = times_s(duration_s=90, rate_per_s=10, steps=(1, 2, 4), churn=0)
    counts = [sum(first <= at < first + 30 for at in times) for first in (0, 30, 60)]
    assert counts == [300, 600, 1200]
    assert SwarmConfig(**BASE, duration_s=90, rate_per_s=10, steps=(1, 2, 4)).planned_sends == 2100  # type: ignore[arg-type]


def test_one_step_plans_what_it_did_before_there_were_any() -> None:
    assert times_s(duration_s=20, rate_per_s=10) == times_s(duration_s=20, rate_per_s=10, steps=(1.0,))
    assert len(times_s(duration_s=20, rate_per_s=10, churn=0)) == 200
