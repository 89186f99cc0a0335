"""A run with roles, whose devices ask for what is not theirs: valid; where they are answered invalid, by `leaks`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.pace import scaled

pytestmark = [pytest.mark.long, pytest.mark.slow, pytest.mark.timeout(180)]

EXPERIMENT = """\
name: nosy
summary: nothing breaks, and some devices try to read what is not theirs
users: 40
duration_s: 10
rate_per_s: 15
heartbeat_s: 2
probe_share: 0.5
roles: 12
timing: {warm_up_s: 0, settle_s: 0, tail_s: 0}
bounds: {latency_ms: 20000, catch_up_s: 25, liveness_s: 40, min_acked: 100, min_deliveries: 100}
checks: [acked_lost, indeterminate, duplicates, order, gaps_forks, phantoms, leaks, session, liveness, vacuity]
"""


@pytest.mark.parametrize(("variant", "verdict"), [(None, "valid"), ("non_member_fetch", "invalid")])
def test_leaks_catches_a_service_that_gives_a_conversation_to_whoever_asks(
    tmp_path: Path, variant: str | None, verdict: str
) -> None:
    (tmp_path / "nosy.yaml").write_text(EXPERIMENT)
    command = [sys.executable, "-m", "chaos.cli.petrel", "run", "nosy.yaml", "--seed", "3", "--json", "--out", "run"]
    done = subprocess.run(
        [*command, *(["--variant", variant] if variant else [])],
        capture_output=True, text=True, check=False, cwd=tmp_path, timeout=scaled(150),
    )  # fmt: skip
    assert done.stdout, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["verdict"] == verdict, done.stderr
    assert {check["name"] for check in told["checks"] if check["verdict"] == "invalid"} == (
        {"leaks"} if variant else set()
    )
    assert bool(told["counts"]["leaks"]) == bool(variant)
