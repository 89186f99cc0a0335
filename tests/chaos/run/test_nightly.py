"""A night: seeds for what is not covered, an end with the budget or the first invalid run, and a page that says so."""

import json
import random
import sys
from pathlib import Path

import msgspec
import pytest

from chaos.errors import HARNESS, INVALID, UNKNOWN, VALID, UsageError
from chaos.run import apart, experiment, nightly, schedule
from chaos.run.nightly import Plan, choose, night, read, status_of
from chaos.verdict.model import Counts, FaultResult, Latency, Percentiles, Recovery, Verdict, encode
from chaos.verdict.summary import Combination, Summary, combinations, covered_by, third
from dashboards import nights
from tests.dashboards.test_report import SCRIPT, Reader

QUICK = experiment.for_profile(experiment.load("quick"), "embedded")
TARGETS = {spec.name: ("a-1", "a-2", "a-3") for spec in QUICK.faults}


def summary(verdict: str, *, name: str = "quick", seed: int = 7, why: str = "") -> Summary:
    return Summary(
        night="20261130-010203", run_dir=f"runs/nights/x/{seed}", experiment=name, profile="embedded", seed=seed,
        variant=None, verdict=verdict, why=why, took_s=130.0, p50_ms=8.0, p99_ms=40.0 + seed,
        worst_p99_ms={"gateway_crash": 100.0 * seed}, covered=(("quick", "gateway_crash", f"g-{seed}", "early"),),
    )  # fmt: skip


@pytest.mark.parametrize(("at_s", "which"), [(-1, "early"), (0, "early"), (34, "middle"), (67, "late"), (100, "late")])
def test_thirds(at_s: float, which: str) -> None:
    assert third(at_s, 100) == which


def test_seeds_are_chosen_for_what_is_not_covered() -> None:
    """Ten chosen runs cover more than ten of any seeds."""

    def covered_after(choosing: bool) -> int:
        covered: set[Combination] = set()
        rng = random.Random(1)
        for _ in range(10):
            chosen, new = choose(QUICK, TARGETS, covered, rng, "embedded")
            seed = chosen if choosing else rng.randrange(1 << 31)
            planned = schedule.plan(QUICK, targets=TARGETS, seed=seed, profile="embedded")
            broken = combinations("quick", QUICK.duration_s, ((f.name, f.target, f.at_s) for f in planned.faults))
            if choosing:
                assert len(broken - covered) == new
            covered |= broken
        return len(covered)

    assert covered_after(choosing=True) > 1.2 * covered_after(choosing=False)


@pytest.mark.parametrize(
    ("verdicts", "status"),
    [
        (("valid", "valid"), VALID),
        (("valid", "unknown"), UNKNOWN),
        (("unknown", "invalid", "valid"), INVALID),
        (("valid", "harness"), UNKNOWN),
        (("harness", "invalid"), INVALID),
        (("harness", "harness"), HARNESS),
        ((), UNKNOWN),
    ],
)
def test_the_status_is_that_of_the_worst_run(verdicts: tuple[str, ...], status: int) -> None:
    assert status_of([summary(verdict) for verdict in verdicts]) == status


