"""The Locust file as people and the runner start it: real locust processes against a small service."""

import json
import os
import signal
import time
import urllib.request
from pathlib import Path

import msgspec
import pytest

from load import workload as configs
from load.history.control import ControlReader, Machine, Phase, Sends
from load.history.events import Event, Record
from load.history.ledger import LedgerReader
from load.history.writer import HistoryTail
from load.plan import plan as plans
from load.plan import population as populations
from load.workload import SwarmConfig
from tests.kit.waits import wait_until
from tests.load.locusts import free_port, press

MESSAGES_S = 3.0


@pytest.fixture
def swarm(chat, tmp_path: Path) -> tuple[SwarmConfig, Path]:
    config = SwarmConfig(
        seed=5, users=12, api_url=chat.api_url, api_key="key", history_dir=str(tmp_path / "history"),
        duration_s=MESSAGES_S, rate_per_s=40.0, churn=4, groups_per_user=0.5,
    )  # fmt: skip
    path = tmp_path / "swarm.json"
    configs.save(config, path)
    return config, path


def records(config: SwarmConfig) -> list[Record]:
    return sorted(r for path in config.history.glob("*.bin") for r in HistoryTail(path).read())


def drained(reader: LedgerReader, sends: int) -> bool:
    return reader.update().sends == sends and reader.all_drained()


@pytest.mark.parametrize(("tier", "processes"), [("greenlet", 0), ("greenlet", 2), ("fleet", 0), ("fleet", 2)])
def test_a_headless_run_does_all_that_was_planned(locust, swarm, chat, tier: str, processes: int) -> None:
    config, path = swarm
    config = msgspec.structs.replace(config, tier=tier)
    configs.save(config, path)
    split = ["--processes", str(processes)] if processes else []
    users = config.fleets if tier == "fleet" else config.users
    started = locust("--headless", "-u", str(users), "-r", "100", *split, PETREL_SWARM=str(path))
    wait_until(config.history.exists)
    population = populations.make(config)
    plan = plans.make(config, population)
    planned = sum(len(its.sends) for its in plan.devices.values())
    reader = LedgerReader(config.history)
    wait_until(lambda: drained(reader, planned))
    phases = ControlReader(config.history)
    told: list[object] = []
    wait_until(lambda: told.extend(phases.poll()) or "quiesce" in {e.name for e in told if isinstance(e, Phase)})
    seen = [event for event in told if isinstance(event, Phase)]
    assert started.stop() == 0, started.text()
    assert "Traceback" not in started.text()

    steady = {event.t for event in seen if event.name == "steady"}
    assert len(steady) == 1
    (t0,) = steady
    assert {event.t - t0 for event in seen if event.name == "quiesce"} == {round(MESSAGES_S * 1e9)}
    assert {"setup", "ramp"} <= {event.name for event in seen}
    ended = [event for event in [*told, *phases.poll()] if isinstance(event, Sends)]
    assert (sum(sends.planned for sends in ended), sum(sends.unsent for sends in ended)) == (planned, 0)
    assert len([event for event in told if isinstance(event, Machine)]) >= MESSAGES_S - 1
    rows = records(config)
    devices = [r[2] for r in rows if r[7] == Event.DEVICE]
    assert sorted(devices) == list(population.users)
    sends = [r for r in rows if r[7] == Event.SEND]
    assert len(sends) == len({r[4] for r in sends}) == planned
    assert sorted((r[2], r[1] - t0) for r in sends) == sorted(
        (device, send.due_us * 1000) for device, its in plan.devices.items() for send in its.sends
    )
    members = [r for r in rows if r[7] == Event.MEMBER and r[5]]
    assert len(members) == len(plan.changes)
    writers = {path.name for path in config.history.glob("swarm-*.bin")}
    fleets = config.fleets if tier == "fleet" else 0
    assert len(writers) == processes + 1 + fleets
    assert {r[8] for r in rows if r[7] == Event.OFFLINE} == {1}
    assert len([r for r in rows if r[7] == Event.ONLINE]) == len([r for r in rows if r[7] == Event.OFFLINE])
    assert not chat.connections


def test_a_killed_worker_leaves_its_history_and_the_others_go_on(locust, swarm) -> None:
    config, path = swarm
    started = locust("--headless", "-u", "12", "-r", "100", "--processes", "2", PETREL_SWARM=str(path))
    wait_until(config.history.exists)
    reader = LedgerReader(config.history)
    wait_until(lambda: reader.update().acked > 20)
    victim = started.workers()[0]
    victim.kill()
    before = reader.update().sends
    wait_until(lambda: reader.update().sends > before + 10)
    assert started.stop() == 0
    tail = HistoryTail(config.history / f"swarm-{victim.pid}.bin")
    assert len(tail.read()) > 20


