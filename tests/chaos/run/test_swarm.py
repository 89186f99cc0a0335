"""What the runner says of a swarm that ended."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from chaos.errors import HarnessError, UsageError
from chaos.run import experiment, rundir
from chaos.run.swarm import LOCUSTFILE, SwarmProcess, configure, last_line, locust_environ
from chaos.verdict.history.history import load_run
from chaos.verdict.judge import judge
from load import workload
from load.history.control import ControlReader, ControlWriter, Hole, Meta, Phase, Sends
from load.history.ledger import LedgerReader
from load.history.writer import now_ns
from load.readback import readback
from sut.deploy.topology import Link, Service, Topology
from sut.protocol.frames import Send
from tests.kit.waits import wait_until
from tests.load.conftest import MiniChat

START = "[2026-11-25 19:52:14,283] here/INFO/locust.main: Starting Locust 2.47.0\n"
ERROR = "[2026-11-25 19:52:16,213] here/ERROR/petrel: /x/swarm-1.bin: No space left on device\n"
END = "[2026-11-25 19:52:16,410] here/INFO/locust.runners: The last worker quit, stopping test.\n"


def test_the_error_is_told_and_not_what_locust_says_after_it(tmp_path: Path) -> None:
    log = tmp_path / "swarm.log"
    assert last_line(log) == "it has no log"
    log.touch()
    assert last_line(log) == "it wrote nothing"
    log.write_text(START + END)
    assert last_line(log) == END.strip()
    log.write_text(START + ERROR + END)
    assert last_line(log) == ERROR.strip()


def test_the_swarm_gets_every_knob_of_the_experiment(tmp_path: Path) -> None:
    api = Service(name="api-1", kind="api", ports={"http": 8080})
    topology = Topology(run_id="r", profile="embedded", dir="/", services=(api,), token_key="00", api_key="k")
    wanted = experiment.load("everything")
    changes = {"churn": 5, "silent_share": 0.25, "group_cap": 9, "groups_per_user": 0.5, "causal": False}
    wanted = msgspec.structs.replace(wanted, **changes)
    directory = rundir.make(tmp_path / "run")
    config = configure(wanted, topology, directory, 7)
    assert config == workload.load(directory.swarm)
    assert config.seed == 7
    for name in workload.Workload.__struct_fields__:
        assert getattr(config, name) == getattr(wanted, name), name


def test_mobile_devices_get_the_ways_of_their_cells_and_need_toxiproxy(tmp_path: Path) -> None:
    services = (
        Service(name="api-1", kind="api", ports={"http": 8080}),
        Service(name="gateway-1", kind="gateway", ports={"ws": 1}),
        Service(name="gateway-2", kind="gateway", ports={"ws": 2}),
    )
    links = tuple(
        Link(source=f"cell-{cell}", target=f"gateway-{gateway}", port="ws", listen=10 * cell + gateway, kb_per_s=8)
        for cell in (1, 2)
        for gateway in (1, 2)
    )
    bare = Topology(run_id="r", profile="embedded", dir="/", services=services, token_key="00", api_key="k")
    wanted = experiment.load("mobile")
    config = configure(wanted, msgspec.structs.replace(bare, links=links), rundir.make(tmp_path / "run"), 7)
    assert config.ways == (
        {"127.0.0.1:1": ("127.0.0.1", 11), "127.0.0.1:2": ("127.0.0.1", 12)},
        {"127.0.0.1:1": ("127.0.0.1", 21), "127.0.0.1:2": ("127.0.0.1", 22)},
    )
    with pytest.raises(HarnessError, match="mobile_share needs cells, and this machine has no Toxiproxy"):
        configure(wanted, bare, rundir.make(tmp_path / "other"), 7)


HOSTILE = {
    "LOCUST_TAGS": "nothing",
    "LOCUST_EXCLUDE_TAGS": "everything",
    "LOCUST_USER_CLASSES": "NoSuchUser",
    "LOCUST_LOCUSTFILE": "/nowhere/locustfile.py",
    "LOCUST_RUN_TIME": "1s",
    "LOCUST_USERS": "1",
    "LOCUST_STOP_TIMEOUT": "90",
    "LOCUST_MODE_WORKER": "true",
    "LOCUST_EXPECT_WORKERS": "7",
    "LOCUST_LOGFILE": "elsewhere.log",
    "LOCUST_CSV": "stats",
    "LOCUST_ITERATIONS": "1",
}


@pytest.fixture
def hostile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Variables and a home that would change what Locust does."""
    for name, value in HOSTILE.items():
        monkeypatch.setenv(name, value)
    home = tmp_path / "home"
    home.mkdir()
    (home / ".locust.conf").write_text("tags = nothing\nrun-time = 1s\nno-such-option = 5\nlogfile = elsewhere.log\n")
    monkeypatch.setenv("HOME", str(home))
    return home