class Runs:
    """Stands in for `petrel run`: it prints a verdict. The real one runs in tests/system/test_nightly.py."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *verdicts: str | None) -> None:
        self.commands: list[list[str]] = []
        left = list(verdicts)

        def ended(command: list[str], _over: object) -> tuple[int, str, str]:
            self.commands.append(command)
            verdict = left.pop(0) if len(left) > 1 else left[0]
            if verdict is None:
                return 70, "", "starting\npetrel: no room"
            fault = FaultResult(
                name="gateway_crash", target="gateway-1", injected_at_s=90, healed_at_s=92, effective=True, healed=True,
                evidence="", recovery_s=1, recovery=Recovery(worst_p99_ms=250.0),
            )  # fmt: skip
            found = Verdict(
                verdict=verdict, experiment="quick", profile="embedded", variant=None, seed=1, duration_s=100,
                counts=Counts(), latency_ms=Latency(steady=Percentiles(p50=8, p99=44, n=9)), faults=(fault,), checks=(),
            )  # fmt: skip
            return 0, f"noise\n{encode(found).decode()}\n", ""

        monkeypatch.setattr(apart, "ended", ended)


def plan(budget_s: float = 3600) -> Plan:
    return Plan(experiments=(("quick", QUICK),), profile="embedded", variant="redis_incr", budget_s=budget_s, seed=1)


def test_a_night_ends_with_the_first_invalid_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs, said = Runs(monkeypatch, "valid", "unknown", "invalid"), []
    done = night(plan(), tmp_path / "nights", say=said.append)
    assert [run.verdict for run in done] == ["valid", "unknown", "invalid"]
    assert read(tmp_path / "nights") == done
    assert done[0].covered == (("quick", "gateway_crash", "gateway-1", "late"),)
    assert (done[0].p99_ms, done[0].worst_p99_ms) == (44.0, {"gateway_crash": 250.0})
    assert done[2].again == f"petrel replay {done[2].run_dir}"
    assert all(command[-3:] == ["--variant", "redis_incr", "--json"] for command in runs.commands)
    assert len({run.seed for run in done}) == len({run.run_dir for run in done}) == 3
    assert "new combinations" in said[0]


def test_a_night_ends_with_its_budget_and_has_one_run_at_least(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Runs(monkeypatch, "valid")
    monkeypatch.setattr(nightly, "_needs_s", lambda *_: 100.0)
    assert len(night(plan(budget_s=1), tmp_path, say=lambda _line: None)) == 1
    lines = (tmp_path / "nights.jsonl").read_bytes()
    monkeypatch.setattr("time.monotonic", iter(range(0, 10_000, 50)).__next__)
    assert 1 < len(night(plan(budget_s=1000), tmp_path, say=lambda _line: None)) < 10
    assert (tmp_path / "nights.jsonl").read_bytes().startswith(lines), "nights are added to those before"


def test_a_harness_that_fails_twice_in_a_row_ends_the_night(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Runs(monkeypatch, None)
    done = night(plan(), tmp_path, say=lambda _line: None)
    assert [(run.verdict, run.why) for run in done] == [("harness", "petrel: no room")] * 2
    assert status_of(done) == HARNESS


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    (tmp_path / "nights.jsonl").write_bytes(msgspec.json.encode(summary("valid")) + b"\n{\n")
    with pytest.raises(UsageError, match=r"nights\.jsonl:2: .*take the line away"):
        read(tmp_path)


def test_the_page_shows_runs_trends_and_coverage(tmp_path: Path) -> None:
    runs = [summary("valid", seed=1), summary("valid", seed=2), summary("invalid", seed=3, why=SCRIPT)]
    page = Reader(nights.render(tmp_path / "nights.html", runs).read_text())
    assert f"invalid {runs[2].experiment}, seed 3: {SCRIPT}" in page.text
    assert "petrel replay runs/nights/x/3" in page.text
    assert page.count("circle") > 6, "a dot a run and quantity"
    assert "gateway_crash quick 3 0 0" in page.text, "three targets, all early"
    assert covered_by(runs) == {Combination("quick", "gateway_crash", f"g-{seed}", "early") for seed in (1, 2, 3)}
    assert "no run yet" in Reader(nights.render(tmp_path / "none.html", []).read_text()).text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["nights.html", "none.html"]


def test_a_summary_is_a_line_of_json() -> None:
    assert json.loads(msgspec.json.encode(summary("valid")))["covered"] == [["quick", "gateway_crash", "g-7", "early"]]


def test_an_interrupted_command_is_ended_in_good_order() -> None:
    program = "import signal, sys, time; signal.signal(15, lambda *_: sys.exit('ended')); print('on'); time.sleep(60)"
    looks = iter([False, False, False, False, False, True])
    status, out, err = apart.ended([sys.executable, "-c", program], lambda: next(looks, True))
    assert (status, out.strip(), err.strip()) == (1, "on", "ended")
