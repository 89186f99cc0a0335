"""A network of a run's own: in it all is set up, outside nothing changes, and it ends with its processes."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from chaos.run import network
from tests.kit.pace import scaled

RANGE: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
INSIDE: Final = """
import os, socket, subprocess, sys
from pathlib import Path
from chaos.run import network
network.enter()
print(os.readlink("/proc/self/ns/net"))
print(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
with socket.create_server(("127.3.4.5", 0)) as server, socket.create_connection(server.getsockname()) as client:
    print(client.getpeername()[0])
print(subprocess.check_output([sys.executable, "-c", "import os; print(os.readlink('/proc/self/ns/net'))"], text=True))
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=scaled(20))


def test_only_large_runs_have_one() -> None:
    assert not network.is_needed(network.ALONE_FROM)
    assert network.is_needed(network.ALONE_FROM + 1)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes networks")
def test_all_is_set_up_inside_and_nothing_changes_outside() -> None:
    before, ours = RANGE.read_text(), Path("/proc/self/ns/net").readlink()
    ended = run(INSIDE)
    assert ended.returncode == 0, ended.stderr
    inside, port_range, peer, childs = ended.stdout.split("\n")[:4]
    assert inside == childs != str(ours)
    assert port_range == "['10000', '65535']"
    assert peer == "127.3.4.5"
    assert RANGE.read_text() == before
    assert Path("/proc/self/ns/net").readlink() == ours


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")
def test_without_root_it_is_refused_in_a_line() -> None:
    ended = run("import os\nfrom chaos.run import network\nos.setuid(65534)\nnetwork.enter()")
    assert "HarnessError: more than 50,000 devices need a network of their own: run this as root" in ended.stderr
