"""Whole runs of the real system by the real command: what they leave, what ends them early, what they never leave."""

import contextlib
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import polars as pl
import pytest

from chaos.faults import undo
from chaos.run import schedule
from chaos.run.swarm import free_port
from sut.deploy.supervise.reaper import members
from sut.deploy.topology import load
from tests.kit.pace import scaled
from tests.kit.waits import wait_until
from tests.load.locusts import EXAMPLE

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

EXPERIMENT = """\
name: small
summary: two faults in half a minute, with bounds that a busy machine keeps
users: 40
duration_s: 34
rate_per_s: 15
heartbeat_s: 2
faults:
  - {name: gateway_crash, for_s: [1, 2]}
  - {name: redis_failover, for_s: [6, 7], options: {lag_s: 0.5}}
timing: {warm_up_s: 3, settle_s: 4, tail_s: 11}
bounds: {latency_ms: 20000, catch_up_s: 25, liveness_s: 40, min_acked: 100, min_deliveries: 100}
checks: [acked_lost, indeterminate, duplicates, order, gaps_forks, phantoms, leaks, session, catch_up, liveness,
         latency, vacuity]
"""


def petrel(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "chaos.cli.petrel", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        timeout=scaled(150),
    )


@contextlib.contextmanager
def running(*arguments: str, cwd: Path, out: Path) -> Iterator[subprocess.Popen[str]]:
    """The command while it runs; killed in the end, if it has not ended by then."""
    command = [sys.executable, "-m", "chaos.cli.petrel", *arguments, "--out", str(out)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=cwd)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def in_phase(out: Path, name: str) -> bool:
    """Whether a run has come that far."""
    lines = [line for path in (out / "history").glob("*.jsonl") for line in path.read_text().splitlines()]
    return any(f'"name":"{name}"' in line and '"e":"phase"' in line for line in lines)


def left_of(out: Path) -> list[str]:
    """Living processes of the run in that directory."""
    return sorted(members(load(out / "topology.json").run_id).values())


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("runs")
    (place / "small.yaml").write_text(EXPERIMENT)
    return place


