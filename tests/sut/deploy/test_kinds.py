"""Each kind of service has one record, and what it names exists; a system can run an old piece from outside."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from sut.deploy.errors import EXIT_CANNOT
from sut.deploy.kinds import KINDS, Kind, stages
from sut.deploy.probes import health
from sut.deploy.profiles import PROFILES
from sut.deploy.supervise.supervisor import STOP_TIMEOUT_S
from sut.deploy.topology import Service, TopologyError, load, save
from tests.sut.deploy.conftest import Workshop


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_what_a_record_names_exists(kind: Kind) -> None:
    if kind.serves:
        parameters = inspect.signature(importlib.import_module(kind.serves).serve).parameters
        assert list(parameters)[:4] == ["topology", "service", "incarnation", "stop"]
        assert "peer" in kind.ports
    else:
        assert list(inspect.signature(kind.own("services")).parameters)[2] == "place"
        assert callable(kind.own("problem"))
    assert kind.own("no_such_part") is None


def test_every_profile_knows_its_kinds_only() -> None:
    for profile in PROFILES.values():
        assert set(profile.services) <= set(KINDS)
        assert {kind for link in profile.links for kind in link[:2]} <= set(profile.services)


def test_who_starts_and_stops_together() -> None:
    starts = [{kind.name for kind in group} for group in stages(lambda kind: kind.start)]
    assert starts[0] == {"redis", "shard", "toxiproxy", "volume"}
    assert len(starts) == 2
    stops = [{kind.name for kind in group} for group in stages(lambda kind: kind.stop)]
    assert stops[:3] == [{"gateway"}, {"api", "chat"}, {"sequencer", "push"}]
    assert stops[-1] == {"volume"}
    assert STOP_TIMEOUT_S == 11.0


def test_a_kind_that_is_not_there_is_one_line_with_those_that_are(workshop: Workshop, tmp_path: Path) -> None:
    topology = workshop.topology("redis-1")
    topology.path.mkdir()
    path = save(topology)
    path.write_bytes(path.read_bytes().replace(b'"kind": "redis"', b'"kind": "rediz"'))
    with pytest.raises(TopologyError, match="no kind of service 'rediz'; there are gateway, chat, "):
        load(path)
    with pytest.raises(ValueError, match="no kind of service 'x'"):
        Service(name="x-1", kind="x")


NEW_SERVICE = '''"""A service that answers pings, as few lines as one can have."""

from sut.process.peer import PeerServer
from sut.process.serving import peers, refuse


async def serve(topology, service, incarnation, stop):
    secret = topology.peer_secret
    ready = {"ready": 1.0}
    server = PeerServer(node=service.name, incarnation=incarnation, secret=secret, on_frame=refuse, stats=ready.copy)
    async with peers(service, server, {}):
        await stop.wait()
'''


def test_a_new_service_is_a_module_and_a_record(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "echo_process.py").write_text(NEW_SERVICE)
    monkeypatch.syspath_prepend(tmp_path)
    record = Kind(name="echo", count=1, serves="echo_process", sign=("ready", "is not ready"), stop=3)
    monkeypatch.setitem(KINDS, "echo", record)  # type: ignore[arg-type]
    topology = workshop.topology("echo-1")
    (service,) = topology.of_kind("echo")
    assert record in stages(lambda kind: kind.stop)[2]
    assert health.problem(topology, service, 0.5) == "does not answer a ping"

    async def live() -> None:
        stop = asyncio.Event()
        serving = asyncio.create_task(importlib.import_module(record.serves).serve(topology, service, 1, stop))
        async with asyncio.timeout(10):
            while await asyncio.to_thread(health.problem, topology, service, 2.0) is not None:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        stop.set()
        await serving

    asyncio.run(live())


OLD_PIECE = '''"""Known bad: says so, and ends."""

import sys


def chat(topology):
    sys.exit(f"the old piece of {topology.profile}")
'''


def test_the_launcher_asks_a_variant_outside_the_package_for_its_pieces(workshop: Workshop, tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "piece.py").write_text(OLD_PIECE)
    topology = msgspec.structs.replace(
        workshop.topology("chat-1"), variant="old.piece", variant_dir=str(tmp_path), links=()
    )
    topology.path.mkdir()
    command = [sys.executable, "-P", "-m", "sut.deploy.supervise.launch", str(save(topology)), "chat-1"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False, cwd=topology.path)
    assert ended.stderr.strip() == "the old piece of embedded"
    save(msgspec.structs.replace(topology, variant="old.nothing"))
    ended = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False, cwd=topology.path)
    assert ended.returncode == EXIT_CANNOT
    assert "variant old.nothing: No module named 'old.nothing'" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
