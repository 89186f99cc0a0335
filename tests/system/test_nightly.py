"""A night of real runs: a planted variant is found, and the printed command runs the same schedule again."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from chaos.run import schedule
from tests.kit.pace import scaled

EXPERIMENT = Path(__file__).with_name("variants.yaml")
pytestmark = [pytest.mark.long, pytest.mark.slow, pytest.mark.timeout(400)]


def petrel(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "chaos.cli.petrel", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=scaled(350))


def test_a_planted_variant_is_found_and_its_schedule_runs_again(tmp_path: Path) -> None:
    nights = tmp_path / "nights"
    words = ("nightly", str(EXPERIMENT), "--budget-min", "4", "--seed", "1", "--dir", str(nights))
    ended = petrel(*words, "--variant", "no_catch_up", "--json")
    assert ended.returncode == 1, ended.stderr
    told = json.loads(ended.stdout.splitlines()[-1])
    found = told["runs"][-1]
    assert found["verdict"] == "invalid" and found["why"].startswith(("catch_up", "liveness"))
    assert [json.loads(line)["run_dir"] for line in (nights / "nights.jsonl").open()] == [
        run["run_dir"] for run in told["runs"]
    ]
    assert found["run_dir"] in (nights / "nights.html").read_text()
    again = ended.stderr.splitlines()[-1].rpartition("again: ")[2]
    assert again == f"petrel replay {found['run_dir']}"
    replayed = tmp_path / "replayed"
    assert petrel(*shlex.split(again)[1:], "--out", str(replayed)).returncode == 1
    faults = [schedule.load(Path(place) / "schedule.yaml").faults for place in (found["run_dir"], replayed)]
    assert faults[0] == faults[1]
