"""The port "metrics": text and OpenMetrics, the loop's own numbers, and no answer from a loop that hangs."""

import asyncio
import time
import urllib.error
import urllib.request
from pathlib import Path

import msgspec
import pytest

from sut.deploy.topology import Service, Topology
from sut.process.listening import listener
from sut.process.metrics import catalogue, serving
from sut.process.metrics.serving import exposed
from sut.process.peer import PortInUse
from tests.sut.gateway.world import free_ports, topology


def service(directory: Path, port: int) -> tuple[Topology, Service]:
    made = Service(name="chat-1", kind="chat", ports={"peer": 1, "metrics": port})
    return msgspec.structs.replace(topology(directory), services=(made,)), made


def get(port: int, accept: str = "") -> tuple[str, str]:
    """The content type and the body."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.headers["Content-Type"], answer.read().decode()


async def test_both_formats_are_served_with_the_counters_of_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counters = {"appended": 1.0}
    monkeypatch.setattr(catalogue, "SOURCES", [lambda: counters])
    (port,) = free_ports(1)
    async with exposed(*service(tmp_path, port)):
        kind, text = await asyncio.to_thread(get, port)
        assert kind.startswith("text/plain")
        assert "petrel_chat_appended_messages_total 1.0" in text
        assert 'petrel_build_info{profile="' in text
        counters["appended"] = 7.0
        kind, text = await asyncio.to_thread(get, port, "application/openmetrics-text; version=1.0.0")
        assert kind.startswith("application/openmetrics-text")
        assert "petrel_chat_appended_messages_total 7.0" in text
        assert text.endswith("# EOF\n")
        assert "_created" not in text
    with pytest.raises(OSError):
        await asyncio.to_thread(get, port)


async def test_a_loop_that_hangs_is_not_told_healthy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "LOOP_S", 0.2)
    (port,) = free_ports(1)
    async with exposed(*service(tmp_path, port)):
        asked = asyncio.create_task(asyncio.to_thread(get, port))
        await asyncio.sleep(0)  # the thread begins
        time.sleep(3.0)  # noqa: ASYNC251 (this is the hang)
        with pytest.raises((urllib.error.URLError, ConnectionError)):
            await asked


async def test_a_taken_port_is_one_line(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    with listener("127.0.0.1", port) as taken:
        taken.listen()
        with pytest.raises(PortInUse, match=f"chat-1: cannot listen on 127.0.0.1:{port}"):
            async with exposed(*service(tmp_path, port)):
                pass
    async with exposed(*service(tmp_path, port)):  # nothing of the first try is left
        pass


async def test_a_service_without_the_port_serves_none(tmp_path: Path) -> None:
    made = Service(name="chat-1", kind="chat", ports={"peer": 1})
    async with exposed(topology(tmp_path), made):
        pass
