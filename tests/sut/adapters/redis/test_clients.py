"""Every way in which a client of Redis is made: a command goes out once, and a server that says nothing costs its time.

The server is a socket that takes what comes and ends the connection, or never answers.
"""

import ast
import asyncio
import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis.exceptions import RedisError

import sut
from sut.adapters.redis import admin, replication
from sut.adapters.redis.client import Address, RedisClient, asking
from sut.adapters.redis.dump import dump
from sut.adapters.redis.tilt import tilt_problem
from sut.ports import Unavailable
from tests.sut.adapters.redis_system import RedisSystem

ROOT = Path(sut.__file__).parent.parent


class Mute:
    """Accepts connections; ends each after its first bytes, or keeps it without an answer."""

    def __init__(self, *, ends: bool) -> None:
        self._ends = ends
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address: Address = self._listening.getsockname()
        self.got: list[bytes] = []
        self._kept: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                taken, _ = self._listening.accept()
                taken.settimeout(5)
                self.got.append(taken.recv(4096))
                if self._ends:
                    taken.close()
                else:
                    self._kept.append(taken)

    def close(self) -> None:
        self._listening.close()
        for taken in self._kept:
            taken.close()


@pytest.fixture(params=[True, False], ids=["ends", "says nothing"])
def mute(request: pytest.FixtureRequest) -> Iterator[Mute]:
    server = Mute(ends=request.param)
    yield server
    server.close()


def by_asking(address: Address) -> None:
    with asking(address, 1.0) as ask:
        ask("INCR", "counter")


def by_asking_for_each(address: Address) -> None:
    with asking(address, 1.0, each=True, decode=False) as ask:
        ask("INCR", "counter")


def by_the_services_client(address: Address) -> None:
    async def once() -> None:
        client = RedisClient(address, deadline_s=0.5)
        try:
            async with asyncio.timeout(1.0):
                await client.ask("INCR", "counter")
        except (RedisError, OSError) as error:
            raise Unavailable(str(error)) from None
        finally:
            await client.close()

    asyncio.run(once())


@pytest.mark.parametrize("way", [by_asking, by_asking_for_each, by_the_services_client])
def test_what_must_not_be_repeated_goes_out_once(way: Callable[[Address], None], mute: Mute) -> None:
    begun_s = time.monotonic()
    with pytest.raises(Unavailable):
        way(mute.address)
    assert time.monotonic() - begun_s < 3.0
    assert [sent for sent in mute.got if sent] == [b"*2\r\n$4\r\nINCR\r\n$7\r\ncounter\r\n"]


@pytest.mark.parametrize(
    "look",
    [
        lambda address: list(dump(address, 1.0)),
        lambda address: admin.role(address, 1.0),
        lambda address: admin.sentinel_view(address, "petrel", 1.0),
        lambda address: admin.leased(address, 1.0),
    ],
    ids=["dump", "role", "sentinel_view", "leased"],
)
def test_a_frozen_node_costs_the_time_that_was_given(look: Callable[[Address], object], tmp_path: Path) -> None:
    """A dump of one took 14 s where 1 s was asked: redis-py asked four times, with waits between."""
    mute = Mute(ends=False)
    begun_s = time.monotonic()
    with pytest.raises(Unavailable):
        look(mute.address)
    assert time.monotonic() - begun_s < 3.0
    mute.close()


def test_many_slow_answers_share_one_deadline(breakable_redis: RedisSystem) -> None:
    node = breakable_redis.nodes[0]
    process = breakable_redis.processes[node]
    timers: list[threading.Timer] = []
    with pytest.raises(Unavailable), asking(node, 0.5) as ask:
        for _ in range(100):
            assert ask("PING") == "PONG"
            os.kill(process.pid, signal.SIGSTOP)
            timers.append(threading.Timer(0.2, os.kill, (process.pid, signal.SIGCONT)))
            timers[-1].start()
    for timer in timers:
        timer.join()
    assert 2 <= len(timers) <= 4
    assert not replication.takes_writes(("127.0.0.1", 1), 0.2)


def test_clients_are_made_in_one_place() -> None:
    """Where redis-py's classes of clients, pools and connections are imported, somebody makes one."""
    makers = set()
    for path in ROOT.joinpath("sut").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "redis":
                names = {alias.name for alias in node.names} - {"AbstractConnection"}  # a type, for greetings
                if (node.module or "") not in ("redis.exceptions",) and names:
                    makers.add(path.relative_to(ROOT).as_posix())
    assert makers == {"sut/adapters/redis/client.py"}


class Tilt:
    def __init__(self, tilt: bool) -> None:
        self.tilt = tilt


def test_tilt_is_said_when_most_sentinels_could_not_fail_over() -> None:
    calm, tilted = Tilt(tilt=False), Tilt(tilt=True)
    assert tilt_problem({"s-1": calm, "s-2": calm, "s-3": tilted}) is None
    assert tilt_problem({"s-1": calm, "s-2": None, "s-3": None}) is None
    two = tilt_problem({"s-1": calm, "s-2": tilted, "s-3": tilted}) or ""
    assert two.startswith("s-2, s-3 are in TILT")
    assert (tilt_problem({"s-1": tilted}) or "").startswith("s-1 is in TILT")
