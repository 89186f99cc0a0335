"""The launcher: what a person can mend is one line and a status, and it starts fast."""

import subprocess
import sys
from pathlib import Path

from sut.deploy.errors import EXIT_CANNOT, EXIT_USAGE
from sut.deploy.topology import save
from tests.kit.pace import scaled
from tests.sut.deploy.conftest import Workshop


def launch(*arguments: str) -> tuple[int, str]:
    ended = subprocess.run(
        [sys.executable, "-P", "-m", "sut.deploy.supervise.launch", *arguments],
        capture_output=True,
        text=True,
        timeout=scaled(10),
        check=False,
    )
    return ended.returncode, ended.stderr


def test_wrong_usage_and_topologies_that_cannot_be_used_are_one_line(workshop: Workshop, tmp_path: Path) -> None:
    assert launch()[0] == EXIT_USAGE
    bad = tmp_path / "bad.json"
    bad.write_text("{}")
    topology = workshop.topology("gateway-1", "redis-1")
    topology.path.mkdir()
    path = str(save(topology))
    for arguments, words in (
        ((str(tmp_path / "none.json"), "chat-1"), "No such file"),
        ((str(bad), "chat-1"), "missing required field"),
        ((path, "chat-7"), "no service 'chat-7'; there are gateway-1, redis-1"),
        ((path, "redis-1"), "redis-1 is a redis, which has a command of its own"),
    ):
        status, text = launch(*arguments)
        assert status == EXIT_CANNOT
        assert words in text
        assert len(text.splitlines()) == 1


def test_the_launcher_itself_imports_little() -> None:
    heavy = ["redis", "aiohttp", "numpy", "polars", "requests", "toxiproxy", "psutil", "locust"]
    code = f"import sys, sut.deploy.supervise.launch; print([name for name in {heavy} if name in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"
