"""Shrinking: the smallest part that fails is found, with few runs, and how sure that is is said."""

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.cli import petrel as cli
from chaos.errors import HarnessError
from chaos.run import apart, experiment, schedule
from chaos.run.apart import Apart
from chaos.run.shrink import ddmin, shrink
from chaos.verdict.model import CheckResult, Counts, Latency, Outcome, Verdict, encode

QUICK = experiment.for_profile(experiment.load("quick"), "embedded")
TARGETS = {spec.name: ("a-1", "a-2") for spec in QUICK.faults}
WHOLE = schedule.plan(QUICK, targets=TARGETS, seed=1, profile="embedded", variant="redis_incr")


@given(st.integers(1, 24), st.data())
def test_what_is_left_is_what_the_failure_needs(number: int, data: st.DataObject) -> None:
    whole = tuple(range(number))
    needed = data.draw(st.sets(st.sampled_from(whole), max_size=4))
    tried = []

    def fails(part: tuple[int, ...]) -> bool:
        tried.append(part)
        return needed <= set(part)

    assert ddmin(whole, fails) == tuple(sorted(needed)), "in their order"
    assert len(tried) <= number * number + 3 * number + 1


def test_one_of_two_ways_to_fail_is_found() -> None:
    assert ddmin((1, 2, 3, 4), lambda part: {1, 4} <= set(part) or {2} <= set(part)) == (2,)


def verdict(outcome: Outcome, check: str = "acked_lost") -> Verdict:
    return Verdict(
        verdict=outcome, experiment="quick", profile="embedded", variant="redis_incr", seed=1, duration_s=100,
        counts=Counts(), latency_ms=Latency(), faults=(), checks=(CheckResult(name=check, verdict=outcome, detail=""),),
    )  # fmt: skip


@pytest.fixture
def failed(tmp_path: Path) -> Path:
    place = tmp_path / "failed"
    place.mkdir()
    schedule.save(WHOLE, place / "schedule.yaml")
    (place / "verdict.json").write_bytes(encode(verdict("invalid")))
    return place


def pretend(monkeypatch: pytest.MonkeyPatch, outcome: str = "", *, chance: float = 1.0) -> list[int]:
    """Runs fail by a Redis failover, with that chance. Returns how many faults each run had."""
    sizes: list[int] = []
    rng = random.Random(5)

    def run(command: str, saved: str, *_more: str, over: object) -> Apart:
        assert command == "replay" and over is not None
        left = schedule.load(Path(saved) / "schedule.yaml")
        assert (left.seed, left.variant, left.experiment) == (WHOLE.seed, WHOLE.variant, WHOLE.experiment)
        sizes.append(len(left.faults))
        if outcome == "none":
            return Apart(None, "petrel: no room")
        fails = any(fault.name == "redis_failover" for fault in left.faults) and rng.random() < chance
        return Apart(verdict("invalid" if fails else "valid"), "")

    monkeypatch.setattr(apart, "run", run)
    return sizes


def test_a_run_is_shrunk_to_the_fault_that_it_needs(
    failed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes, said = pretend(monkeypatch), []
    found = shrink(failed, tmp_path / "out", tries=1, limit=40, say=said.append)
    assert [fault.name for fault in found.faults] == ["redis_failover"]
    assert (found.check, found.failed, found.runs, found.tried) == ("acked_lost", 3, 3, len(sizes))
    assert len(sizes) < 14
    assert schedule.load(found.directory / "schedule.yaml").faults == found.faults
    assert "looking for what acked_lost needs of 7 faults" in said[0]


def test_chance_is_counted(failed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, chance=0.7)
    found = shrink(failed, tmp_path / "out", tries=4, limit=200, say=lambda _line: None)
    assert [fault.name for fault in found.faults] == ["redis_failover"]
    assert 0 < found.failed < 3


def test_another_check_is_another_failure(
    failed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(apart, "run", lambda *_words, over: Apart(verdict("invalid", "latency"), str(over)))
    found = shrink(failed, tmp_path / "out", tries=1, limit=100, say=lambda _line: None)
    assert (len(found.faults), found.failed) == (7, 0), "nothing can be left out, and even the whole did not fail again"
    assert cli.main(["shrink", str(failed), "--tries", "1"]) == 2
    assert "acked_lost did not fail again in the last 3 runs" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("outcome", "limit", "said"),
    [("none", 40, "run 1 has no verdict: petrel: no room"), ("", 3, "not done after 3 runs")],
)
def test_what_cannot_go_on_says_why(
    failed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outcome: str, limit: int, said: str
) -> None:
    pretend(monkeypatch, outcome)
    with pytest.raises(HarnessError, match=said):
        shrink(failed, tmp_path / "out", tries=1, limit=limit, say=lambda _line: None)


def test_the_command(
    failed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pretend(monkeypatch)
    assert cli.main(["shrink", str(failed)]) == 0
    told, again = capsys.readouterr().err.splitlines()[-2:]
    assert "acked_lost needs redis_failover a-" in told and "it failed in 3 of 3 runs" in told
    assert again == f"petrel: again: petrel replay {tmp_path / 'failed.shrunk' / 'shrunk'}"


def test_only_an_invalid_run_is_shrunk(failed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (failed / "verdict.json").write_bytes(encode(verdict("valid")))
    assert cli.main(["shrink", str(failed)]) == 64
    assert "is valid: only a run that is invalid can be shrunk" in capsys.readouterr().err
    assert cli.main(["shrink", str(failed), "--tries", "0"]) == 64