@pytest.fixture(scope="module")
def finished(place: Path) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A run that went well."""
    out = place / "finished"
    return out, petrel("run", "small.yaml", "--seed", "5", "--json", "--out", str(out), cwd=place)


def verdict_of(ended: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    verdict: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return verdict


def test_a_run_is_valid_and_leaves_its_files_and_no_process(
    finished: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    out, ended = finished
    assert ended.returncode == 0, ended.stderr
    verdict = verdict_of(ended)
    assert verdict["verdict"] == "valid"
    assert verdict["seed"] == 5
    assert verdict["counts"]["sends_acked"] > 300
    assert verdict["provenance"]["python"] == f"CPython {platform.python_version()}"
    assert {"version", "started", "machine", "kernel"} <= verdict["provenance"].keys()
    assert re.fullmatch(
        r"SQLite 3\.\S+, (redis|valkey)-server \d+\.\S+(, toxiproxy.*)?", verdict["provenance"]["servers"]
    )
    assert not any(verdict["counts"][key] for key in ("lost", "duplicates", "gaps", "phantoms"))
    assert {fault["name"] for fault in verdict["faults"]} == {"gateway_crash", "redis_failover"}
    assert all(fault["effective"] and fault["healed"] for fault in verdict["faults"])
    assert json.loads((out / "verdict.json").read_text()) == verdict
    assert left_of(out) == []
    assert undo.pending(out / "undo.jsonl") == []
    assert [fault.fault for fault in schedule.load(out / "schedule.yaml").faults] == ["f1", "f2"]
    assert "<html" in (out / "report.html").read_text()
    assert len(ET.parse(out / "junit.xml").findall("testcase")) == len(verdict["checks"]) + 2
    sampled = {json.loads(line)["service"] for line in (out / "metrics" / "processes.jsonl").open()}
    assert {"gateway-1", "sequencer-2", "redis-1", "runner"} <= sampled


def test_the_time_of_traced_messages_is_told_hop_by_hop(
    finished: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    out, _ = finished
    budget = json.loads((out / "metrics" / "hops.json").read_text())
    assert budget["problem"] == ""
    assert budget["traced"] > 20
    assert budget["complete"] > 0.8 * budget["traced"]
    assert "order" not in budget["left_out"], "the processes' clocks are one"
    for share in (budget["steady"], budget["faults"]):
        assert share["rest_ms"] < 1
        hops = share["hops"].values()
        mean = sum(hop["mean"] * hop["n"] for hop in hops if hop["n"]) / share["deliveries"]
        assert mean == pytest.approx(share["end_to_end"]["mean"], abs=1)
        assert all(share["hops"][name]["p50"] > 0 for name in ("gateway", "chat", "append", "apply", "notify"))
    assert 'id="hops"' in (out / "report.html").read_text()


def test_the_same_history_has_the_same_verdict_in_every_form(
    finished: tuple[Path, subprocess.CompletedProcess[str]], place: Path
) -> None:
    out, ended = finished
    again = petrel("verify", str(out), "--json", cwd=place)
    assert again.returncode == ended.returncode
    assert verdict_of(again) == verdict_of(ended)
    exported = place / "exported.jsonl"
    assert petrel("history", str(out), "--out", str(exported), cwd=place).returncode == 0
    assert petrel("history", str(out), cwd=place).stdout == exported.read_text()
    times = [json.loads(line)["t"] for line in exported.open()]
    assert times == sorted(times)
    foreign = petrel("verify", "--history", str(exported), "--json", cwd=place)
    assert verdict_of(foreign) == verdict_of(ended)
    named = petrel("history", str(out), "--format", "parquet", cwd=place)
    events = pl.read_parquet(named.stdout.strip())
    assert events.filter(pl.col("e") == "send").height == verdict_of(ended)["counts"]["sends_invoked"]


def test_its_report_is_made_again_and_it_is_no_worse_than_itself(
    finished: tuple[Path, subprocess.CompletedProcess[str]], place: Path
) -> None:
    out, _ = finished
    before = (out / "report.html").read_text()
    made = petrel("report", str(out), cwd=place)
    assert (made.returncode, made.stdout.strip()) == (0, str(out / "report.html"))
    assert (out / "report.html").read_text() == before
    assert petrel("verify", str(out), cwd=place).returncode == 0, "the manifest knows the new report"
    told = petrel("compare", str(out), str(out), "--json", "--page", str(place / "page.html"), cwd=place)
    found = json.loads(told.stdout.splitlines()[-1])
    assert (told.returncode, found["figures"][1]["ratio"]) == ({"valid": 0, "unknown": 2}[found["verdict"]], 1.0), (
        told.stderr
    )
    assert "<html" in (place / "page.html").read_text()
    assert str(out) in petrel("runs", str(out.parent), cwd=place).stdout


def test_its_walkthroughs_are_made_from_its_records(
    finished: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    run_dir = tmp_path / "copy"
    shutil.copytree(finished[0], run_dir)
    done = petrel("explain", "all", str(run_dir), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    made = {Path(line).name for line in done.stdout.splitlines()}
    assert {"explain-message.html", "explain-websocket.html", "explain-storage.html", "cheatsheet.html"} <= made
    assert all("<html" in (run_dir / name).read_text(encoding="utf-8") for name in made)
    assert "no presence: nobody of this run looked at anybody" in done.stderr
    none = petrel("explain", "encryption", str(run_dir), cwd=tmp_path)
    assert none.returncode == 64
    assert "no device of this run took keys" in none.stderr
    assert petrel("verify", str(run_dir), cwd=tmp_path).returncode == 0, "the pages are in the manifest"


@pytest.mark.long
def test_two_runs_side_by_side_one_interrupted_and_one_killed(
    finished: tuple[Path, subprocess.CompletedProcess[str]], place: Path
) -> None:
    original, _ = finished
    first, second = place / "interrupted", place / "killed"
    with (
        running("replay", str(original), cwd=place, out=first) as interrupted,
        running("run", "small.yaml", "--seed", "6", cwd=place, out=second) as killed,
    ):
        wait_until(lambda: undo.pending(second / "undo.jsonl"), timeout_s=60)
        wait_until(lambda: in_phase(first, "steady"), timeout_s=60)
        assert schedule.load(first / "schedule.yaml") == schedule.load(original / "schedule.yaml")

        killed.send_signal(signal.SIGKILL)
        killed.wait()
        wait_until(lambda: not left_of(second), timeout_s=5)
        assert len(left_of(first)) > 14  # nobody else's

        begun_s = time.monotonic()
        interrupted.send_signal(signal.SIGINT)
        _, said = interrupted.communicate(timeout=scaled(15))
        assert time.monotonic() - begun_s < 15
        assert left_of(first) == []
        assert interrupted.returncode == 2, said
        assert said.startswith("petrel: unknown: vacuity: hole in the history of runner: interrupted before the "), said
        assert said.count("\n") == 1
        assert json.loads((first / "verdict.json").read_text())["verdict"] == "unknown"


@pytest.mark.long
def test_a_dead_part_of_the_swarm_makes_the_verdict_unknown(place: Path) -> None:
    out = place / "holed"
    with running("run", "small.yaml", "--seed", "7", "--duration", "20", cwd=place, out=out) as process:
        wait_until(lambda: in_phase(out, "steady"), timeout_s=60)
        writers = [int(path.stem.partition("-")[2]) for path in (out / "history").glob("swarm-*.bin")]
        os.kill(max(writers), signal.SIGKILL)
        _, said = process.communicate(timeout=scaled(100))
        assert process.returncode == 2, said
        assert f"hole in the history of swarm-{max(writers)}" in said
        assert left_of(out) == []


@pytest.mark.long
def test_a_runner_that_was_stopped_makes_the_verdict_unknown(place: Path) -> None:
    text = EXPERIMENT.replace("  - {name: redis_failover, for_s: [6, 7], options: {lag_s: 0.5}}\n", "")
    (place / "stopped.yaml").write_text(text.partition("checks:")[0] + "without: [latency, push, presence, receipts]\n")
    out = place / "stopped"
    with running("run", "stopped.yaml", "--seed", "7", cwd=place, out=out) as process:
        wait_until(lambda: in_phase(out, "steady"), timeout_s=60)
        process.send_signal(signal.SIGSTOP)
        try:
            at_s = schedule.load(out / "schedule.yaml").faults[0].at_s
            time.sleep(at_s + 8)
        finally:
            process.send_signal(signal.SIGCONT)
        _, said = process.communicate(timeout=scaled(100))
    assert process.returncode == 2, said
    verdict = json.loads((out / "verdict.json").read_text())
    told = {check["name"]: check for check in verdict["checks"]}
    assert told["machine"]["verdict"] == "unknown"
    assert "later than planned" in told["machine"]["detail"]
    assert "the runner stood still for " in told["machine"]["detail"]
    assert not [check for check in told.values() if check["verdict"] == "invalid"]


def test_a_second_interruption_ends_everything_at_once(place: Path) -> None:
    out = place / "aborted"
    with running("run", "small.yaml", "--seed", "8", cwd=place, out=out) as process:
        wait_until(lambda: in_phase(out, "steady"), timeout_s=60)
        begun_s = time.monotonic()
        process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=scaled(10))
        assert time.monotonic() - begun_s < 8
        assert process.returncode == 70
        assert said == "petrel: interrupted twice: everything was ended at once, there is no verdict\n"
        assert left_of(out) == []


@pytest.mark.parametrize("users", [[], pytest.param(["--locustfile", EXAMPLE], marks=pytest.mark.long)])
def test_the_web_ui_serves_until_interrupted(place: Path, users: list[str]) -> None:
    out = place / f"ui-{len(users)}"
    port = free_port()
    with running("ui", "--users", "20", "--port", str(port), *users, cwd=place, out=out) as process:
        assert process.stdout is not None
        line = next(line for line in process.stdout if line.startswith("web UI "))
        url = line.split()[2]
        assert url == f"http://127.0.0.1:{port}"

        def page(path: str = "/petrel") -> str:
            try:
                with urllib.request.urlopen(f"{url}{path}", timeout=scaled(1)) as answer:
                    return str(answer.read().decode())
            except OSError:
                return ""

        wait_until(lambda: "<h1>Stormpetrel</h1>" in page(), timeout_s=20)
        wait_until(lambda: '"offers"' in page("/petrel/parts"), timeout_s=20)  # the desk is there, and goes too
        if users:
            urllib.request.urlopen(f"{url}/swarm", b"user_count=4&spawn_rate=4", timeout=scaled(20)).close()
            wait_until(lambda: json.loads(page("/petrel/ledger") or "{}").get("acked", 0) > 4)
            assert "tasks" in (out / "swarm-1" / "swarm.json").read_text()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=scaled(20))
        assert process.returncode == 0
        assert left_of(out) == []