def test_after_sigusr1_nobody_writes_and_everything_settles(locust, swarm) -> None:
    config, path = swarm
    path.write_text(json.dumps(json.loads(path.read_text()) | {"duration_s": 60.0}))
    started = locust("--headless", "-u", "12", "-r", "100", "--processes", "2", PETREL_SWARM=str(path))
    wait_until(config.history.exists)
    reader = LedgerReader(config.history)
    wait_until(lambda: reader.update().acked > 20)
    for process in (started.process, *started.workers()):
        os.kill(process.pid, signal.SIGUSR1)
    wait_until(
        lambda: [e.name for e in ControlReader(config.history).poll() if isinstance(e, Phase)].count("quiesce") == 3
    )
    wait_until(lambda: reader.update() and reader.all_drained())
    settled = reader.update()
    assert settled.online == 12
    time.sleep(0.5)
    assert reader.update().sends == settled.sends
    assert started.stop() == 0


def test_more_users_than_devices_idle_with_one_line(locust, swarm) -> None:
    config, path = swarm
    started = locust("--headless", "-u", "15", "-r", "100", PETREL_SWARM=str(path))
    wait_until(config.history.exists)
    reader = LedgerReader(config.history)
    wait_until(lambda: reader.update().acked > 5)
    assert started.stop() == 0
    assert started.text().count("more users than devices in the plan") == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "No such file"), ('{"users": 0}', "swarm.json: users must be a whole number of at least 1")],
)
def test_a_bad_swarm_json_is_one_line_and_70(locust, tmp_path: Path, content: str | None, said: str) -> None:
    path = tmp_path / "swarm.json"
    if content is not None:
        path.write_text(content)
    started = locust("--headless", "-u", "2", "-r", "10", PETREL_SWARM=str(path))
    assert started.process.wait(20) == 70
    assert said in started.text()
    assert "Traceback" not in started.text()


@pytest.mark.parametrize("split", [[], ["--processes", "2"]])
def test_an_api_that_refuses_is_one_line_and_70(locust, swarm, tmp_path: Path, split: list[str]) -> None:
    path = swarm[1]
    document = json.loads(path.read_text()) | {"api_key": "wrong"}
    path.write_text(json.dumps(document))
    started = locust("--headless", "-u", "2", "-r", "10", *split, PETREL_SWARM=str(path))
    assert started.process.wait(20) == 70
    assert "POST /v1/conversations/bulk: 401: wrong API key" in started.text()
    assert "Traceback" not in started.text()


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as response:
        return response.read().decode()


def test_by_hand_with_the_web_ui_each_start_is_a_run_of_its_own(locust, chat, tmp_path: Path) -> None:
    host, _, port = chat.api_url.removeprefix("http://").partition(":")
    service = {"name": "api-1", "kind": "api", "host": host, "ports": {"http": int(port)}}
    (tmp_path / "topology.json").write_text(json.dumps({"api_key": "key", "services": [service]}))
    web = f"http://127.0.0.1:{free_port()}"
    started = locust("--web-host", "127.0.0.1", "--web-port", web.rpartition(":")[2], "--petrel-dir", str(tmp_path),
                     "--petrel-seconds", "60", "--petrel-rate", "30")  # fmt: skip

    def ledger() -> dict:
        return json.loads(get(f"{web}/petrel/ledger"))

    def up() -> bool:
        try:
            return ledger()["phase"] == ""
        except OSError:
            return False

    wait_until(up)
    for run in (1, 2):
        data = b"user_count=8&spawn_rate=50"
        urllib.request.urlopen(f"{web}/swarm", data=data, timeout=5).close()
        wait_until(lambda: (view := ledger())["online"] >= 7 and view["shown"] > 20)
        view = ledger()
        assert view["phase"] == "steady"
        assert view["devices"] == 8
        assert view["sends"] >= view["acked"] > 0
        assert view["show_ms"]["p50"] > 0
        assert view["violations"] == 0
        press(web, "/stop")
        config = configs.load(tmp_path / f"swarm-{run}" / "swarm.json")
        rows = records(config)
        assert {r[2] for r in rows if r[7] == Event.SEND} <= set(range(config.first_id, config.first_id + 8))
        assert len({r[2] for r in rows if r[7] == Event.ONLINE}) >= 7
    stats = json.loads(get(f"{web}/stats/requests"))
    assert {"send -> ack", "send -> shown (1:1)"} <= {entry["name"] for entry in stats["stats"]}
    (tab,) = stats["extended_stats"]
    assert tab["key"] == "petrel"
    rows_told = [row["row"] for row in tab["data"]]
    assert (rows_told[0], rows_told[-2:]) == ("phase", ["send -> shown p50 / p99 / max ms", "report"])
    assert {"row": "protocol violations seen", "value": "0"} in tab["data"]
    assert "Ledger" in get(web)
    page = get(f"{web}/petrel")
    assert "<h1>Stormpetrel</h1>" in page
    assert '<link rel="icon" href="data:,">' in page, "or browsers ask for one, and complain"
    started.stop()
    assert "Traceback" not in started.text()


def test_by_hand_without_a_system_says_what_to_do(locust, tmp_path: Path) -> None:
    started = locust("--headless", "-u", "2", "-r", "10", "--petrel-dir", str(tmp_path))
    assert started.process.wait(20) == 70
    assert "start a system with: petrel up --dir" in started.text()
