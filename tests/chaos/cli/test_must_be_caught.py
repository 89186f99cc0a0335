"""--must-be-caught: 0 only where the check that the variant names found it, with a counterexample; else 2 or 64."""

from pathlib import Path

import pytest

from chaos.cli import petrel as cli
from chaos.cli.say import caught
from chaos.run import experiment
from chaos.verdict.model import CheckResult, Counterexample, Counts, Latency, Outcome, Verdict
from sut.variants import VARIANTS

EXAMPLE = Counterexample(text="message 5 was acked and is not in the final of device 2")


def verdict(*checks: CheckResult) -> Verdict:
    return Verdict(
        verdict="invalid", experiment="e", profile="embedded", variant="commit_before_store", seed=1, duration_s=1,
        counts=Counts(), latency_ms=Latency(), faults=(), checks=checks,
    )  # fmt: skip


def result(name: str, outcome: Outcome, *examples: Counterexample) -> CheckResult:
    return CheckResult(name=name, verdict=outcome, detail=f"what {name} saw", counterexamples=examples)


@pytest.mark.parametrize(
    ("named", "status", "said"),
    [
        (result("acked_lost", "invalid", EXAMPLE), 0, f"caught: acked_lost: what acked_lost saw; {EXAMPLE.text}"),
        (result("acked_lost", "invalid"), 2, "was not caught: acked_lost is invalid"),
        (result("acked_lost", "unknown", EXAMPLE), 2, "was not caught: acked_lost is unknown"),
        (result("acked_lost", "valid"), 2, "acked_lost is valid: what acked_lost saw; invalid by causal, latency"),
    ],
)
def test_only_the_named_check_counts(
    capsys: pytest.CaptureFixture[str], named: CheckResult, status: int, said: str
) -> None:
    others = (result("causal", "invalid", EXAMPLE), result("latency", "invalid", EXAMPLE))
    assert caught(verdict(named, *others), by="acked_lost", as_json=True) == status
    out, err = capsys.readouterr()
    assert said in err
    assert err.count("\n") == 1
    assert out.startswith('{"verdict":"invalid"')


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("quick",), "--must-be-caught needs --variant"),
        (("quick", "--variant", "global_counter"), "is caught by no check: petrel bench counter measures it"),
        (
            ("quick", "--variant", "push_to_online"),
            "experiment quick is not judged by push, which must catch push_to_online; everything is",
        ),
        (("quick", "--variant", "nothing"), "no variant"),
    ],
)
def test_what_cannot_be_shown_is_refused_before_anything_starts(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    assert cli.main(["run", *arguments, "--must-be-caught", "--out", str(tmp_path / "run")]) == 64
    assert said in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", VARIANTS)
def test_each_variant_names_an_experiment_that_its_check_judges(name: str) -> None:
    variant = VARIANTS[name]
    judged_by = experiment.load(variant.shown_in).judged_by
    assert judged_by is None or not variant.caught_by or variant.caught_by[0] in judged_by
