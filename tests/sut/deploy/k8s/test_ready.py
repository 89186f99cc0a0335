"""The readiness probe of a pod: what it says of a process that works, that is away, and of a topology that is none."""

import asyncio
import socket
from pathlib import Path

import msgspec
import pytest

from sut.deploy.k8s import ready
from sut.deploy.topology import Service, Topology, save
from sut.process.peer import PeerServer

KEY = "00" * 32


def written(directory: Path, port: int) -> str:
    chat = Service(name="chat-1", kind="chat", ports={"peer": port})
    topology = Topology(
        run_id="a", profile="kubernetes", dir=str(directory), services=(chat,), token_key=KEY, api_key="k", peer_key=KEY
    )
    return str(save(topology))


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port: int = bound.getsockname()[1]
        return port


@pytest.mark.parametrize(
    ("node", "stats", "status", "said"),
    [
        ("chat-1", {"ready": 1.0}, 0, "ready\n"),
        ("chat-1", {"ready": 0.0}, 1, "has not reached its log and its store yet\n"),
        ("chat-2", {"ready": 1.0}, 1, "its port answers as chat-2\n"),
    ],
)
def test_a_process_is_ready_when_it_has_reached_its_servers(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    node: str,
    stats: dict[str, float],
    status: int,
    said: str,
) -> None:
    port = free_port()
    file = written(tmp_path, port)
    monkeypatch.setenv("POD_NAME", "chat-1")

    async def probed() -> int:
        server = PeerServer(
            node=node, incarnation=1, secret=bytes.fromhex(KEY), on_frame=lambda *_: None, stats=lambda: stats
        )
        await server.start("127.0.0.1", port)
        try:
            return await asyncio.to_thread(ready.main, [file])
        finally:
            await server.close()

    assert asyncio.run(probed()) == status
    assert capsys.readouterr().out == said


def test_a_process_that_is_away_is_not_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(tmp_path, free_port())
    monkeypatch.setenv("POD_NAME", "chat-1")
    assert ready.main([file]) == 1
    assert capsys.readouterr().out == "does not answer a ping\n"
    monkeypatch.setenv("POD_NAME", "chat-9")
    assert ready.main([file]) == 70
    assert capsys.readouterr().err == "no service 'chat-9'; there are chat-1\n"
    Path(file).write_bytes(msgspec.json.encode({"run_id": 1}))
    assert ready.main([file]) == 70
