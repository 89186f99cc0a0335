"""A whole system in containers is broken by each verb of the engine, proven broken, healed, and leaves nothing."""

import io
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from chaos.cli import lifecycle
from chaos.errors import VALID
from chaos.faults import FAULTS, World, undo
from chaos.faults.fault import Fault, unavailable
from chaos.faults.proofs.proof import Proof
from chaos.faults.world import containers_of
from chaos.run.sketch import topology
from sut.deploy import system as deploy
from sut.deploy.docker.engine import RUN, Engine
from sut.deploy.net.links import Links
from sut.deploy.net.packets import Packets
from sut.deploy.supervise.ending import end
from sut.deploy.system import System
from sut.deploy.topology import Settings
from tests.kit.engine import engine_or_skip, everything
from tests.kit.pace import scaled
from tests.kit.waits import wait_until

pytestmark = pytest.mark.slow
ENDS = {"container_kill", "container_stop", "container_restart", "container_memory"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One running system for all tests; each heals what it breaks."""
    engine = engine_or_skip()
    before = everything(engine)
    directory = tmp_path_factory.mktemp("system")
    made = deploy.start(
        profile="docker", directory=directory, settings=Settings(push=False), on_progress=lambda _text: None,
        timeout_s=scaled(60),
    )  # fmt: skip
    try:
        whole = made.topology
        yield World(
            topology=whole, processes=made, links=Links(whole), packets=Packets(whole.run_id),
            containers=containers_of(whole),
        )  # fmt: skip
        assert lifecycle.down(directory=directory, console=Console(file=io.StringIO())) == VALID
        assert everything(engine) == before
    finally:
        end(made.topology, grace_s=0.2)


def seen(look: Fault, word: str, timeout_s: float) -> Proof:
    """Looks until it holds, as the engine of a run does."""
    deadline_s = time.monotonic() + scaled(timeout_s)
    while True:
        proof: Proof = getattr(look, word)()
        if proof or time.monotonic() > deadline_s:
            return proof
        time.sleep(0.1)


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("container_kill", "gateway-1"), ("container_stop", "gateway-2"), ("container_restart", "chat-1"),
        ("container_pause", "gateway-3"), ("container_disconnect", "sequencer-1"), ("container_memory", "chat-2"),
        ("container_cpu", "gateway-1"), ("gateway_crash", "gateway-2"), ("gateway_pause", "gateway-3"),
        ("partition_gateway_redis", "gateway-1"), ("sentinel_crash", "sentinel-2"),
    ],
)  # fmt: skip
def test_a_fault_bites_heals_and_says_so(world: World, name: str, target: str) -> None:
    fault = FAULTS[name](world, target, {})
    before = world.processes.pid(target)
    steps = fault.arm()
    assert undo.apply(steps, world) == []  # before anything is broken each step is harmless
    fault.inject()
    try:
        bitten = seen(fault, "effective", fault.effect_timeout_s)
    finally:
        assert undo.apply(steps, world) == []
    assert bitten, bitten.text
    healed = seen(fault, "healed", fault.heal_timeout_s)
    assert healed, healed.text
    assert (world.processes.pid(target) != before) == (name in ENDS or name.endswith("_crash"))
    assert bool(fault.effective()) == (name == "container_restart")  # whose effect is that it has another pid
    assert isinstance(world.processes, System)
    deadline_s = time.monotonic() + scaled(20)
    while (problems := world.processes.problems()) and time.monotonic() < deadline_s:
        time.sleep(0.2)
    assert problems == {}


@pytest.mark.timeout(200)
def test_a_fault_is_undone_if_the_process_that_injected_it_is_killed(world: World) -> None:
    control = world.containers
    assert control is not None
    injecting = subprocess.Popen(
        [sys.executable, "-m", "chaos.cli", "inject", "container_pause", "gateway-3", "--for", "100", "--dir",
         world.topology.dir],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_until(lambda: control.look("gateway-3").status == "paused", 20.0)
    finally:
        injecting.kill()
        injecting.wait()
    wait_until(lambda: control.look("gateway-3").status == "running", 10.0)


def test_containers_are_locked_down(world: World) -> None:
    engine = Engine.connect()
    for service in world.topology.services:
        seen_ = engine.look(world.topology, service)
        assert seen_ is not None
        host = seen_["HostConfig"]
        assert host["ReadonlyRootfs"]
        assert host["CapDrop"] == ["ALL"]
        assert "no-new-privileges" in host["SecurityOpt"]
        assert seen_["Config"]["User"].split(":")[0] not in ("", "0", "root")
        addresses = {one["IPAddress"] for one in seen_["NetworkSettings"]["Networks"].values()}
        assert addresses == set(service.zones.values())


def test_a_service_reaches_its_zones_and_nothing_else(world: World) -> None:
    engine, whole = Engine.connect(), world.topology
    for name in (one["Name"] for one in engine.client.api.networks(filters={"label": f"{RUN}={whole.run_id}"})):
        assert engine.client.api.inspect_network(name)["Internal"]
    dial = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 2)"
    chat = engine.client.containers.get(f"petrel-{whole.run_id}-chat-1")
    sequencer, gateway = whole.service("sequencer-1"), whole.service("gateway-1")
    assert chat.exec_run(["python", "-I", "-S", "-c", dial, sequencer.host, str(sequencer.ports["peer"])])[0] == 0
    for host, port in ((gateway.host, gateway.ports["ws"]), ("192.0.2.1", 80)):
        status, said = chat.exec_run(["python", "-I", "-S", "-c", dial, host, str(port)])
        assert status == 1
        assert b"timed out" in said or b"unreachable" in said


def test_only_where_there_are_containers_and_packets_of_containers_are_not_told_apart() -> None:
    here, there = topology("embedded"), topology("docker")
    kill = FAULTS["container_kill"]
    assert kill.targets(here) == ()
    assert "run without containers" in (unavailable(kill, topology=here, lacks={}) or "")
    assert {name.split("-")[0] for name in kill.targets(there)} == {"gateway", "chat", "sequencer", "api"}
    assert unavailable(kill, topology=there, lacks={}) is None
    assert "container_disconnect" in (unavailable(FAULTS["redis_partition"], topology=there, lacks={}) or "")


def test_a_missing_engine_is_one_line_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from chaos.errors import HarnessError

    for where, said in (
        (f"unix://{tmp_path}/nothing.sock", "not running; start it"),
        ("tcp://127.0.0.1:1", "so an engine here"),
    ):
        monkeypatch.setenv("DOCKER_HOST", where)
        with pytest.raises(HarnessError, match=said) as caught:
            lifecycle.up(profile="docker", directory=tmp_path / "up", console=Console(file=io.StringIO()))
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "up").exists()
