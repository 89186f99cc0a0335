"""A run on a system that somebody else started: which hosts and links it may touch, and that the system goes on."""

import asyncio
import http.server
import json
import os
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import psutil
import pytest

from chaos.cli import petrel as cli
from chaos.faults import FAULTS
from chaos.run import sketch
from load.drive.api import ApiClient
from sut.deploy import elsewhere, system
from sut.deploy.errors import DeployError
from sut.deploy.supervise.reaper import members
from sut.deploy.supervise.reservation import Reservation
from sut.deploy.system import System
from sut.deploy.topology import Service, Settings, Topology, TopologyError, save
from sut.process.peer import PeerServer
from tests.kit.pace import scaled

EXPERIMENT = """\
name: elsewhere
summary: a system that goes on afterwards
users: 40
duration_s: 20
rate_per_s: 15
heartbeat_s: 2
faults:
  - {name: gateway_crash, for_s: [1, 2]}
  - {name: link_latency, for_s: [3, 4]}
timing: {warm_up_s: 3, settle_s: 3, tail_s: 6}
bounds: {latency_ms: 20000, catch_up_s: 25, liveness_s: 40, min_acked: 100, min_deliveries: 100}
checks: [acked_lost, indeterminate, duplicates, order, gaps_forks, phantoms, leaks, session, catch_up, liveness,
         latency, vacuity]
"""


def written(directory: Path, host: str = "127.0.0.1") -> Topology:
    """A topology file with the names of the real one; its services are on `host`."""
    made = sketch.topology("embedded", Settings(push=False, receipts=False, heartbeat_s=2))
    services = tuple(msgspec.structs.replace(service, host=host) for service in made.services)
    topology = msgspec.structs.replace(made, services=services, dir=str(directory))
    save(topology)
    return topology


def planned(directory: Path, *, allowed: tuple[str, ...], may_break: tuple[str, ...] = ()) -> elsewhere.Elsewhere:
    return elsewhere.planned(
        directory / "topology.json", directory=directory / "run", run_id="ab", allowed=allowed, may_break=may_break
    )


def test_each_host_must_be_named(tmp_path: Path) -> None:
    written(tmp_path, "10.1.2.3")
    with pytest.raises(TopologyError, match=r"not allowed: gateway-1 ws at 10\.1\.2\.3:\d+, .* and \d+ more; name 10"):
        planned(tmp_path, allowed=("127.0.0.1",))
    assert planned(tmp_path, allowed=("10.1.2.3",)).allowed == {"10.1.2.3"}
    with pytest.raises(TopologyError, match=r"'example\.com' is allowed and is no host of "):
        planned(tmp_path, allowed=("10.1.2.3", "example.com"))


def test_a_public_host_is_what_devices_dial(tmp_path: Path) -> None:
    made = written(tmp_path, "::1")
    services = tuple(msgspec.structs.replace(one, public_host="chat.example") for one in made.services)
    save(msgspec.structs.replace(made, services=services))
    with pytest.raises(TopologyError, match=r"gateway-1 ws at chat\.example:"):
        planned(tmp_path, allowed=("::1",))
    assert planned(tmp_path, allowed=("::1", "chat.example"))


def test_only_named_links_can_be_broken_and_no_process(tmp_path: Path) -> None:
    there = written(tmp_path, "10.1.2.3")
    one = there.links[0].name
    closed = planned(tmp_path, allowed=("10.1.2.3",)).topology
    assert not any(fault.targets(closed) for fault in FAULTS.values())
    with pytest.raises(TopologyError, match=rf"not allowed: {one} at 127\.0\.0\.1:"):  # its proxy
        planned(tmp_path, allowed=("10.1.2.3",), may_break=(one,))
    topology = planned(tmp_path, allowed=("10.1.2.3", "127.0.0.1"), may_break=(one,)).topology
    assert {target for fault in FAULTS.values() for target in fault.targets(topology)} <= {one, "gateway-1"}
    assert FAULTS["link_latency"].targets(topology) == (one,)
    assert topology.run_id == "ab" != there.run_id
    with pytest.raises(TopologyError, match=r"^no link 'x' in "):
        planned(tmp_path, allowed=("10.1.2.3",), may_break=("x",))


