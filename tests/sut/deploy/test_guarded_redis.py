"""A Redis with a password, Sentinels with a user, both by TLS alone: found, used, and a refusal in one line."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import msgspec
import psutil
import pytest

from sut.adapters.backends import Backends
from sut.deploy.errors import DeployError
from sut.deploy.servers import binaries
from sut.deploy.servers.external import Servers, discover
from sut.deploy.supervise.reaper import members
from sut.deploy.system import System
from sut.deploy.topology import Service, Topology, load
from sut.ports import Route, Unavailable
from tests.kit.guarded import Guard, guard_redis
from tests.kit.pace import scaled
from tests.kit.tls_redis import tls_redis_server
from tests.sut.deploy.conftest import Workshop

SERVERS = ("redis-1", "redis-2", "sentinel-1", "sentinel-2", "sentinel-3")


class Theirs:
    """Running servers, and what lets a client in."""

    def __init__(self, guard: Guard, topology: Topology) -> None:
        self.guard = guard
        self.topology = topology
        self.asked = ("127.0.0.1", topology.service("sentinel-1").ports["redis"])

    def servers(self, **ways: dict[str, object]) -> Servers:
        file = self.guard.file("secrets.yaml", self.guard.ways() | ways)
        return Servers(sentinels=(self.asked,), secrets=str(file))

    def refusal(self, **ways: dict[str, object]) -> str:
        with pytest.raises(DeployError) as caught:
            discover(self.servers(**ways))
        said = str(caught.value)
        assert "\n" not in said
        assert not any(password in said for password in self.guard.passwords.values())
        return said


@pytest.fixture
def theirs(workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Theirs]:
    server = tls_redis_server()
    monkeypatch.setattr(binaries, "find_redis_server", lambda *_least: server)
    guard = Guard(tmp_path / "guard", ("127.0.0.1",))
    guard_redis(guard, monkeypatch)
    secrets = guard.file("theirs.yaml", guard.ways())
    topology = msgspec.structs.replace(workshop.topology(*SERVERS), redis_key="", secrets=str(secrets))
    system = workshop.boot(topology)
    try:
        yield Theirs(guard, topology)
    finally:
        system.stop()


def test_members_are_found_by_tls_and_wrong_secrets_are_one_line(theirs: Theirs) -> None:
    found = discover(theirs.servers())
    assert len(found["redis"]) == 2
    assert len(found["sentinel"]) == 3
    ways, at = theirs.guard.ways(), f"127.0.0.1:{theirs.asked[1]}"
    wrong = {"password": "wrong"}
    assert theirs.refusal(sentinel=ways["sentinel"] | wrong).startswith(f"sentinel {at}: ")
    assert "invalid username-password" in theirs.refusal(sentinel=ways["sentinel"] | wrong)
    assert "invalid username-password" in theirs.refusal(redis=ways["redis"] | wrong)
    assert "its certificate cannot be trusted: " in theirs.refusal(
        sentinel=ways["sentinel"] | {"ca": theirs.guard.other_ca}
    )
    said = theirs.refusal(redis=ways["redis"] | {"ca": theirs.guard.other_ca})
    assert said.startswith(f"redis at {at} names a member that cannot be used from here: ")
    assert "its certificate cannot be trusted: " in said
    assert at in theirs.refusal(sentinel={"user": "petrel", "password": "x"})  # without TLS: nothing is said
    assert "(does it ask for TLS or a password? see --secrets)" in theirs.refusal(sentinel={})


def ours_on(theirs: Theirs) -> Topology:
    """A topology of ours on their servers."""
    servers = theirs.servers()
    found = discover(servers)
    gateway = Service(name="gateway-1", kind="gateway", ports={"ws": 1, "peer": 2})
    return Topology(
        run_id="ab12", profile="embedded", dir="/x", services=(gateway, *found["redis"], *found["sentinel"]),
        token_key="00", api_key="k", secrets=servers.secrets,
    )  # fmt: skip


def test_services_keep_routes_there_and_a_failover_is_followed(theirs: Theirs) -> None:
    async def use(topology: Topology) -> None:
        backends = Backends(topology, "gateway-1")
        registry, presence = backends.registry(), backends.presence()
        try:
            await until(lambda: registry.lease("gateway-1", 1, 60.0, "ws://127.0.0.1:1"))
            await registry.register([(7, Route(1, "gateway-1", 1, 1, 1))])
            assert len((await registry.routes([7]))[7]) == 1
            await presence.here("gateway-1", 1, [7])
            assert 7 in await presence.look([7])
            master = next(s for s in theirs.topology.of_kind("redis") if s.index == 0)
            generation = registry.master.generation
            os.kill(pid_of(theirs, master.name), signal.SIGKILL)
            await until(lambda: registry.lease("gateway-1", 1, 60.0, "ws://127.0.0.1:1"))
            assert registry.master.generation > generation
        finally:
            await backends.close()

    asyncio.run(use(ours_on(theirs)))


async def until(act: Callable[[], Awaitable[object]]) -> None:
    """Repeat a call until it is answered."""
    end = time.monotonic() + 60
    while True:
        try:
            await act()
            return
        except Unavailable:
            assert time.monotonic() < end
            await asyncio.sleep(0.2)


def pid_of(theirs: Theirs, name: str) -> int:
    pid = System(theirs.topology).pid(name)
    assert pid is not None
    return pid


def petrel(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "chaos.cli.petrel", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, timeout=scaled(60))


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_system_on_it_shows_its_secrets_nowhere(theirs: Theirs, tmp_path: Path) -> None:
    """Neither in a command line nor an environment, nor in what is printed, logged or written."""
    place = ("--dir", str(tmp_path / "up"))
    secrets = theirs.servers().secrets
    said = petrel("up", *place, "--sentinels", f"127.0.0.1:{theirs.asked[1]}", "--secrets", secrets, cwd=tmp_path)
    try:
        assert said.returncode == 0, said.stdout + said.stderr
        status = petrel("status", *place, cwd=tmp_path)
        assert status.returncode == 0, status.stdout + status.stderr
        ours = members(load(tmp_path / "up" / "topology.json").run_id)
        assert {"gateway-1", "api-1", "supervisor"} <= set(ours.values())
        shown = said.stdout + said.stderr + status.stdout + status.stderr
        shown += " ".join(word for one in psutil.process_iter() for word in words_of(one))
        shown += " ".join(value for one in ours for value in one.environ().values())
    finally:
        down = petrel("down", *place, cwd=tmp_path)
    assert down.returncode == 0
    files = [path for path in (tmp_path / "up").rglob("*") if path.is_file()]
    assert len(files) > 10
    for kind in ("redis", "sentinel"):
        password = theirs.guard.passwords[kind]
        assert password not in shown
        assert [path for path in files if password.encode() in path.read_bytes()] == []


def words_of(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
