"""Each known-bad design on the real system: the check that is said to catch it does, and none does without it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from chaos.cli import petrel as cli
from sut.variants import VARIANTS
from tests.kit.pace import scaled

EXPERIMENT = Path(__file__).with_name("variants.yaml")
OTHERS = {"dedup_window": EXPERIMENT.with_name("repeats.yaml")}
"""The experiment of a variant that needs another one."""
SEED = "1"  # the gateway dies first; a RESYNC after that mends little


def judged(variant: str | None, out: Path) -> tuple[int, dict[str, Any]]:
    """Exit status and verdict of one run."""
    options = [] if variant is None else ["--variant", variant]
    run = ["run", str(OTHERS.get(variant or "", EXPERIMENT)), "--seed", SEED, "--json", "--out", str(out), *options]
    ended = subprocess.run(
        [sys.executable, "-m", "chaos.cli.petrel", *run],
        capture_output=True,
        text=True,
        check=False,
        cwd=out.parent,
        timeout=scaled(280),
    )
    assert ended.stdout, ended.stderr
    return ended.returncode, json.loads(ended.stdout.splitlines()[-1])


def of(verdict: dict[str, Any], word: str) -> dict[str, dict[str, Any]]:
    """The checks with this verdict, by name."""
    return {check["name"]: check for check in verdict["checks"] if check["verdict"] == word}


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("variant", ["dedup_window", "no_catch_up", "immortal_routes", "blind_delete"])
def test_the_named_check_catches_it_with_a_counterexample(variant: str, tmp_path: Path) -> None:
    status, verdict = judged(variant, tmp_path / "run")
    assert (status, verdict["verdict"], verdict["variant"]) == (1, "invalid", variant)
    invalid = of(verdict, "invalid")
    assert VARIANTS[variant].caught_by[0] in invalid, verdict["checks"]
    assert set(invalid) <= set(VARIANTS[variant].caught_by), verdict["checks"]
    assert all(check["counterexamples"] for check in invalid.values())


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_sequencer_dies_between_commit_and_store(tmp_path: Path) -> None:
    """On a busy machine too: the fault waits for the moment."""
    out = tmp_path / "run"
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "chaos.cli.petrel", "run", str(EXPERIMENT.with_name("crash.yaml"))),
            *("--variant", "commit_before_store", "--must-be-caught", "--seed", "304", "--json", "--out", str(out)),
        ],
        capture_output=True, text=True, check=False, timeout=scaled(280),
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert "petrel: caught: acked_lost: " in ended.stderr
    assert of(json.loads(ended.stdout.splitlines()[-1]), "invalid")["acked_lost"]["counterexamples"]


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_without_a_variant_nothing_is_wrong(tmp_path: Path) -> None:
    status, verdict = judged(None, tmp_path / "run")
    assert (status, verdict["verdict"]) == (0, "valid"), verdict["checks"]
    assert verdict["counts"]["sends_acked"] > 400


def test_variants_lists_each_with_what_shows_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    assert cli.main(["variants"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + len(VARIANTS)
    for variant, line in zip(VARIANTS.values(), lines[1:], strict=True):
        assert line.startswith(variant.name)
        assert all(check in line for check in variant.caught_by)
        assert variant.wrong in line
