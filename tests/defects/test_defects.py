"""The old piece of each found defect, put back in a whole run: its check says invalid, and does not without it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.defects import table

SEEDS = ("1", "2")
"""An old piece shows only where processes meet at the wrong moment, so it gets a second run."""
QUICK = {"bitflip_store", "sync_trails_the_log"}
"""The shortest: these runs belong to `make test-long`, all others to `make test-defects`."""
RUNNABLE = [
    pytest.param(defect, id=defect.name, marks=pytest.mark.long if defect.name in QUICK else pytest.mark.defects)
    for defect in table.defects()
    if defect.experiment is not None
]


def judged(defect: table.Defect, variant: str | None, seed: str, out: Path) -> tuple[int, dict[str, Any]]:
    """Return the exit status and the verdict of one run of the defect's experiment."""
    options = [] if variant is None else ["--variant", variant]
    run = ["run", str(defect.experiment), "--seed", seed, "--json", "--out", str(out), *options]
    ended = subprocess.run(
        [sys.executable, "-m", "chaos.cli.petrel", *run],
        capture_output=True,
        text=True,
        check=False,
        cwd=table.ROOT,
        timeout=400,
    )
    assert ended.stdout, ended.stderr
    return ended.returncode, json.loads(ended.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.timeout(840)
@pytest.mark.parametrize("defect", RUNNABLE)
def test_with_the_old_piece_the_check_says_invalid(defect: table.Defect, tmp_path: Path) -> None:
    for seed in SEEDS:
        status, verdict = judged(defect, defect.old_piece, seed, tmp_path / f"seed-{seed}")
        if verdict["verdict"] != "valid":
            break
    assert (status, verdict["verdict"], verdict["variant"]) == (1, "invalid", defect.old_piece)
    [check] = [check for check in verdict["checks"] if check["name"] == defect.check]
    assert check["verdict"] == "invalid", verdict["checks"]
    assert check["counterexamples"]


@pytest.mark.slow
@pytest.mark.timeout(420)
@pytest.mark.parametrize("defect", RUNNABLE)
def test_without_the_old_piece_nothing_is_invalid(defect: table.Defect, tmp_path: Path) -> None:
    _, verdict = judged(defect, defect.trigger, SEEDS[0], tmp_path / "run")
    assert verdict["verdict"] != "invalid", verdict["checks"]
