"""The watchdog and the reaper: nothing of a run outlives its runner, whatever became of it."""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import psutil
import pytest

from sut.deploy.errors import EXIT_USAGE
from sut.deploy.probes import probe
from sut.deploy.supervise import reaper
from sut.deploy.supervise.state import RUN_ID
from sut.deploy.system import System
from sut.deploy.topology import Topology, save
from tests.kit.pace import scaled
from tests.kit.waits import wait_until
from tests.sut.deploy.conftest import Workshop

RUNNER = Path(__file__).with_name("runner.py")
NAMES = ("gateway-1", "chat-1", "redis-1")
RUN_A, RUN_B, RUN_C = (uuid.uuid4().hex for _ in range(3))
SLEEPER = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)",
]


def run_of(topology: Topology) -> dict[psutil.Process, str]:
    return reaper.members(topology.run_id)


def runner_of(topology: Topology) -> subprocess.Popen[str]:
    """The stand-in runner, just begun: the run directory is empty."""
    topology.path.mkdir()
    plan = save(topology).rename(topology.path.with_name("plan.json"))
    return subprocess.Popen(
        [sys.executable, str(RUNNER), str(plan)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def started_runner(topology: Topology) -> tuple[subprocess.Popen[str], int]:
    """The stand-in runner once its system is up, and its watchdog's pid."""
    runner = runner_of(topology)
    assert runner.stdout is not None
    word, pid = runner.stdout.readline().split()
    assert word == "ready"
    return runner, int(pid)


def test_when_the_runner_is_killed_all_is_undone_and_gone_within_five_seconds(workshop: Workshop) -> None:
    topology = workshop.topology(*NAMES)
    with started_runner(topology)[0] as runner:
        undone, not_undone = topology.path / "undone", topology.path / "not undone"
        (topology.path / "undo.jsonl").write_text(
            json.dumps({"undo": "f1", "argv": ["touch", str(not_undone)]})
            + "\n"
            + json.dumps({"undo": "f2", "argv": ["touch", str(undone)]})
            + '\n{"done": "f1"}\n{"undo": "f3", "argv": ["no-such-command"]}\n{"torn'
        )
        names = set(run_of(topology).values())
        assert names >= {*NAMES, "supervisor"}
        assert len(names) == len(NAMES) + 2  # and the swarm, which ignores SIGTERM
        os.kill(System.attach(topology.path).pid("chat-1") or 0, signal.SIGSTOP)
        runner.kill()
        begun_s = time.monotonic()
    wait_until(lambda: not run_of(topology), timeout_s=5.0)
    assert time.monotonic() - begun_s < 5.0
    log = topology.path / "logs" / "watchdog.log"
    wait_until(lambda: "ended 5 processes" in log.read_text(), timeout_s=2.0)
    assert undone.exists()
    assert not not_undone.exists()
    assert "undo f3" in log.read_text()


def test_when_the_runner_is_killed_in_the_middle_of_a_start_nothing_is_left(workshop: Workshop) -> None:
    topology = workshop.topology(*NAMES)
    with runner_of(topology) as runner:
        wait_until(lambda: run_of(topology))
        runner.kill()
    log = topology.path / "logs" / "watchdog.log"
    wait_until(lambda: " processes: " in log.read_text(), timeout_s=5.0)
    assert f"ending run {topology.run_id}" in log.read_text()
    assert run_of(topology) == {}


def test_when_the_runner_is_killed_before_a_run_there_is_nothing_to_end(tmp_path: Path) -> None:
    marker = tmp_path / "undone"
    lines = [json.dumps({"undo": name, "argv": ["sh", "-c", f"echo x >> {marker}"]}) for name in ("f1", "f2")]
    (tmp_path / "undo.jsonl").write_text("\n".join(lines) + "\n")
    command = [sys.executable, "-m", "sut.deploy.supervise.watchdog", "", str(tmp_path)]
    ended = subprocess.run(command, input=b"", capture_output=True, timeout=scaled(10), check=True)
    assert b"it had not begun one" in ended.stderr
    assert marker.read_text() == "x\n"  # the same command, once


def test_a_runner_that_is_done_dismisses_its_watchdog(workshop: Workshop) -> None:
    topology = workshop.topology("chat-1")
    runner, watchdog_pid = started_runner(topology)
    with runner:
        os.kill(watchdog_pid, signal.SIGINT)  # a Ctrl-C is not for it
        assert probe.process_state(watchdog_pid) is not None
        runner.communicate("end\n", timeout=scaled(15))
    assert runner.returncode == 0
    assert not run_of(topology)
    assert probe.process_state(watchdog_pid) is None
    assert (topology.path / "logs" / "watchdog.log").read_text() == ""


@pytest.mark.parametrize(("said", "reaped"), [(b"done\n", False), (b"done", True), (b"done\nnot\n", True), (b"", True)])
def test_only_a_whole_last_line_dismisses_it(tmp_path: Path, said: bytes, reaped: bool) -> None:
    (tmp_path / "logs").mkdir()
    command = [sys.executable, "-m", "sut.deploy.supervise.watchdog", "no-such-run", str(tmp_path)]
    ended = subprocess.run(command, input=said, capture_output=True, timeout=scaled(10), check=True)
    assert (b"ended 0 processes" in ended.stderr) == reaped


def test_the_watchdogs_usage() -> None:
    command = [sys.executable, "-m", "sut.deploy.supervise.watchdog"]
    assert subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode == EXIT_USAGE


def in_run(command: list[str], run_id: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(command, env={**os.environ, RUN_ID: run_id}, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    return process


def test_the_reaper_ends_stopped_and_stubborn_processes_of_that_run_only(tmp_path: Path) -> None:
    with (
        in_run(SLEEPER, RUN_A) as stopped,
        in_run(STUBBORN, RUN_A) as stubborn,
        in_run(SLEEPER, RUN_B) as other,
    ):
        stopped.send_signal(signal.SIGSTOP)
        begun_s = time.monotonic()
        reaped = reaper.reap(RUN_A, grace_s=0.5)
        assert 0.5 <= time.monotonic() - begun_s < 2.0
        assert (len(reaped.ended), reaped.left) == (2, ())
        assert stopped.wait(1) == -signal.SIGTERM
        assert stubborn.wait(1) == -signal.SIGKILL
        assert other.poll() is None
        assert reaper.reap(RUN_A, grace_s=0.5).ended == ()
        assert len(reaper.reap(RUN_B, grace_s=0.5).ended) == 1


def test_the_reaper_spares_itself_and_those_it_descends_from() -> None:
    child = """
import os
from sut.deploy.supervise import reaper
print(len(reaper.reap(os.environ["PETREL_RUN_ID"], grace_s=0.2).ended))
"""
    parent = f"""
import subprocess, sys
bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
subprocess.run([sys.executable, "-c", {child!r}], check=True)
print("alive", bystander.wait())
"""
    environ = {**os.environ, RUN_ID: RUN_C}
    ended = subprocess.run(
        [sys.executable, "-c", parent], env=environ, capture_output=True, timeout=scaled(20), check=True
    )
    assert ended.stdout.split() == [b"1", b"alive", str(-signal.SIGTERM).encode()]
