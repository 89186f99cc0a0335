"""Tests started by hand, in the web UI and headless: each is a run that is read back, judged and closed."""

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chaos.run import manifest
from load.history.events import Event
from load.history.writer import HistoryTail
from tests.kit.pace import scaled
from tests.kit.waits import wait_until
from tests.load.locusts import LOCUSTFILE, Started, free_port, press

FITNESS = {"machine", "latency"}
"""What a busy machine makes unknown."""
Start = Callable[..., Started]


@pytest.fixture
def system(chat, tmp_path: Path) -> Path:
    """The directory of a running system."""
    return at(tmp_path, chat.api_url)


def at(directory: Path, api_url: str) -> Path:
    host, _, port = api_url.removeprefix("http://").partition(":")
    service = {"name": "api-1", "kind": "api", "host": host, "ports": {"http": int(port)}}
    (directory / "topology.json").write_text(json.dumps({"api_key": "key", "services": [service]}))
    return directory


def running(view: dict[str, object], users: int) -> bool:
    """Whether each user has a device. Up to a third of the devices may be offline because their plan says so."""
    online = view["online"]
    assert isinstance(online, int)
    return view["devices"] == users and 3 * online >= 2 * users


class Web:
    """Locust's web UI, as its page talks to it."""

    def __init__(self, locust: Start, system: Path, *arguments: str, base: str = "") -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}{base}"
        self.started = locust("--web-host", "127.0.0.1", "--web-port", str(port), "--petrel-dir", str(system),
                              "--petrel-seconds", "3000", "--petrel-rate", "30", *arguments)  # fmt: skip
        wait_until(self.is_up)
        if "--processes" in arguments:
            wait_until(lambda: "2 workers connected" in self.started.text())

    def is_up(self) -> bool:
        try:
            return self.ledger()["phase"] == ""
        except OSError:
            return False

    def get(self, path: str) -> str:
        with urllib.request.urlopen(self.url + path, timeout=scaled(10)) as response:
            return str(response.read().decode())

    def post(self, path: str, data: bytes = b"") -> None:
        request = urllib.request.Request(self.url + path, data=data, method="POST")
        urllib.request.urlopen(request, timeout=scaled(60)).close()

    def ledger(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.get("/petrel/ledger"))
        return told

    def users(self, count: int) -> None:
        self.post("/swarm", f"user_count={count}&spawn_rate=50".encode())
        wait_until(
            lambda: running(self.ledger(), count),
            told=lambda: f"{count} users: {self.ledger()}\n{self.started.text()}",
        )
        sent = self.ledger()["sends"]
        wait_until(lambda: self.ledger()["sends"] >= sent + 30)  # so that each count has something to judge

    def tab(self) -> dict[str, str]:
        """The ledger as Locust's page shows it."""
        rows = json.loads(self.get("/stats/requests"))["extended_stats"][0]["data"]
        return {row["row"]: row["value"] for row in rows}

    def state(self) -> str:
        """The state that Locust's page is told."""
        return str(json.loads(self.get("/stats/requests"))["state"])

    def stop(self) -> dict[str, Any]:
        """Stop the test; what the page says once it is judged."""
        press(self.url, "/stop")
        wait_until(lambda: self.ledger()["verdict"] not in ("", "being judged"))
        return self.ledger()


class Workers:
    """Locust workers that are started one by one."""

    def __init__(self, web: Web, system: Path) -> None:
        self._command = [sys.executable, "-m", "locust", "-f", LOCUSTFILE, "--worker", "--master-port",
                         str(web.started.port)]  # fmt: skip
        self._system = system
        self._log = (system / "workers.log").open("wb")
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self, **environment: str) -> None:
        self._processes.append(subprocess.Popen(
            self._command, cwd=self._system, stdout=self._log, stderr=self._log, env=os.environ | environment
        ))  # fmt: skip

    def sends(self, number: int, run: Path) -> int:
        """The sends of one worker's devices in a run."""
        history = run / "history" / f"swarm-{self._processes[number].pid}.bin"
        records = HistoryTail(history).read() if history.exists() else []
        return sum(record[7] == Event.SEND for record in records)

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, failed: type[BaseException] | None, *_: object) -> None:
        for process in self._processes:
            process.send_signal(signal.SIGTERM)
            process.wait(20)
        self._log.close()
        assert failed or "Traceback" not in (self._system / "workers.log").read_text()


