"""The desk of the web page, without the page: orders in, news out, and everything is healed however it ends."""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from chaos.faults import undo
from chaos.run.rundir import RunDir
from load.history.control import ControlReader, Fault, Plan
from load.history.writer import now_ns
from sut.deploy.system import System
from tests.kit.pace import scaled
from tests.kit.waits import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def system(up: System) -> System:
    return up


class Desk:
    """One desk, as the page's process talks to it."""

    def __init__(self, system: System) -> None:
        self._number = 0
        self.parts: dict[str, Any] = {}
        self._answers: dict[int, dict[str, Any]] = {}
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "chaos.run.desk", str(system.topology.path)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**system.environment(), "PATH": "/usr/bin"},
        )  # fmt: skip
        threading.Thread(target=self._read, daemon=True).start()
        wait_until(lambda: "offers" in self.parts, 30)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            news = json.loads(line)
            if news["news"] == "part":
                self.parts[news["part"]] = news["value"]
            else:
                self._answers[news["number"]] = news

    def ask(self, **order: Any) -> tuple[bool, str]:
        self._number += 1
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"number": self._number, **order}) + "\n")
        self.process.stdin.flush()
        wait_until(lambda: self._number in self._answers, 30)
        answer = self._answers[self._number]
        return answer["ok"], answer.get("text", "")

    def states(self) -> list[str]:
        return [one["state"] for one in self.parts["injections"]]

    def pause(self) -> None:
        """Pause gateway-2 for ten minutes; returns when that is proven."""
        before = len(self.states())
        ok, text = self.ask(do="inject", fault="gateway_pause", target="gateway-2", for_s=600)
        assert (ok, text) == (True, "injecting gateway_pause into gateway-2 for 600 s")
        wait_until(lambda: self.states()[before:] == ["in force"], 30, told=lambda: str(self.parts["injections"]))
        assert "is in state T" in self.parts["injections"][-1]["proof"]


@pytest.fixture
def desk(system: System) -> Iterator[Callable[[], Desk]]:
    begun: list[Desk] = []

    def start() -> Desk:
        begun.append(Desk(system))
        return begun[-1]

    yield start
    for one in begun:
        one.process.kill()
        one.process.wait()


def stopped(system: System) -> bool:
    pid = system.pid("gateway-2")
    return pid is not None and psutil.Process(pid).status() == psutil.STATUS_STOPPED


def pending(system: System) -> list[undo.Promise]:
    return undo.pending(RunDir(system.topology.path).ledger)


@pytest.fixture
def a_test(system: System) -> Iterator[Callable[[str], Path]]:
    """Makes directories of tests by hand that are under way, and closes them."""
    begun: list[Path] = []

    def begin(name: str) -> Path:
        begun.append(system.topology.path / name)
        (begun[-1] / "history").mkdir(parents=True)
        (begun[-1] / "history" / "meta.jsonl").touch()
        return begun[-1]

    yield begin
    for directory in begun:
        (directory / "manifest.json").touch()


def faults_in(run: Path) -> list[Fault | Plan]:
    return [event for event in ControlReader(run / "history").poll() if isinstance(event, Fault | Plan)]


