"""The bench of overload: what its rows say, and a run in which a system is asked for three times what it carries."""

from pathlib import Path
from typing import Any

import pytest

from chaos.bench import benches, overload
from chaos.errors import UsageError
from load.bench.flood import Told
from tests.chaos.bench.test_benches import bench


def told(**changes: Any) -> Told:
    usual = {
        "duration_s": 10.0, "wanted": 1000, "withheld": 0, "acked": 1000, "shown": 1000, "refused": 0,
        "refused_for_good": 0, "again": 0, "given_up": 0, "violations": 0, "ack_p99_ms": 40.0, "p50_ms": 20.0,
        "p99_ms": 50.0, "max_ms": 90.0, "felt_p99_ms": 60.0, "late_ms": 10.0, "unsettled": 0,
    }  # fmt: skip
    return Told(**(usual | changes))


def judged(
    during: dict[str, Any] | None = None, after: dict[str, Any] | None = None, *, others: float = 0.0
) -> tuple[str, str]:
    calm: dict[str, Any] = {"wanted": 500, "shown": 500}
    carried: dict[str, Any] = {"wanted": 3000, "shown": 950, "refused": 2000, "p99_ms": 700.0}
    rows = [
        overload.row(1, told(), 100.0, others=0.0),
        overload.row(0.5, told(**calm), 100.0, others=0.0),
        overload.row(3, told(**(carried if during is None else during)), 100.0, others=others),
        overload.row(0.5, told(**(calm | (after or {}))), 100.0, others=0.0),
    ]
    return tuple(overload.judge(rows))  # type: ignore[return-value]


def test_what_is_carried_in_time_and_as_before_is_valid() -> None:
    assert judged()[0] == "valid"


@pytest.mark.parametrize(
    ("during", "after", "why"),
    [
        ({"wanted": 3000, "shown": 890}, None, "at 3 times the maximum 89 % of it are carried"),
        ({"shown": 950, "p99_ms": 1000.0}, None, "at 3 times the maximum p99 of what is taken is 1,000 ms"),
        ({"shown": 950, "given_up": 2}, None, "2 given up at 3 times the maximum"),
        ({"shown": 950, "refused_for_good": 1}, None, "1 refused for good at 3 times the maximum"),
        (None, {"p99_ms": 151.0}, "30 s later p99 is 151 ms, before 50 ms"),
        (None, {"shown": 440}, "30 s later 44/s are displayed, before 50/s"),
    ],
)
def test_a_broken_promise_is_invalid_and_named(during: Any, after: Any, why: str) -> None:
    assert judged(during, after) == ("invalid", why)


def test_a_crowd_without_time_and_a_run_without_messages_show_nothing() -> None:
    assert judged(during={"shown": 10, "late_ms": 1001.0})[0] == "unknown"
    assert judged(after={"shown": 99})[0] == "unknown"
    assert judged(others=0.21) == ("unknown", "others took 21 % of the cores, so the maximum is no measure")


def test_a_system_follows_while_it_displays_nearly_all_in_time() -> None:
    assert overload.follows(told(shown=850))
    assert not overload.follows(told(shown=849))
    assert not overload.follows(told(p99_ms=1001.0))


def test_a_bench_of_the_embedded_profile_refuses_another(tmp_path: Path) -> None:
    options: dict[str, Any] = {"variant": None, "duration_s": None, "points": (), "out": tmp_path, "as_json": False}
    with pytest.raises(UsageError, match="storm runs on embedded, not on cluster"):
        benches.run("storm", profile="cluster", **options)


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_at_three_times_the_maximum_nothing_is_lost_or_given_up(tmp_path: Path) -> None:
    """How much is carried in what time is the bench's own verdict, on a machine that has nothing else to do."""
    rows = bench("overload", tmp_path / "out", "--duration", "8", status=None)
    assert [row["times the maximum"] for row in rows] == [1, 0.5, 3, 0.5]
    assert all(row["refused for good"] == row["given up"] == row["violations"] == 0 for row in rows)