def test_locusts_own_settings_do_not_reach_a_run(hostile: Path, tmp_path: Path) -> None:
    directory = tmp_path / "run"
    directory.mkdir()
    environ = locust_environ(directory)
    assert not [name for name in environ if name.startswith("LOCUST")]
    script = (
        "import json, sys\n"
        "from locust.argument_parser import parse_options\n"
        "options = parse_options(sys.argv[1:])\n"
        "print(json.dumps({name: getattr(options, name) for name in"
        " ('tags', 'exclude_tags', 'run_time', 'num_users', 'stop_timeout', 'worker', 'logfile', 'user_classes')}))\n"
    )
    command = [sys.executable, "-P", "-c", script, "-f", str(LOCUSTFILE), "--users", "12"]
    ended = subprocess.run(command, env=environ, cwd=directory, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert msgspec.json.decode(ended.stdout.splitlines()[-1]) == {
        "tags": None, "exclude_tags": None, "run_time": None, "num_users": 12, "stop_timeout": 0.0, "worker": False,
        "logfile": None, "user_classes": [],
    }  # fmt: skip
    assert str(hostile) != environ["HOME"]


@pytest.mark.usefixtures("hostile")
def test_a_swarm_starts_whatever_locust_is_told_elsewhere(tmp_path: Path) -> None:
    directory = rundir.make(tmp_path / "run")
    wanted = msgspec.structs.replace(experiment.load("quick"), users=4)
    started = SwarmProcess(wanted, directory, {})  # without a swarm.json it ends with a line that says so
    try:
        assert os.waitid(os.P_PID, started.pids().popitem()[1], os.WEXITED | os.WNOWAIT) is not None
    finally:
        started.stop(lambda: True)
    assert "swarm.json: No such file or directory" in last_line(started.log)


@pytest.fixture
def chat() -> Iterator[MiniChat]:
    """A small service, over WebSockets and HTTP."""
    service = MiniChat()
    service.start()
    yield service
    service.stop()


@pytest.fixture
def fleets(chat: MiniChat, tmp_path: Path) -> Iterator[tuple[SwarmProcess, rundir.RunDir]]:
    """A swarm of the tier fleet with three processes."""
    port = int(chat.api_url.rpartition(":")[2])
    api = Service(name="api-1", kind="api", ports={"http": port})
    topology = Topology(run_id="r", profile="embedded", dir="/", services=(api,), token_key="00", api_key="key")
    directory = rundir.make(tmp_path / "run")
    wanted = msgspec.structs.replace(
        experiment.load("quick"), users=30, workers=3, tier="fleet", duration_s=60.0, rate_per_s=60.0, churn=0
    )
    configure(wanted, topology, directory, 7)
    started = SwarmProcess(wanted, directory, {})
    yield started, directory
    started.stop(lambda: True)


def fleet_pids(started: SwarmProcess, directory: rundir.RunDir) -> list[int]:
    """The processes with devices: all but Locust's and the parent."""
    written = {path.stem for path in directory.history.glob("*.bin") if path.stat().st_size > 0}
    mine = started.pids()
    (_locust, *others) = mine
    return [mine[name] for name in others if name in written]


def test_a_fleet_process_that_dies_is_noticed_and_the_others_go_on(
    fleets: tuple[SwarmProcess, rundir.RunDir],
) -> None:
    started, directory = fleets
    reader = LedgerReader(directory.history)
    wait_until(lambda: not started.deaths() and reader.update().acked > 30)
    pids = fleet_pids(started, directory)
    assert len(pids) == 3
    os.kill(pids[0], signal.SIGKILL)
    found: list[tuple[str, str]] = []
    wait_until(lambda: found.extend(started.deaths()) or found)
    assert found == [(f"swarm-{pids[0]}", "a worker ended")]
    before = reader.update().sends
    wait_until(lambda: reader.update().sends > before + 20)
    assert not started.deaths()
    deadline = time.monotonic() + 20
    assert started.stop(lambda: time.monotonic() > deadline)
    assert "Traceback" not in started.log.read_text()
    assert "ended: killed by SIGKILL" in started.log.read_text()


def test_what_a_fleet_process_that_died_had_sent_accuses_nobody(
    fleets: tuple[SwarmProcess, rundir.RunDir], chat: MiniChat
) -> None:
    started, directory = fleets
    reader = LedgerReader(directory.history)
    wait_until(lambda: not started.deaths() and reader.update().acked > 30)
    chat.swallow = lambda _device, frame: isinstance(frame, Send)  # from now on sends get no answer
    wait_until(lambda: (ledger := reader.update()).sends > ledger.acked + 20)
    victim = fleet_pids(started, directory)[0]
    os.kill(victim, signal.SIGKILL)
    chat.swallow = lambda _device, _frame: False
    found: list[tuple[str, str]] = []
    wait_until(lambda: found.extend(started.deaths()) or found)
    control = ControlWriter(directory.history / "runner.jsonl", process="runner")
    for process, how in found:
        control.write(Hole(t=now_ns(), process=process, detail=how))
    acked = reader.update().acked
    wait_until(lambda: reader.update().acked > acked + 20)
    started.stop_writing()
    deadline = time.monotonic() + 20
    assert started.stop(lambda: time.monotonic() > deadline)
    control.close()
    assert readback.main([str(directory.swarm)]) == 0

    meta = Meta(t=now_ns(), experiment="quick", profile="embedded", seed=7, duration_s=60.0)
    (directory.history / "meta.jsonl").write_bytes(msgspec.json.encode(meta) + b"\n")
    verdict = judge(load_run(directory.path))
    assert verdict.verdict == "unknown"
    assert verdict.counts.sends_indeterminate > 0
    of_content = ("acked_lost", "indeterminate", "duplicates", "order", "gaps_forks", "phantoms", "leaks", "session")
    assert {check.name: check.verdict for check in verdict.checks if check.name in of_content} == dict.fromkeys(
        of_content, "valid"
    )


def test_fleet_processes_write_no_more_after_sigusr1_and_end_in_good_order(
    fleets: tuple[SwarmProcess, rundir.RunDir], chat: MiniChat
) -> None:
    started, directory = fleets
    reader = LedgerReader(directory.history)
    wait_until(lambda: not started.deaths() and reader.update().acked > 30)
    started.stop_writing()

    def settled() -> int:
        names = [event.name for event in ControlReader(directory.history).poll() if isinstance(event, Phase)]
        return names.count("quiesce")

    wait_until(lambda: settled() == 4)
    wait_until(lambda: reader.update() and reader.all_drained())
    sends = reader.update()
    assert sends.online == 30, "who was away is back"
    time.sleep(0.5)
    assert reader.update().sends == sends.sends
    deadline = time.monotonic() + 20
    assert started.stop(lambda: time.monotonic() > deadline)
    wait_until(lambda: not chat.connections)
    told = [event for event in ControlReader(directory.history).poll() if isinstance(event, Sends)]
    planned = sum(event.planned for event in told)
    assert planned - sum(event.unsent for event in told) == sends.sends
    assert planned == 3600


def test_when_locust_dies_its_fleet_processes_end(fleets: tuple[SwarmProcess, rundir.RunDir]) -> None:
    started, directory = fleets
    reader = LedgerReader(directory.history)
    wait_until(lambda: not started.deaths() and reader.update().online > 20)
    locust, *others = started.pids().values()
    os.kill(locust, signal.SIGKILL)
    dead: set[str] = set()
    wait_until(lambda: dead.update(name for name, _ in started.deaths()) or len(dead) == 1 + len(others))


def test_what_the_tier_fleet_cannot_do_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("name: x\nsummary: x\nusers: 10\ntier: fleet\ncrypto_share: 0.5\n")
    with pytest.raises(
        UsageError, match=r"tier fleet has no encryption: take tier greenlet, or leave crypto_share at 0"
    ):
        experiment.load(str(path))
