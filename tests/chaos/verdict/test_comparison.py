"""Comparing two runs: what is slower is found, what is not is not accused, and what cannot be told is unknown."""

import msgspec
import numpy as np
import polars as pl
import pytest

from chaos.verdict.comparison import MAX_SPANS, Comparison, Run, compare
from chaos.verdict.model import CheckResult, Counts, FaultResult, Latency, Outcome, Recovery, Verdict

SECOND = 10**9


def verdict(outcome: Outcome = "valid", *, experiment: str = "quick", sends: int = 10_000) -> Verdict:
    crash = FaultResult(
        name="crash", target="a-1", injected_at_s=1, healed_at_s=2, effective=True, healed=True, evidence="",
        recovery_s=0, recovery=Recovery(worst_p99_ms=500.0),
    )  # fmt: skip
    return Verdict(
        verdict=outcome, experiment=experiment, profile="embedded", variant=None, seed=1, duration_s=100,
        counts=Counts(devices=100, sends_invoked=sends), latency_ms=Latency(), faults=(crash,),
        checks=(CheckResult(name="order", verdict=outcome, detail=""),),
    )  # fmt: skip


def steady(seed: int, *, seconds: int = 100, slower: float = 1.0, a_second: int = 100) -> pl.DataFrame:
    """Latencies around 10 ms; those of a second share a factor, as a stall makes them."""
    rng = np.random.default_rng(seed)
    second = np.repeat(np.arange(seconds), a_second)
    shared = np.repeat(rng.lognormal(0, 0.4, seconds), a_second)
    latency = 10e6 * slower * shared * rng.lognormal(0, 0.3, second.size)
    return pl.DataFrame({"due": second * SECOND, "latency_ns": latency.astype(np.int64)})


def compared(
    a: pl.DataFrame, b: pl.DataFrame, *, of: Verdict | None = None, to: Verdict | None = None, worse_by: float = 0.5
) -> Comparison:
    one = Run(run_dir="runs/a", verdict=to or verdict(), steady=a)
    return compare(one, Run(run_dir="runs/b", verdict=of or verdict(), steady=b), worse_by=worse_by)


def test_a_run_is_not_worse_than_itself() -> None:
    found = compared(steady(1), steady(1))
    assert (found.verdict, {figure.ratio for figure in found.figures[:3]}) == ("valid", {1.0})
    assert found == compared(steady(1), steady(1)), "the same runs give the same bytes"


@pytest.mark.parametrize(
    ("slower", "worse_by", "outcome"), [(2.0, 0.25, "invalid"), (1.5, 0.5, "unknown"), (0.7, 0.25, "valid")]
)
def test_slower_is_found_and_faster_is_no_matter(slower: float, worse_by: float, outcome: str) -> None:
    found = compared(steady(1), steady(2, slower=slower), worse_by=worse_by)
    p99 = next(figure for figure in found.figures if figure.name == "p99")
    assert found.verdict == outcome, found.why
    assert p99.low is not None and p99.high is not None
    assert p99.low < slower < p99.high


def test_an_interval_holds_the_truth_as_often_as_it_says() -> None:
    """The truth is 1; 95 of 100 intervals should hold it. Draws of deliveries instead of seconds would be too sure."""
    held = 0
    for seed in range(60):
        p50 = compared(steady(2 * seed), steady(2 * seed + 1)).figures[0]
        held += p50.low <= 1 <= p50.high
    assert 52 <= held <= 60


def test_the_interval_does_not_depend_on_how_long_a_span_is_drawn() -> None:
    seconds = 2 * MAX_SPANS
    found = compared(steady(1, seconds=seconds, a_second=5), steady(2, seconds=seconds, a_second=5, slower=1.2))
    p50 = found.figures[0]
    assert 1.1 < p50.low < 1.2 < p50.high < 1.3


@pytest.mark.parametrize(
    ("of", "to", "outcome", "said"),
    [
        (verdict("invalid"), verdict(), "invalid", "runs/b is invalid by order"),
        (verdict("unknown"), verdict(), "unknown", "runs/b is unknown: see its checks"),
        (verdict(), verdict("invalid"), "unknown", "runs/a is invalid: it is no measure for another run"),
        (verdict(experiment="storm"), verdict(), "unknown", "not the same experiment: quick and storm"),
        (verdict(sends=9_000), verdict(), "unknown", "not the same load: 10,000 sends and 9,000"),
    ],
)
def test_what_cannot_be_compared_is_said(of: Verdict, to: Verdict, outcome: str, said: str) -> None:
    found = compared(steady(1), steady(1), of=of, to=to)
    assert (found.verdict, found.why) == (outcome, said)


@pytest.mark.parametrize("few", [steady(1, seconds=5), steady(1).clear()])
def test_a_few_seconds_tell_nothing(few: pl.DataFrame) -> None:
    assert compared(few, steady(1)).verdict == compared(steady(1), few).verdict == "unknown"


def test_faults_are_compared_by_name() -> None:
    slower = verdict()
    slower = msgspec.structs.replace(
        slower,
        faults=(*slower.faults, msgspec.structs.replace(slower.faults[0], recovery=Recovery(worst_p99_ms=1500.0))),
    )
    crash = compared(steady(1), steady(1), of=slower).figures[-1]
    assert (crash.name, crash.a, crash.b, crash.ratio) == ("crash", 500.0, 1500.0, 3.0)
