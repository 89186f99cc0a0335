"""A Locust file of one's own against a real system that breaks meanwhile: `docs/chat_user.py`, as its page says."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from load.history.events import Event
from sut.deploy.topology import Settings
from tests.kit.pace import scaled
from tests.kit.waits import wait_until
from tests.kit.whole import embedded
from tests.load.locusts import EXAMPLE, Started
from tests.load.test_byhand import judged
from tests.load.test_user import records, table

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_a_gateway_dies_and_the_tasks_go_on(tmp_path: Path) -> None:
    system, run = tmp_path / "up", tmp_path / "up" / "swarm-1"
    with embedded(system, Settings()):
        started = Started(tmp_path, "-f", EXAMPLE, "--headless", "-u", "20", "-r", "20", "--petrel-dir", str(system),
                          "--json-file", str(tmp_path / "table"))  # fmt: skip
        try:
            wait_until(lambda: len(records(run, Event.ACK)) > 30, told=started.text)
            crash = [sys.executable, "-m", "chaos.cli.petrel", "inject", "gateway_crash", "gateway-1", "--for", "2"]
            subprocess.run([*crash, "--dir", str(system)], check=True, capture_output=True, timeout=scaled(60))
            before = len(records(run, Event.ACK))
            wait_until(lambda: len(records(run, Event.ACK)) > before + 60, told=started.text)
            started.process.send_signal(signal.SIGTERM)
            status = started.process.wait(scaled(90))
        finally:
            if started.process.poll() is None:
                started.process.kill()
    verdict = judged(run)
    assert {0: "valid", 2: "unknown"}[status] == verdict["verdict"], started.text()
    assert [fault["name"] for fault in verdict["faults"]] == ["gateway_crash"]
    requests, failures = table(tmp_path)["send -> ack"]  # a refusal for now is a failure, and its repetition a request
    assert verdict["counts"]["sends_acked"] == requests - failures
    assert "Traceback" not in started.text()
