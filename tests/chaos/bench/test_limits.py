"""The search for the highest rate that is carried: it ends, near the truth, whatever the machine does."""

import os
import signal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.bench import limits as capacity
from chaos.bench.limits import HIGHEST_PER_S, LOWEST_PER_S, MAX_STEPS, RESOLUTION, Step
from chaos.cli import petrel as cli
from chaos.run import outcome, runner
from chaos.run.rundir import RunDir


def step(rate: float, *, carried: bool) -> Step:
    verdict = "valid" if carried else "invalid"
    return Step(
        rate_per_s=rate, verdict=verdict, p50_ms=1.0, p99_ms=2.0, acked_per_s=rate, deliveries_per_s=rate, run_dir=""
    )


@given(st.floats(LOWEST_PER_S * 2, 20_000), st.floats(50, 1000))
def test_a_machine_with_a_limit_is_found_out_to_within_the_resolution(limit: float, first: float) -> None:
    steps = capacity.search(lambda rate: step(rate, carried=rate <= limit), first=first)
    found = capacity.best(steps)
    assert len(steps) <= MAX_STEPS
    assert found is not None
    assert found.rate_per_s <= limit <= found.rate_per_s * RESOLUTION * 1.1


def test_a_machine_that_carries_nothing_ends_the_search_at_the_lowest_rate() -> None:
    steps = capacity.search(lambda rate: step(rate, carried=False))
    assert capacity.best(steps) is None
    assert min(step.rate_per_s for step in steps) < 2 * LOWEST_PER_S


def test_a_machine_without_a_limit_ends_it_at_the_highest() -> None:
    found = capacity.best(capacity.search(lambda rate: step(rate, carried=True)))
    assert found is not None
    assert HIGHEST_PER_S / 2 < found.rate_per_s <= HIGHEST_PER_S


@given(st.lists(st.booleans(), min_size=MAX_STEPS, max_size=MAX_STEPS))
def test_a_moody_machine_ends_the_search_too_and_no_rate_above_a_refused_one_counts(moods: list[bool]) -> None:
    left = iter(moods)
    steps = capacity.search(lambda rate: step(rate, carried=next(left)))
    found = capacity.best(steps)
    refused = [step.rate_per_s for step in steps if not step.carried]
    assert len({step.rate_per_s for step in steps}) == len(steps)
    assert found is None or all(found.rate_per_s < rate for rate in refused)


def test_an_interruption_ends_the_search_and_not_only_its_step(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "nothing.jsonl").touch()
    verdict = outcome.verify(tmp_path / "nothing.jsonl", foreign=True, say=print)
    steps = []

    def execute(request: runner.Request, **_: object) -> RunDir:
        steps.append(request)
        os.kill(os.getpid(), signal.SIGINT)
        return RunDir(request.directory)

    monkeypatch.setattr(runner, "execute", execute)
    monkeypatch.setattr(outcome, "conclude", lambda *_, **__: verdict)
    assert cli.main(["limits", "--out", str(tmp_path / "out")]) == 70
    assert len(steps) == 1
    assert capsys.readouterr().err.splitlines()[-1] == "petrel: interrupted"