def judged(run: Path) -> dict[str, Any]:
    """The verdict of a run, which is closed and has its report."""
    assert manifest.check(run) is None
    assert "<html" in (run / "report.html").read_text()
    verdict: dict[str, Any] = json.loads((run / "verdict.json").read_text())
    doubted = {check["name"] for check in verdict["checks"] if check["verdict"] != "valid"}
    assert doubted <= (FITNESS | {"vacuity"} if "machine" in doubted else FITNESS), verdict["checks"]
    assert not any(verdict["counts"][key] for key in ("lost", "duplicates", "gaps", "phantoms"))
    return verdict


def devices_of(history: Path, kind: Event) -> set[int]:
    return {
        record[2] for path in history.glob("swarm-*.bin") for record in HistoryTail(path).read() if record[7] == kind
    }


def late_s(history: Path) -> float:
    """By how much the latest send was late, in seconds."""
    sends = [record for path in history.glob("swarm-*.bin") for record in HistoryTail(path).read()
             if record[7] == Event.SEND]  # fmt: skip
    return max(record[0] - record[1] for record in sends) / 1e9


@pytest.mark.parametrize("split", [[], pytest.param(["--processes", "2"], marks=pytest.mark.long)])
def test_headless_the_exit_status_is_the_verdicts(locust: Start, system: Path, split: list[str]) -> None:
    started = locust("--headless", "-u", "10", "-r", "50", "-t", "8s", "--petrel-dir", str(system),
                     "--petrel-rate", "30", *split)  # fmt: skip
    status = started.process.wait(scaled(60))
    verdict = judged(system / "swarm-1")
    assert {0: "valid", 2: "unknown"}[status] == verdict["verdict"], started.text()
    assert verdict["counts"]["devices"] == 20, "those who may be added are there"
    assert len(devices_of(system / "swarm-1" / "history", Event.ONLINE)) == 10
    assert verdict["counts"]["sends_acked"] >= 50
    assert f"verdict {verdict['verdict']}" in started.text()
    assert f"report {system / 'swarm-1' / 'report.html'}" in started.text()
    assert "Traceback" not in started.text()


def test_an_anomaly_is_1(locust: Start, chat, system: Path) -> None:
    started = locust("--headless", "-u", "10", "-r", "50", "-t", "8s", "--petrel-dir", str(system),
                     "--petrel-rate", "30")  # fmt: skip
    wait_until(lambda: any(conversation.rows for conversation in chat.conversations.values()))
    wait_until(lambda: sum(len(conversation.rows) for conversation in chat.conversations.values()) > 60)
    for conversation in chat.conversations.values():
        del conversation.rows[-1:]
    assert started.process.wait(scaled(60)) == 1, started.text()


@pytest.mark.long
@pytest.mark.parametrize("split", [[], ["--processes", "2"]])
def test_counts_edited_in_mid_run_leave_no_device_idle(locust: Start, system: Path, split: list[str]) -> None:
    web = Web(locust, system, *split)
    for run in (1,) if split else (1, 2):
        for count in (20, 40, 6, 20):
            web.users(count)
            assert web.state() == "running"
        view = web.stop()
        assert web.tab()["report"] == f"{web.url}/petrel/report/swarm-{run}"
        assert view["run"] == str(system / f"swarm-{run}")
        assert view["verdict"].startswith(("verdict valid", "verdict unknown"))
        assert f"report {system / f'swarm-{run}' / 'report.html'}" in view["verdict"]
        verdict = judged(system / f"swarm-{run}")
        assert len(devices_of(system / f"swarm-{run}" / "history", Event.ONLINE)) >= 36  # the rest away as planned
        assert verdict["counts"]["sends_acked"] > 50
        assert late_s(system / f"swarm-{run}" / "history") < scaled(3), "nobody sends what was due before he was there"
    assert "more users than devices" not in web.started.text()
    web.started.stop()
    assert "Traceback" not in web.started.text()


