"""`petrel nightly` and `petrel hunt`: what they are asked for is checked before anything starts, and passed on."""

from pathlib import Path

import pytest

from chaos.cli import petrel as cli
from chaos.run import nightly
from chaos.run.nightly import Plan
from chaos.verdict.summary import Summary
from tests.chaos.run.test_nightly import summary


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[Plan, Path]]:
    """What a night was asked for. It has one run, which is invalid."""
    found: list[tuple[Plan, Path]] = []

    def night(plan: Plan, directory: Path, *, say: object) -> list[Summary]:
        assert say is not None
        directory.mkdir(parents=True)
        found.append((plan, directory))
        return [summary("invalid", why="liveness: 3 deliveries never shown")]

    monkeypatch.setattr(nightly, "night", night)
    monkeypatch.chdir(tmp_path)
    return found


@pytest.mark.parametrize(
    ("words", "experiments", "budget_s", "directory"),
    [
        (("nightly",), ["quick", "everything"], 3600, "runs/nights"),
        (("nightly", "storm", "--profile", "cluster", "--budget-min", "5", "--dir", "here"), ["storm"], 300, "here"),
        (("hunt",), ["quick"], 600, "runs/hunt-"),
        (("hunt", "--variant", "push_to_online"), ["everything"], 600, "runs/hunt-"),
        (("hunt", "signals", "--variant", "push_to_online", "--dir", "there"), ["signals"], 600, "there"),
    ],
)
def test_what_is_asked_for(
    asked: list[tuple[Plan, Path]], capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...], experiments: list[str], budget_s: float, directory: str,
) -> None:  # fmt: skip
    assert cli.main(list(words)) == 1
    ((plan, place),) = asked
    assert [name for name, _ in plan.experiments] == experiments
    assert plan.budget_s == budget_s
    assert str(place).startswith(directory)
    line = capsys.readouterr().err.splitlines()[-1]
    assert "1 invalid" in line and "again: petrel replay runs/nights/x/7" in line
    assert (place / "nights.html").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nightly", "--budget-min", "0"), "--budget-min is above 0"),
        (("hunt", "nothing"), "no experiment 'nothing'"),
        (("hunt", "quorum"), ": faults[0].name: kafka_quorum_loss has no target on profile embedded: take "),
        (("hunt", "--variant", "nothing"), "no variant 'nothing'"),
        (("nightly", "--profile", "nothing"), "no profile 'nothing'"),
    ],
)
def test_wrong_usage_is_64(
    asked: list[tuple[Plan, Path]], capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    assert cli.main(list(words)) == 64
    assert said in capsys.readouterr().err
    assert asked == []
