"""The parts around a device that need no socket: alarms, the choice of a gateway, frames in pieces."""

import math
import random
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.datastructures import Headers
from websockets.http11 import Response
from websockets.utils import accept_key

from load.device.device import Device, Run
from load.drive.api import ApiClient
from load.drive.fleet import PAUSE_S, Fleet
from load.drive.gateways import Gateways, NoGateway
from load.history.recorder import Nobody, Recorder
from load.history.writer import HistoryWriter
from load.plan.plan import DevicePlan


class Alarmed:
    """A session that has something to do at `at`, and then at `after`."""

    def __init__(self, at: float, after: float) -> None:
        self.alarm_at = math.inf
        self.at = at
        self.after = after
        self.rung: list[float] = []

    def wake_at(self, _now: float) -> float:
        return self.at

    def on_alarm(self, now: float) -> None:
        self.rung.append(now)
        self.at = self.after


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """A fleet without devices, at the time 0."""
    writer = HistoryWriter(tmp_path / "a.bin")
    recorder = Recorder(writer, groups=frozenset(), recipients={}, observer=Nobody())
    yield Fleet(
        run=Run(seed=1, conversations=(), recorder=recorder),
        plans={},
        tokens={},
        api=ApiClient("http://127.0.0.1:1"),
        api_key="key",
        on_failure=lambda _: None,
        clock=lambda: 0.0,
    )
    writer.close()


def test_an_alarm_that_moved_rings_once(fleet: Fleet) -> None:
    one = Alarmed(5.0, 9.0)
    fleet.set_alarm(one)
    one.at = 3.0
    fleet.set_alarm(one)
    assert not fleet._next_alarm(2.9)
    assert fleet._next_alarm(3.0)
    assert one.rung == [3.0]
    assert fleet._next_alarm(5.0)  # the entry that was overtaken
    assert one.rung == [3.0]
    assert not fleet._next_alarm(8.9)
    assert fleet._next_alarm(9.0)
    assert one.rung == [3.0, 9.0]


def test_a_device_that_always_has_something_due_does_not_keep_the_others_waiting(fleet: Fleet) -> None:
    restless, other = Alarmed(1.0, 1.0), Alarmed(2.0, math.inf)
    fleet.set_alarm(restless)
    fleet.set_alarm(other)
    turns = 0
    while fleet._next_alarm(2.0):
        turns += 1
    assert turns == 2
    assert other.rung == [2.0]
    assert fleet._next_alarm(2.0 + PAUSE_S)
    assert restless.rung == [2.0, 2.0 + PAUSE_S]


def test_gateways_are_spread_and_a_failed_one_is_passed_over() -> None:
    class Api:
        urls: tuple[str, ...] = ("a", "b", "c")

        def gateways(self) -> tuple[str, ...]:
            return self.urls

    now = [0.0]
    api = Api()
    gateways = Gateways(api, rng=random.Random(1), clock=lambda: now[0])
    picked = [gateways.pick() for _ in range(30)]
    assert all(picked.count(url) == 10 for url in api.urls)
    gateways.failed("b")
    assert "b" not in {gateways.pick() for _ in range(30)}
    for url in api.urls:
        gateways.failed(url)
    assert {gateways.pick() for _ in range(30)} == set(api.urls)  # all failed: any is as good
    now[0] += 10
    api.urls = ()
    with pytest.raises(NoGateway):
        gateways.pick()


def test_a_fragmented_frame_is_one_frame(tmp_path: Path) -> None:
    writer = HistoryWriter(tmp_path / "a.bin")
    recorder = Recorder(writer, groups=frozenset(), recipients={}, observer=Nobody())
    device = Device(device=1, plan=DevicePlan(), run=Run(seed=1, conversations=(), recorder=recorder))
    assert device.wake_at() > 0
    device.connect("ws://127.0.0.1:1/v1/ws", "token")
    request = device.output()
    assert b"Authorization: Bearer token\r\n" in request
    answer = accept(request)
    welcome = struct.pack("!BQQQII", 0x81, 1, 1, 1, 30_000, 16_384)
    half = [bytes([0x02, 10]) + welcome[:10], bytes([0x80, len(welcome) - 10]) + welcome[10:]]
    for byte in answer + b"".join(half):
        device.receive(bytes([byte]), 1.0)
    assert device.open
    assert not device.must_drop
    assert device.output()  # the SYNC
    writer.close()


def accept(request: bytes) -> bytes:
    """The answer of a gateway to an upgrade request."""
    key = next(line for line in request.decode().splitlines() if line.startswith("Sec-WebSocket-Key")).split(": ")[1]
    headers = Headers([("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", accept_key(key))])
    return Response(101, "Switching Protocols", headers).serialize()
