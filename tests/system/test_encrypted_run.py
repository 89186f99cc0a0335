"""Whole runs with encryption in the swarm: one valid, and one of clients that encrypt nothing, caught by `leaks`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chaos.verdict import canary
from tests.system.test_run import petrel

pytestmark = [pytest.mark.long, pytest.mark.slow, pytest.mark.timeout(240)]

EXPERIMENT = """\
name: encrypted
summary: half of the devices encrypt for real, in groups that change
users: 30
duration_s: 12
rate_per_s: 15
heartbeat_s: 2
offline_share: 0
crypto_share: 0.5
recipients: 4
bounds: {latency_ms: 20000, catch_up_s: 25, liveness_s: 40, min_acked: 50, min_deliveries: 50}
checks: [acked_lost, duplicates, order, phantoms, leaks, session, liveness, vacuity]
"""


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    path = tmp_path / "encrypted.yaml"
    path.write_text(EXPERIMENT)
    return path


def test_what_is_encrypted_is_read_and_is_nowhere_in_the_system(experiment: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    done = petrel("run", str(experiment), "--seed", "2", "--json", "--out", str(out), cwd=tmp_path)
    log = (out / "logs" / "swarm.log").read_text()
    assert done.returncode == 0, done.stderr[-2000:] + log[-3000:]
    found = canary.load(out)
    assert found is not None
    assert found.found == ()
    assert found.unsearched == ()
    assert any(place.where.startswith("data/store-") for place in found.tracer)
    sealed = [int(line.split("encryption: ")[1].split()[0]) for line in log.splitlines() if "encryption: " in line]
    assert sum(sealed) > 20, log[-2000:]
    assert "broke its protocol" not in log


def test_a_client_that_does_not_encrypt_is_caught(experiment: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    arguments = ("--variant", "plaintext_store", "--seed", "2", "--json", "--out", str(out))
    done = petrel("run", str(experiment), *arguments, cwd=tmp_path)
    assert done.returncode == 1, done.stderr[-2000:]
    verdict = json.loads(done.stdout.splitlines()[-1])
    invalid = {check["name"] for check in verdict["checks"] if check["verdict"] == "invalid"}
    assert invalid == {"leaks"}
    texts = [example["text"] for check in verdict["checks"] for example in check["counterexamples"]]
    assert any("plaintext (raw) in data/log-" in text for text in texts)
    assert verdict["counts"]["leaks"] > 0