def test_nothing_is_sent_before_every_host_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        made = written(tmp_path)
        ports = dict.fromkeys(("ws", "http", "peer", "redis", "api"), listener.getsockname()[1])
        services = [
            msgspec.structs.replace(one, ports={role: ports.get(role, 1) for role in one.ports})
            for one in made.services
        ]
        services[-1] = msgspec.structs.replace(services[-1], host="10.1.2.3")
        services[0] = msgspec.structs.replace(services[0], host="10.1.2.4")
        save(msgspec.structs.replace(made, services=tuple(services)))
        file, link = str(tmp_path / "topology.json"), made.links[0].name
        arguments = ["run", "presence", "--topology", file, "--allow", "127.0.0.1", "--break", link]
        assert cli.main([*arguments, "--out", str(tmp_path / "out")]) == 64
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert "name 10.1.2.4,10.1.2.3 in --allow" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_devices_connect_to_no_other_host_whatever_discovery_lists() -> None:
    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"gateways": ["ws://10.1.2.3:80/x", "ws://[::1]:80/x", "wss://chat.example/x"]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        assert set(ApiClient(url, allowed=("::1", "chat.example")).gateways()) == {
            "ws://[::1]:80/x",
            "wss://chat.example/x",
        }
        assert len(ApiClient(url).gateways()) == 3
        server.shutdown()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--allow", "a"], "--allow goes with --topology"),
        (["--break", "a"], "--break goes with --topology"),
        (["--topology", "t.json"], "--topology needs --allow: name every host that this run may send packets to"),
        (["--topology", "t.json", "--allow", "a"], "t.json: No such file or directory"),
        (
            ["--topology", "t.json", "--allow", "a", "--variant", "ack_before_durable"],
            "--topology names a whole system: .*",
        ),
    ],
)
def test_a_mistake_is_one_line(capsys: pytest.CaptureFixture[str], options: list[str], said: str) -> None:
    assert cli.main(["run", "quick", *options]) == 64
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert re.fullmatch(f"petrel: {said}\n", line), line


def test_a_system_that_lacks_what_the_experiment_needs_is_refused(tmp_path: Path) -> None:
    from chaos.errors import UsageError
    from chaos.run import experiment

    with pytest.raises(UsageError, match="experiment push needs push, and that system runs without"):
        sketch.check_settings(experiment.load("push"), Settings(push=False))
    with pytest.raises(UsageError, match="experiment quick needs a heartbeat of 10 s; that system has 30 s"):
        sketch.check_settings(experiment.load("quick"), Settings(heartbeat_s=30))
    sketch.check_settings(experiment.load("quick"), Settings(heartbeat_s=5))


def petrel(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "chaos.cli.petrel", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, timeout=scaled(150))


@pytest.mark.parametrize(("kind", "away"), [("gateway", ("gateway-1",)), ("sequencer", None)])
def test_gateways_may_be_fewer_than_the_file_has_and_sequencers_may_not(
    tmp_path: Path, kind: str, away: tuple[str, ...] | None
) -> None:
    """As an autoscaler leaves them."""
    key = "00" * 32
    with Reservation() as ports:
        named = [Service(name=f"{kind}-{n + 1}", kind=kind, index=n, ports={"peer": ports.port()}) for n in range(2)]
    save(
        Topology(
            run_id="a",
            profile="cluster",
            dir=str(tmp_path),
            services=tuple(named),
            token_key=key,
            api_key="k",
            peer_key=key,
        )
    )
    there = planned(tmp_path, allowed=("127.0.0.1",))

    async def opened() -> tuple[str, ...]:
        server = PeerServer(node=f"{kind}-2", incarnation=1, secret=bytes.fromhex(key), on_frame=lambda *_: None)
        await server.start("127.0.0.1", named[1].ports["peer"])
        try:
            return await asyncio.to_thread(there.open)
        finally:
            await server.close()

    if away is None:
        with pytest.raises(DeployError, match=r"^sequencer-1 at 127\.0\.0\.1: does not answer a ping$"):
            asyncio.run(opened())
    else:
        assert asyncio.run(opened()) == away


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(400)
def test_a_run_on_it_is_valid_and_leaves_it_as_it_was(tmp_path: Path) -> None:
    there = system.start(
        profile="embedded", directory=tmp_path / "there", settings=Settings(heartbeat_s=2), on_progress=lambda _: None
    )
    try:
        before = pids(there)
        experiment = tmp_path / "elsewhere.yaml"
        experiment.write_text(EXPERIMENT)
        file = str(tmp_path / "there" / "topology.json")
        out = tmp_path / "out"
        done = petrel(
            *("run", str(experiment), "--seed", "1", "--out", str(out), "--json"),
            *("--topology", file, "--allow", "127.0.0.1", "--break", "sequencer-1->gateway-2"),
            cwd=tmp_path,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        verdict = json.loads(done.stdout.splitlines()[-1])
        assert verdict["counts"]["sends_acked"] > 100
        (fault,) = verdict["faults"]
        assert (fault["name"], fault["target"]) == ("link_latency", "sequencer-1->gateway-2")
        assert fault["effective"]
        assert fault["healed"]
        assert "without gateway_crash: " in done.stderr
        assert pids(there) == before
        assert there.problems(scaled(2.0)) == {}
        mine = json.loads((out / "topology.json").read_text())["run_id"]
        assert members(mine) == {}
    finally:
        there.stop()


@pytest.mark.slow
def test_a_system_that_is_away_is_one_line(tmp_path: Path) -> None:
    written(tmp_path)
    arguments = ("--topology", str(tmp_path / "topology.json"), "--allow", "127.0.0.1", "--out", str(tmp_path / "out"))
    done = petrel("run", "quick", *arguments, cwd=tmp_path)
    assert done.returncode == 70
    assert "gateway-1 at 127.0.0.1: does not answer a ping" in done.stderr.splitlines()[-1]


def pids(there: System) -> dict[str, tuple[int, float]]:
    found = {name: process.pid for name, process in there.state().items()}
    assert os.getpid() not in found.values()
    return {name: (pid, psutil.Process(pid).create_time()) for name, pid in found.items()}
