"""Packets dropped by iptables on this machine, for real; small processes with groups of their own are the witnesses."""

import random
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator

import pytest

from sut.deploy.errors import PacketError
from sut.deploy.net.packets import Packets, Way

CANNOT = Packets("0").available()
root_only = pytest.mark.skipif(CANNOT is not None, reason=f"packets cannot be dropped: {CANNOT}")
FIRST = 1_900_000_000 + random.randrange(1_000_000) * 10
A, B = FIRST, FIRST + 1
TALK = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=0.6) as sock:
    print("open", flush=True)
    sock.settimeout(0.6)
    for _ in sys.stdin:
        try:
            sock.sendall(b"x")
            print(sock.recv(1) == b"x", flush=True)
        except TimeoutError:
            print("silence", flush=True)
"""
ECHO = """
import socketserver
class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(100):
            self.request.sendall(data)
socketserver.ThreadingTCPServer.daemon_threads = True
with socketserver.ThreadingTCPServer(("127.77.7.1", 0), Echo) as server:
    print(server.server_address[1], flush=True)
    server.serve_forever()
"""


class Talker:
    """A process of a group with a connection to an address."""

    def __init__(self, gid: int, address: tuple[str, int]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", TALK, address[0], str(address[1])],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, group=gid,
        )  # fmt: skip
        assert self.process.stdout is not None
        self.open = self.process.stdout.readline() == "open\n"

    def says(self) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print("x", file=self.process.stdin, flush=True)
        return self.process.stdout.readline().strip()

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


def reaches(gid: int, address: tuple[str, int]) -> bool:
    talker = Talker(gid, address)
    talker.end()
    return talker.open


@pytest.fixture
def server() -> Iterator[tuple[str, int]]:
    """An echo server of group B."""
    with subprocess.Popen([sys.executable, "-c", ECHO], stdout=subprocess.PIPE, text=True, group=B) as process:
        assert process.stdout is not None
        yield "127.77.7.1", int(process.stdout.readline())
        process.kill()


@pytest.fixture
def packets() -> Iterator[Packets]:
    made = Packets(uuid.uuid4().hex[:16])
    yield made
    made.clear()


def rules() -> str:
    return subprocess.run(["iptables", "-S"], capture_output=True, text=True, check=True).stdout


@root_only
def test_only_that_group_s_packets_to_that_address_are_dropped_and_counted(
    server: tuple[str, int], packets: Packets
) -> None:
    before = rules()
    talker, other = Talker(A, server), Talker(B, server)
    assert talker.says() == "True"
    packets.drop("a fault", [Way(A, server)])
    assert packets.dropped("a fault") == {A: 0}
    assert talker.says() == "silence"
    assert other.says() == "True"
    assert not reaches(A, server)
    assert reaches(B, server)
    with socket.socket() as elsewhere:  # the same group to another address
        elsewhere.bind(("127.77.7.2", 0))
        elsewhere.listen()
        assert reaches(A, elsewhere.getsockname())
    assert packets.dropped("a fault")[A] >= 3
    assert packets.dropped("another") == {}
    packets.allow("a fault")
    packets.allow("a fault")
    assert reaches(A, server)
    assert rules() == before
    talker.end()
    other.end()


@root_only
def test_the_answers_over_one_connection_can_be_dropped(server: tuple[str, int], packets: Packets) -> None:
    import psutil

    deaf, other = Talker(A, server), Talker(A, server)
    (connection,) = psutil.Process(deaf.process.pid).net_connections("tcp4")
    packets.drop("a fault", [Way(B, (connection.laddr.ip, connection.laddr.port))])
    assert deaf.says() == "silence"
    assert other.says() == "True"
    assert packets.dropped("a fault")[B] >= 1
    deaf.end()
    other.end()


@root_only
def test_runs_side_by_side_and_reasons_within_one_do_not_disturb_each_other(server: tuple[str, int]) -> None:
    before = rules()
    one, two = Packets(uuid.uuid4().hex[:16]), Packets(uuid.uuid4().hex[:16])
    try:
        one.drop("it", [Way(A, server)])
        two.drop("it", [Way(A, server)])
        one.drop("'quoted\" and spaced", [Way(A, ("127.77.7.3", 9))])
        one.allow("it")
        assert set(one.dropped("'quoted\" and spaced")) == {A}
        assert not reaches(A, server)
        assert two.dropped("it")[A] >= 1
        one.clear()
        assert not reaches(A, server)
        two.clear()
        assert reaches(A, server)
    finally:
        one.clear()
        two.clear()
    assert rules() == before


@root_only
def test_what_iptables_refuses_is_said_and_leaves_nothing() -> None:
    before = rules()
    packets = Packets(uuid.uuid4().hex[:16])
    with pytest.raises(PacketError, match="iptables-restore refuses"):
        packets.drop("it", [Way(A, ("127.77.7.1", 9)), Way(A, ("not a host", 9))])
    assert rules() == before


def test_without_root_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert Packets("0").available() == "needs root: iptables drops the packets"
    Packets("0").clear()
    monkeypatch.undo()
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setenv("PATH", "")
    assert Packets("0").available() == "iptables is not installed"
