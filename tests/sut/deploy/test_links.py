"""Links through a real Toxiproxy, broken and mended; a plain socket is the witness."""

import contextlib
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec
import psutil
import pytest

from sut.deploy.errors import LinkError
from sut.deploy.logins import Login
from sut.deploy.net.links import Links
from sut.deploy.system import System
from sut.deploy.topology import Link
from tests.kit.pace import scaled
from tests.kit.waits import wait_until
from tests.sut.deploy.conftest import Workshop, alter

LINK = "gateway-1->redis-1"
OTHER = "gateway-2->redis-1"
NAMES = ("gateway-1", "gateway-2", "redis-1", "toxiproxy")


@contextmanager
def dial(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=scaled(2.0)) as sock:
        yield sock


def answers(sock: socket.socket, timeout_s: float = 2.0) -> bool:
    """Whether Redis answers over this connection. Raises ConnectionError when it was closed."""
    sock.settimeout(timeout_s)
    sock.sendall(b"PING\r\n")
    try:
        answer = sock.recv(100)
    except TimeoutError:
        return False
    if not answer:
        raise ConnectionError("closed")
    return answer.startswith(b"-NOAUTH ")  # it wants a login, so it is there


def fresh_answers(port: int) -> bool:
    try:
        with dial(port) as sock:
            return answers(sock, 0.3)
    except OSError:
        return False