def test_what_the_page_asks_for_is_done_proven_and_recorded(
    system: System, desk: Callable[[], Desk], a_test: Callable[[str], Path]
) -> None:
    run, page = a_test("swarm-1"), desk()
    offers = {one["name"]: one for one in page.parts["offers"]["faults"]}
    assert offers["gateway_pause"]["targets"] == ["gateway-1", "gateway-2", "gateway-3"]
    assert "no target" in offers["kafka_crash"]["why_not"]
    assert page.ask(do="follow", run=str(run)) == (True, "")
    page.pause()
    assert page.ask(do="inject", fault="gateway_pause", target="gateway-2", for_s=5) == (
        False, "gateway_pause on gateway-2 is in force already",
    )  # fmt: skip
    for wrong, said in (
        (
            {"fault": "gateway_crush", "target": "gateway-1", "for_s": 5},
            "no fault 'gateway_crush'; perhaps gateway_crash",
        ),
        ({"fault": "gateway_crash", "target": "gateway-9", "for_s": 5}, "no target of gateway_crash 'gateway-9'"),
        ({"fault": "gateway_crash", "target": "gateway-1", "for_s": 0}, "--for is above 0"),
        ({"fault": "kafka_crash", "target": "kafka-1", "for_s": 5}, "cannot be injected here"),
    ):
        ok, text = page.ask(do="inject", **wrong)
        assert not ok
        assert said in text
    wait_until(lambda: page.parts.get("topology"))
    services = {one["name"]: one for one in page.parts["topology"]["services"]}
    wait_until(lambda: not {s["name"]: s for s in page.parts["topology"]["services"]}["gateway-2"]["answers"])
    assert services["chat-1"]["status"] == "running"
    (mine,) = page.parts["injections"]
    assert mine["run"] == "swarm-1"
    assert page.ask(do="heal", id=mine["id"]) == (True, f"healing {mine['id']}")
    wait_until(lambda: page.states() == ["healed"], 60, told=lambda: str(page.parts["injections"]))
    assert not stopped(system)
    assert pending(system) == []
    assert [(event.name, event.phase, event.ok) for event in faults_in(run) if isinstance(event, Fault)] == [
        ("gateway_pause", "inject", True), ("gateway_pause", "heal", True),
    ]  # fmt: skip
    assert (run / "metrics" / "processes.jsonl").stat().st_size > 0
    assert page.ask(do="heal") == (True, "nothing is injected")


def test_the_faults_of_an_experiment_are_planned_and_dropped(
    desk: Callable[[], Desk], a_test: Callable[[str], Path]
) -> None:
    run, page = a_test("swarm-2"), desk()
    assert page.ask(do="begin", t0_ns=now_ns()) == (False, "no experiment was drawn")
    ok, text = page.ask(do="draw", experiment="quick", seed=3, duration_s=2)
    assert not ok
    assert "too short" in text
    assert page.ask(do="draw", experiment="quick", seed=3, duration_s=100)[0]
    drawn = page.parts["plan"]["faults"]
    assert len(drawn) >= 5
    page.ask(do="follow", run=str(run))
    assert page.ask(do="begin", t0_ns=now_ns()) == (True, f"{len(drawn)} faults are planned")
    wait_until(lambda: len(faults_in(run)) >= len(drawn))
    assert page.ask(do="drop")[0]
    assert {type(event) for event in faults_in(run)} == {Plan}
    wait_until(lambda: page.ask(do="draw", experiment="quick", seed=4, duration_s=100)[0], 30)
    assert page.parts["plan"]["faults"] != drawn


@pytest.mark.parametrize("end", ["page", "terminal", "kill"])
def test_whatever_ends_it_everything_is_healed(system: System, desk: Callable[[], Desk], end: str) -> None:
    page = desk()
    page.pause()
    assert stopped(system)
    if end == "page":
        assert page.process.stdin is not None
        page.process.stdin.close()
        assert page.process.wait(scaled(60)) == 0
    elif end == "kill":
        page.process.send_signal(signal.SIGKILL)
    else:
        words = [sys.executable, "-m", "chaos.cli.petrel", "heal", "--dir", str(system.topology.path)]
        ended = subprocess.run(words, capture_output=True, text=True, check=False, timeout=scaled(60))
        assert (ended.returncode, ended.stderr) == (0, f"petrel: healed: {page.parts['injections'][-1]['id']}\n")
        wait_until(lambda: page.states()[-1] == "healed", 30)
    wait_until(lambda: not stopped(system), 30)
    if end == "kill":  # the watchdog undid it; who heals next writes that down
        assert desk().ask(do="heal") == (True, "healed 1 left by others")
    wait_until(lambda: pending(system) == [], 30)
