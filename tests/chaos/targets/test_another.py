"""`petrel another` against a small chat of somebody else: right, lossy, and cut off from its devices."""

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from chaos.cli.petrel import main
from sut.deploy.servers import binaries
from tests.kit.pace import scaled

TINY = Path(__file__).with_name("tiny") / "tiny.yaml"
LINKS = binaries.find_toxiproxy(on_progress=lambda _text: None, install=False).path


def run(target: str, out: Path) -> dict:
    """Run in a process of its own; returns the verdict."""
    words = ["another", str(TINY), "--target", target, "--seed", "3", "--out", str(out), "--json"]
    done = subprocess.run(
        [sys.executable, "-P", "-m", "chaos.cli.petrel", *words], capture_output=True, text=True,
        timeout=scaled(60), check=False, env={**os.environ},
    )  # fmt: skip
    assert done.stdout, done.stderr
    verdict = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == {"valid": 0, "invalid": 1, "unknown": 2}[verdict["verdict"]], done.stderr
    assert json.loads((out / "verdict.json").read_bytes()) == verdict
    left = [one.pid for one in psutil.process_iter(["cmdline"]) if str(out) in " ".join(one.info["cmdline"] or ())]
    assert not left
    return verdict


def found(verdict: dict) -> set[str]:
    """The checks that say invalid."""
    return {check["name"] for check in verdict["checks"] if check["verdict"] == "invalid"}


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_a_chat_that_keeps_its_promises_through_a_crash_is_not_accused(tmp_path: Path) -> None:
    verdict = run("tiny", tmp_path / "run")
    assert not found(verdict), verdict["checks"]
    (fault,) = verdict["faults"]
    assert (fault["name"], fault["effective"], fault["healed"]) == ("server_crash", True, True)
    assert verdict["counts"]["sends_acked"] > 100
    again = main(["verify", "--history", str(tmp_path / "run/history.jsonl")])
    assert again == {"valid": 0, "unknown": 2}[verdict["verdict"]]


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_a_chat_that_answers_before_it_writes_is_caught(tmp_path: Path) -> None:
    verdict = run("lossy", tmp_path / "run")
    assert "acked_lost" in found(verdict)
    assert verdict["counts"]["lost"] > 20


@pytest.mark.slow
@pytest.mark.timeout(200)
@pytest.mark.skipif(LINKS is None, reason="no toxiproxy-server")
def test_devices_that_are_cut_off_come_back_and_miss_nothing(tmp_path: Path) -> None:
    verdict = run("cut", tmp_path / "run")
    assert not found(verdict), verdict["checks"]
    (fault,) = verdict["faults"]
    assert (fault["name"], fault["effective"], fault["healed"]) == ("link_blackhole", True, True)


@pytest.mark.long
@pytest.mark.timeout(400)
def test_our_own_system_is_valid_by_its_protocol_page_alone(tmp_path: Path) -> None:
    verdict = run("ours", tmp_path / "run")
    assert not found(verdict), verdict["checks"]
    (fault,) = verdict["faults"]
    assert (fault["name"], fault["effective"], fault["healed"]) == ("gateway_crash", True, True)