@pytest.mark.long
def test_a_worker_that_joins_late_works(locust: Start, system: Path) -> None:
    web = Web(locust, system, "--master", "--expect-workers", "1")
    with Workers(web, system) as workers:
        workers.start()
        wait_until(lambda: "reported as ready" in web.started.text())
        web.users(12)
        workers.start()
        wait_until(lambda: workers.sends(1, system / "swarm-1") > 10)
        wait_until(lambda: running(web.ledger(), 12))
        web.stop()
        judged(system / "swarm-1")


@pytest.mark.long
def test_a_worker_that_is_ready_again_only_after_the_next_start_works(locust: Start, system: Path) -> None:
    web = Web(locust, system, "--master", "--expect-workers", "2")
    with Workers(web, system) as workers:
        workers.start()
        workers.start(LOCUST_WORKER_ADDITIONAL_WAIT_BEFORE_READY_AFTER_STOP="6")
        wait_until(lambda: "2 workers connected" in web.started.text())
        web.users(12)
        press(web.url, "/stop")
        web.post("/swarm", b"user_count=12&spawn_rate=50")
        wait_until(lambda: workers.sends(1, system / "swarm-2") > 10, 30, told=web.started.text)
        wait_until(lambda: running(web.ledger(), 12))
        web.stop()
        judged(system / "swarm-2")


@pytest.mark.long
def test_below_a_base_path_with_a_stop_timeout_and_another_locustfile(locust: Start, system: Path) -> None:
    other = system / "other.py"
    other.write_text(
        "from locust import User, constant, task\n"
        "class Bystander(User):\n"
        "    wait_time = constant(1)\n"
        "    host = 'nowhere'\n"
        "    fixed_count = 2\n"
        "    @task\n"
        "    def rest(self):\n"
        "        pass\n"
    )
    web = Web(locust, system, "--web-base-path", "/load", "--stop-timeout", "30", "-f", f"{LOCUSTFILE},{other}",
              base="/load")  # fmt: skip
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(web.url.removesuffix("/load") + "/petrel/ledger", timeout=5)
    assert "<h1>Stormpetrel</h1>" in web.get("/petrel")
    web.post("/swarm", b"user_count=12&spawn_rate=50")
    wait_until(lambda: running(web.ledger(), 10))
    wait_until(lambda: web.ledger()["acked"] > 60)
    web.get("/stats/requests")
    press(web.url, "/stats/reset")
    assert web.tab()["run directory"] == str(system / "swarm-1")
    web.post("/swarm", b"user_count=7&spawn_rate=50")
    wait_until(lambda: running(web.ledger(), 5))
    web.stop()
    judged(system / "swarm-1")
    assert web.tab()["report"] == f"{web.url}/petrel/report/swarm-1"
    assert "<html" in web.get("/petrel/report/swarm-1")
    web.started.stop()
    assert "Traceback" not in web.started.text()


@pytest.mark.long
@pytest.mark.parametrize("split", [[], ["--processes", "2"]])
def test_the_page_is_never_told_that_a_test_has_stopped_while_it_begins(
    locust: Start, chat, system: Path, split: list[str]
) -> None:
    web = Web(locust, system, *split)
    for run in (1, 2):
        chat.create_s = 0.4  # longer than the page waits until it asks
        web.post("/swarm", b"user_count=4&spawn_rate=50")
        told = []
        while not (view := web.ledger())["sends"]:
            told.append((web.state(), view["phase"]))
        assert {state for state, _ in told} <= {"spawning", "running"}, told
        assert ("spawning", "setup") in told, told
        assert web.tab()["phase"] == "sending"
        chat.create_s = 0.0
        web.stop()
        wait_until(lambda: web.state() == "stopped")
        assert web.tab()["run directory"] == str(system / f"swarm-{run}")