def test_a_black_hole_swallows_everything_and_only_there_until_it_is_restored(
    workshop: Workshop, toxiproxy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")  # must not be used for the loopback
    topology = workshop.topology(*NAMES, toxiproxy=toxiproxy)
    workshop.boot(topology)
    links = Links(topology)
    assert links.available() is None
    host, port = topology.dial("gateway-1", "redis-1", "redis")
    _, other = topology.dial("gateway-2", "redis-1", "redis")
    assert host == "127.0.0.1"
    with dial(port) as old, dial(other) as bystander:
        assert answers(old)
        links.blackhole(LINK)
        links.blackhole(LINK)
        assert {(toxic.type, toxic.stream) for toxic in links.toxics(LINK)} == {
            ("timeout", "upstream"),
            ("timeout", "downstream"),
        }
        assert all(toxic.attributes == {"timeout": 0} for toxic in links.toxics(LINK))
        assert not answers(old, 0.5)
        with dial(port) as young:  # a partition lets connections be, and says nothing
            assert not answers(young, 0.5)
            assert not answers(old, 0.1)
        assert answers(bystander)
        assert links.toxics(OTHER) == ()
        links.restore(LINK)
        links.restore(LINK)
        assert links.toxics(LINK) == ()
        with pytest.raises(ConnectionError):  # its stream has a hole
            answers(old)
        assert answers(bystander)
    assert fresh_answers(port)


def test_a_link_is_slow_stalls_resets_and_slices_until_it_is_restored(workshop: Workshop, toxiproxy: Path) -> None:
    topology = workshop.topology(*NAMES, toxiproxy=toxiproxy)
    workshop.boot(topology)
    links = Links(topology)
    _, port = topology.dial("gateway-1", "redis-1", "redis")
    links.latency(LINK, latency_ms=150)
    with dial(port) as slow:
        assert not answers(slow, 0.2)
        assert slow.recv(0) == b""
    links.restore(LINK)
    assert fresh_answers(port)

    links.bandwidth(LINK, kb_per_s=0)
    with dial(port) as stalled:
        assert not answers(stalled, 0.3)
        links.restore(LINK)
        assert stalled.recv(100).startswith(b"-NOAUTH ")  # held back, not lost
        assert answers(stalled)

    with dial(port) as old:
        assert answers(old)
        links.reset(LINK)
        with pytest.raises(ConnectionError):
            answers(old)
    with dial(port) as young, pytest.raises(ConnectionResetError):
        answers(young)
    links.restore(LINK)

    links.slicer(LINK, size=2, delay_us=30_000)
    with dial(port) as slow:
        slow.sendall(b"PING\r\n")
        assert len(slow.recv(100)) < len(b"+PONG\r\n")
    links.restore(LINK)
    assert fresh_answers(port)


def test_a_killed_toxiproxy_comes_back_with_its_proxies_and_without_toxics(workshop: Workshop, toxiproxy: Path) -> None:
    topology = workshop.topology(*NAMES, toxiproxy=toxiproxy)
    system = workshop.boot(topology)
    links = Links(topology)
    ports = [topology.dial(gateway, "redis-1", "redis")[1] for gateway in ("gateway-1", "gateway-2")]
    links.blackhole(LINK)
    first = system.pid("toxiproxy")
    os.kill(first or 0, signal.SIGKILL)
    wait_until(lambda: system.pid("toxiproxy") not in (None, first))
    wait_until(lambda: all(fresh_answers(port) for port in ports))
    assert links.available() is None
    assert links.toxics(LINK) == ()
    system.stop()
    assert links.available() == "toxiproxy does not answer: ConnectionError"
    with pytest.raises(LinkError, match="does not answer"):
        links.blackhole(LINK)


def test_two_systems_of_one_process_each_reach_their_own_toxiproxy(workshop: Workshop, toxiproxy: Path) -> None:
    topologies = [workshop.topology(*NAMES, directory=name, toxiproxy=toxiproxy) for name in ("one", "two")]
    systems = [workshop.boot(topology) for topology in topologies]
    one, two = (Links(topology) for topology in topologies)
    one.blackhole(LINK)
    assert len(one.toxics(LINK)) == 2
    assert two.toxics(LINK) == ()
    assert fresh_answers(topologies[1].dial("gateway-1", "redis-1", "redis")[1])
    assert not fresh_answers(topologies[0].dial("gateway-1", "redis-1", "redis")[1])
    systems[0].stop()
    assert systems[1].problems() == {}
    systems[1].stop()


def test_without_toxiproxy_links_say_why_they_cannot_be_broken(workshop: Workshop) -> None:
    links = Links(workshop.topology("gateway-1", "redis-1"))
    assert links.available() == "this system has no toxiproxy, so its links cannot be broken"
    with pytest.raises(LinkError, match="no link"):
        links.blackhole(LINK)


def test_a_link_that_is_none_is_named(workshop: Workshop, toxiproxy: Path) -> None:
    links = Links(workshop.topology(*NAMES, toxiproxy=toxiproxy))
    with pytest.raises(LinkError, match="no link 'gateway-1->moon' in this system"):
        links.restore("gateway-1->moon")


def test_a_server_that_answers_late_is_asked_again_until_it_is_done(workshop: Workshop, toxiproxy: Path) -> None:
    """`storm` with seed 4: a bandwidth of 0 left a busy link later than one request may take; it was off at last."""
    toxics = [{"name": "b", "type": "bandwidth", "stream": "upstream", "attributes": {"rate": 0}}]
    tried = threading.Event()

    class Slow(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(json.dumps(toxics).encode())

        def do_DELETE(self) -> None:
            if tried.is_set():
                toxics.clear()
            else:
                tried.set()
                time.sleep(0.5)
            with contextlib.suppress(OSError):  # whoever asked may have gone
                self._answer(b"")

        def _answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        topology = workshop.topology(*NAMES, toxiproxy=toxiproxy)
        topology = alter(topology, "toxiproxy", ports={"api": server.server_address[1]})
        Links(topology, timeout_s=0.2).restore(LINK)
        assert not toxics
    finally:
        server.shutdown()
        server.server_close()


CELL = "cell-1->redis-1"


def cell(workshop: Workshop, toxiproxy: Path, *, kb_per_s: int) -> tuple[System, Links, int]:
    """A running Redis behind a link of this rate; its proxies, and the port that devices would dial."""
    topology = workshop.topology("redis-1", "toxiproxy", toxiproxy=toxiproxy)
    listen = workshop.reservation.port()
    link = Link(source="cell-1", target="redis-1", port="redis", listen=listen, kb_per_s=kb_per_s)
    topology = msgspec.structs.replace(topology, links=(link,))
    return workshop.boot(topology), Links(topology), listen


def seconds_for(port: int, login: Login, questions: int) -> float:
    """How long it takes until so many answers of 34 bytes came."""
    begun, left = time.monotonic(), 5 + 34 * questions
    with dial(port) as sock:
        sock.settimeout(scaled(10.0))
        sock.sendall(
            f"AUTH {login.user} {login.password}\r\n".encode() + questions * b"ECHO 123456789012345678901234567\r\n"
        )
        while left > 0:
            piece = sock.recv(65536)
            assert piece
            left -= len(piece)
    return time.monotonic() - begun


def test_a_cell_has_its_rate_before_and_after_a_fault_which_never_sees_it(workshop: Workshop, toxiproxy: Path) -> None:
    system, links, port = cell(workshop, toxiproxy, kb_per_s=64)
    login = links._topology.redis_login("operator")
    assert login is not None
    slow_s = 0.9 * 2000 * 34 / 64_000
    assert seconds_for(port, login, 2000) > slow_s
    assert links.toxics(CELL) == ()
    links.bandwidth(CELL, kb_per_s=0)
    assert [(toxic.type, toxic.attributes) for toxic in links.toxics(CELL)] == 2 * [("bandwidth", {"rate": 0})]
    assert not fresh_answers(port)
    links.restore(CELL)
    assert links.toxics(CELL) == ()
    assert seconds_for(port, login, 2000) > slow_s
    system.stop()


def test_a_half_close_tells_the_far_end_only(workshop: Workshop, toxiproxy: Path) -> None:
    system, links, port = cell(workshop, toxiproxy, kb_per_s=64)
    redis = psutil.Process(system.pid("redis-1") or 0)

    def connected() -> int:
        return sum(one.status == "ESTABLISHED" for one in redis.net_connections())

    before = connected()
    with dial(port) as sock:
        assert answers(sock)
        wait_until(lambda: connected() > before)
        links.half_close(CELL)
        links.half_close(CELL)
        wait_until(lambda: connected() == before)
        assert not answers(sock, 0.5)  # open and silent
        with dial(port) as young:
            assert not answers(young, 0.5)
        links.restore(CELL)
        with pytest.raises(ConnectionError):
            answers(sock)
    assert fresh_answers(port)
    system.stop()
