"""What a stopped system may have left: each kind of it is seen, and somebody else's is not taken for ours."""

import io
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from chaos.cli import lifecycle
from chaos.errors import VALID, HarnessError
from sut.deploy.probes.remains import remains
from sut.deploy.supervise.reaper import reap
from sut.deploy.supervise.state import RUN_ID, SERVICE
from sut.deploy.topology import Link, Service, Topology, save
from tests.kit.waits import wait_until


def topology(directory: Path, *services: Service, links: tuple[Link, ...] = ()) -> Topology:
    return Topology(
        run_id=os.urandom(8).hex(), profile="embedded", dir=str(directory), services=services, links=links,
        token_key="00", api_key="k",
    )  # fmt: skip


def test_a_system_that_never_ran_left_nothing(tmp_path: Path) -> None:
    with socket.socket() as bound:  # held, as a reservation is, but nobody listens
        bound.bind(("127.0.0.1", 0))
        service = Service(name="chat-1", kind="chat", ports={"peer": bound.getsockname()[1]})
        assert remains(topology(tmp_path, service)) == []


def test_a_port_that_another_run_has_by_now_is_not_taken_for_ours(tmp_path: Path) -> None:
    script = (
        "import socket; one = socket.create_server(('127.0.0.1', 0)); print(one.getsockname()[1], flush=True); input()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", script],
        env={**os.environ, RUN_ID: "another"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert other.stdout is not None
        service = Service(name="chat-1", kind="chat", ports={"peer": int(other.stdout.readline())})
        assert remains(topology(tmp_path, service)) == []
    finally:
        other.communicate(b"")


def test_status_tells_of_processes_that_lost_their_supervisor(tmp_path: Path) -> None:
    made = topology(tmp_path)
    save(made)
    lost = subprocess.Popen(["sleep", "60"], env={**os.environ, RUN_ID: made.run_id})
    try:
        with pytest.raises(HarnessError, match="supervisor is gone; processes left: 1; end them with: petrel down"):
            lifecycle.status(directory=tmp_path)
    finally:
        lost.kill()
        lost.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_start_that_is_interrupted_is_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    monkeypatch.setattr(lifecycle.deploy, "start", lambda **_: os.kill(os.getpid(), number))
    with pytest.raises(HarnessError, match="interrupted"):
        lifecycle.up(directory=tmp_path)


def test_what_the_kernel_is_late_to_close_is_no_complaint_of_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(topology(tmp_path))
    seen = [["port 127.0.0.1:1 (chat-1 peer)"], []]
    monkeypatch.setattr(lifecycle, "remains", lambda _topology: seen.pop(0))
    assert lifecycle.down(directory=tmp_path, console=Console(file=io.StringIO())) == VALID
    assert seen == []


def test_a_process_and_ports_that_answer_are_told_and_a_foreign_servers_are_not(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.9.9.9", 0)) as other:
        port, foreign = one.getsockname()[1], other.getsockname()[1]
        theirs = Service(name="kafka-1", kind="kafka", host="127.9.9.9", ports={"client": foreign}, external=True)
        ours = Service(name="kafka-2", kind="kafka", host="127.9.9.9", ports={"client": foreign})
        link = Link(source="chat-1", target="kafka-1", port="client", listen=port)
        made = topology(tmp_path, theirs, links=(link,))
        assert remains(made) == [f"port 127.0.0.1:{port} (chat-1->kafka-1)"]
        assert remains(topology(tmp_path, ours)) == [f"port 127.9.9.9:{foreign} (kafka-2 client)"]

    sleeper = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(60)"], env={RUN_ID: made.run_id, SERVICE: "chat-1"}
    )
    try:
        wait_until(lambda: remains(made) == [f"process {sleeper.pid} (chat-1)"])
    finally:
        reap(made.run_id, grace_s=0.0)
        sleeper.wait()
    assert remains(made) == []


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("mount") is None, reason="needs root and mount")
def test_a_mounted_disk_is_told(tmp_path: Path) -> None:
    disk = tmp_path / "run" / "data" / "small disk"
    disk.mkdir(parents=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "petrel", disk], check=False)
    if mounted.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        assert remains(topology(tmp_path / "run")) == [f"mount {disk}"]
        assert remains(topology(tmp_path / "ru")) == []
    finally:
        subprocess.run(["umount", disk], check=True)