@pytest.mark.long
@pytest.mark.parametrize("split", [[], ["--processes", "2"]])
def test_a_test_that_is_stopped_while_it_is_prepared_does_not_begin(
    locust: Start, chat, system: Path, split: list[str]
) -> None:
    web = Web(locust, system, *split)
    web.users(4)
    web.stop()
    chat.create_s = 0.5
    web.post("/swarm", b"user_count=4&spawn_rate=50")
    wait_until(lambda: web.ledger()["phase"] == "setup")
    assert web.stop()["verdict"] == "none: it was stopped before it began"
    assert web.state() == "stopped"
    assert "report" not in web.tab()
    chat.create_s = 0.0
    web.users(4)
    assert web.ledger()["run"] == str(system / "swarm-3")
    wait_until(lambda: web.ledger()["acked"] > 60)
    web.stop()
    judged(system / "swarm-3")
    web.started.stop()
    assert "Traceback" not in web.started.text()


def test_the_ledger_speaks_in_words_and_says_no_number_that_it_cannot_know(locust: Start, system: Path) -> None:
    web = Web(locust, system)
    assert web.tab()["phase"] == "not started"
    assert "still to be delivered (about)" not in web.tab()
    web.users(12)
    assert web.tab()["phase"] == "sending"
    assert 2 * int(web.tab()["still to be delivered (about)"]) < int(web.tab()["delivered"])
    assert web.tab()["report"] == f"{web.url}/petrel links to it once it is judged"
    web.users(20)
    assert "still to be delivered (about)" not in web.tab(), "the plan counted on 12"
    web.stop()
    tab = web.tab()
    assert tab["phase"] == "ended"
    assert "still to be delivered (about)" not in tab
    for name in ("swarm-2", "..", "swarm-1%2f..%2fswarm.json"):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            web.get(f"/petrel/report/{name}")


@pytest.mark.parametrize("split", [[], pytest.param(["--processes", "2"], marks=pytest.mark.long)])
def test_a_stopped_system_is_70_and_one_line(locust: Start, tmp_path: Path, split: list[str]) -> None:
    at(tmp_path, f"http://127.0.0.1:{free_port()}")
    started = locust("--headless", "-u", "2", "-r", "10", "-t", "60s", "--petrel-dir", str(tmp_path), *split)
    assert started.process.wait(scaled(30)) == 70, started.text()
    said = [line for line in started.text().splitlines() if "/ERROR/petrel" in line]
    assert len(said) == 1, started.text()
    assert f"the system of {tmp_path} does not answer: " in said[0]
    assert f"start a system with: petrel up --dir {tmp_path}" in said[0]
    assert "Traceback" not in started.text()
    assert not list(tmp_path.glob("swarm-*"))


def test_a_test_that_ends_before_it_begins_is_70_and_one_line(locust: Start, system: Path) -> None:
    started = locust("--headless", "-u", "500", "-r", "1", "-t", "4s", "--petrel-dir", str(system))
    assert started.process.wait(scaled(60)) == 70, started.text()
    said = [line for line in started.text().splitlines() if "/ERROR/" in line]
    assert [line.partition(": ")[2] for line in said] == ["the test ended before it began: nothing was tested"]
    assert "Traceback" not in started.text()


def test_in_the_web_ui_a_stopped_system_is_said_and_the_next_start_works(locust: Start, chat, tmp_path: Path) -> None:
    at(tmp_path, f"http://127.0.0.1:{free_port()}")
    web = Web(locust, tmp_path)
    web.post("/swarm", b"user_count=4&spawn_rate=50")
    wait_until(lambda: "does not answer" in web.ledger()["verdict"])
    at(tmp_path, chat.api_url)
    web.users(4)
    web.started.stop()
    assert "Traceback" not in web.started.text()
