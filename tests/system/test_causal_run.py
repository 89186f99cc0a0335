"""Causal order on the real system: kept by the swarm's clients, and seen to be broken by those that ignore it."""

import json
from pathlib import Path

import pytest

from tests.system.test_run import petrel

pytestmark = [pytest.mark.long, pytest.mark.slow, pytest.mark.timeout(240)]

EXPERIMENT = """\
name: causal
summary: people come and go, and answer in one conversation what they read in another
users: 100
duration_s: 30
rate_per_s: 60
heartbeat_s: 2
offline_share: 0.5
checks: [causal, acked_lost, order, leaks, session, vacuity]
"""


def judged(tmp_path: Path, *options: str) -> tuple[int, dict[str, str]]:
    path = tmp_path / "causal.yaml"
    path.write_text(EXPERIMENT)
    out = tmp_path / "run"
    result = petrel("run", str(path), "--seed", "5", "--out", str(out), *options, cwd=tmp_path)
    verdict = json.loads((out / "verdict.json").read_text())
    return result.returncode, {check["name"]: check["verdict"] for check in verdict["checks"]}


def test_causal_order_holds(tmp_path: Path) -> None:
    status, checks = judged(tmp_path)
    assert set(checks.values()) == {"valid"}, checks
    assert status == 0


def test_clients_that_ignore_what_a_message_names_are_caught(tmp_path: Path) -> None:
    status, checks = judged(tmp_path, "--variant", "ignore_dependencies")
    assert status == 1
    assert {name for name, verdict in checks.items() if verdict == "invalid"} == {"causal"}
