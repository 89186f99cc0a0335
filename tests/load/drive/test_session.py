"""Devices over real sockets against a real WebSocket server: what they do, and that the history says so in time."""

import contextlib
import errno
import functools
import os
import random
import socket
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import gevent
import gevent.server
import gevent.socket
import pytest

from load.device.device import Run
from load.drive import line
from load.drive import session as sessions
from load.drive.api import ApiClient
from load.drive.fleet import Fleet
from load.drive.gateways import Gateways
from load.history.events import Event, Record, message_id
from load.history.recorder import Recorder
from load.history.writer import HistoryError, HistoryTail, HistoryWriter, now_ns
from load.plan.mobile import Mobile
from load.plan.plan import ALWAYS_US, US, Absence, DevicePlan, PlannedSend
from sut.protocol.device.events import ClientSettings
from sut.protocol.frames import Heartbeat, Recv, Send, Sync
from tests.kit import waits


class Counting:
    """An observer that counts."""

    def __init__(self) -> None:
        self.acks: list[int] = []
        self.shows: list[tuple[int, bool]] = []
        self.failures: list[str] = []

    def acked(self, latency_ns: int) -> None:
        self.acks.append(latency_ns)

    def shown(self, latency_ns: int, *, group: bool, size: int) -> None:
        self.shows.append((latency_ns, group))

    def failed(self, text: str) -> None:
        self.failures.append(text)


wait_until = functools.partial(waits.wait_until, sleep=gevent.sleep)


class Rig:
    """A fleet of devices 1..n, all in one conversation, with its history."""

    def __init__(
        self, chat, tmp_path: Path, plans: dict[int, DevicePlan], *, kind: str = "group", elastic: bool = False
    ) -> None:
        self.path = tmp_path / "swarm-1.bin"
        self.writer = HistoryWriter(self.path)
        self.tail = HistoryTail(self.path)
        self.records: list[Record] = []
        self.observer = Counting()
        self.failures: list[str] = []
        api = ApiClient(chat.api_url, rng=random.Random(1))
        tokens = api.tokens("key", plans)
        conv = api.create(tokens[1], kind=kind, members=list(plans), key="a")
        groups = frozenset((conv,)) if kind == "group" else frozenset()
        self.recorder = Recorder(self.writer, groups=groups, recipients={conv: len(plans) - 1}, observer=self.observer)
        self.fleet = Fleet(
            run=Run(
                seed=1,
                conversations=(conv,),
                recorder=self.recorder,
                settings=ClientSettings(ack_timeout_s=0.5, reconnect_base_s=0.05, recv_every_s=0.05),
                elastic=elastic,
            ),
            plans=plans,
            tokens=tokens,
            api=api,
            api_key="key",
            on_failure=self.failures.append,
        )
        self.conv = conv
        self.users: list[gevent.Greenlet] = []

    def start(self, *, begin: bool = True, lead_s: float = 0.0) -> None:
        self.fleet.start()
        self.users = [gevent.spawn(session.run) for session in self.fleet.sessions]
        if begin:
            wait_until(lambda: self.recorder.counters.online == len(self.users))
            self.fleet.begin(now_ns() + int(lead_s * 1e9))

    def stop(self) -> None:
        gevent.killall(self.users)
        self.fleet.stop()
        self.writer.close()

    def events(self, kind: Event, device: int = 0) -> list[Record]:
        self.records += self.tail.read()
        return [r for r in self.records if r[7] == kind and device in (0, r[2])]


@pytest.fixture
def rig(chat, tmp_path: Path) -> Iterator[Callable[..., Rig]]:
    """Makes rigs and ends them."""
    made: list[Rig] = []

    def make(plans: dict[int, DevicePlan], **options: Any) -> Rig:
        made.append(Rig(chat, tmp_path, plans, **options))
        return made[-1]

    yield make
    for one in made:
        one.stop()


def writes(*at_s: float, size: int = 100) -> DevicePlan:
    return DevicePlan(sends=tuple(PlannedSend(int(at * US), 0, size) for at in at_s))


def away(from_s: float, to_s: float, *, clean: bool = True, sends: DevicePlan | None = None) -> DevicePlan:
    begins = ALWAYS_US if from_s < 0 else int(from_s * US)
    return DevicePlan(sends=sends.sends if sends else (), absences=(Absence(begins, int(to_s * US), clean),))


@pytest.mark.parametrize("kind", ["group", "direct"])
def test_a_message_goes_from_plan_to_every_screen(rig, kind: str) -> None:
    devices = {1: writes(0.05, 0.1), 2: writes(0.07)} | ({3: DevicePlan()} if kind == "group" else {})
    it = rig(devices, kind=kind)
    it.start()
    total = 3 * len(devices)
    wait_until(lambda: len(it.events(Event.SHOW)) == total and len(it.events(Event.ACK)) == 3)
    sends = it.events(Event.SEND)
    assert sorted(r[4] for r in sends) == [message_id(1, 1), message_id(1, 2), message_id(2, 1)]
    t0_ns = it.fleet._run.t0_ns
    assert {r[4]: r[1] - t0_ns for r in sends} == {
        message_id(1, 1): 50_000_000,
        message_id(1, 2): 100_000_000,
        message_id(2, 1): 70_000_000,
    }
    hashes = {r[4]: r[6] for r in sends}
    assert len(set(hashes.values())) == 3
    for record in it.events(Event.SHOW) + it.events(Event.WIRE):
        assert record[3] == it.conv
        assert record[6] == hashes[record[4]]
    for device in devices:
        assert [r[5] for r in it.events(Event.SHOW, device)] == [1, 2, 3]
    counters = it.recorder.counters
    assert (counters.sends, counters.acked, counters.shown, counters.pending) == (3, 3, total - 3, 0)
    assert counters.expected == total - 3
    assert len(it.observer.acks) == 3
    assert all(0 < latency < 1e9 for latency in it.observer.acks)
    assert [group for _, group in it.observer.shows] == [kind == "group"] * (total - 3)


def test_the_history_knows_of_a_send_before_the_service_does(rig, chat) -> None:
    it = rig({1: writes(*[0.01 * n for n in range(1, 30)]), 2: DevicePlan()})
    unknown = []

    def look(device: int, frame: object) -> bool:  # runs in the service's thread, when the frame has arrived
        if isinstance(frame, Send):
            tail = HistoryTail(it.path)
            if message_id(device, frame.client_seq) not in {r[4] for r in tail.read() if r[7] == Event.SEND}:
                unknown.append(frame)
            tail.close()
        return False

    chat.swallow = look
    it.start()
    wait_until(lambda: it.recorder.counters.acked == 29)
    assert not unknown


def test_sends_are_on_time_while_nothing_is_wrong(rig) -> None:
    it = rig({1: writes(*[0.02 * n for n in range(1, 40)]), 2: DevicePlan()})
    it.start(lead_s=0.1)
    wait_until(lambda: len(it.events(Event.SEND)) == 39)
    late_ms = sorted((r[0] - r[1]) / 1e6 for r in it.events(Event.SEND))
    assert late_ms[0] >= 0
    assert late_ms[len(late_ms) // 2] < 50  # a busy machine; 1 ms where nothing else runs


def test_an_expired_token_is_renewed_once_per_attempt(rig, chat) -> None:
    it = rig({1: DevicePlan()})
    chat.token_version = 2
    it.start(begin=False)
    wait_until(lambda: it.events(Event.ONLINE))
    assert chat.upgrades == 2
    assert it.recorder.counters.drops == 0


def test_a_cut_connection_is_made_again_and_nothing_is_lost_or_doubled(rig, chat) -> None:
    chat.swallow = lambda _device, frame: isinstance(frame, Send)
    it = rig({1: writes(0.05, 0.06), 2: DevicePlan()})
    it.start()
    wait_until(lambda: any(isinstance(f, Send) for f in chat.received[1]))
    chat.swallow = lambda _device, _frame: False
    chat.cut_all()
    wait_until(lambda: it.recorder.counters.acked == 2)
    wait_until(lambda: len(it.events(Event.SHOW)) == 4)
    assert [r[8] for r in it.events(Event.OFFLINE)] == [0, 0]
    assert len(it.events(Event.ONLINE)) == 4
    assert len(it.events(Event.DUE_ONLINE)) == 2, "a broken connection ends nothing that is due"
    assert len(it.events(Event.SEND)) == 2
    assert it.recorder.counters.drops >= 2  # a dial into the cut may fail as well
    assert [f.client_seq for f in chat.received[1] if isinstance(f, Send)].count(1) == 2


@pytest.mark.parametrize("clean", [True, False])
def test_a_planned_absence_happens_as_planned_and_is_caught_up(rig, clean: bool) -> None:
    it = rig({1: writes(0.3), 2: away(0.15, 0.6, clean=clean)})
    it.start()
    wait_until(lambda: it.recorder.counters.shown == 1)
    (offline,) = it.events(Event.OFFLINE)
    first, second = it.events(Event.ONLINE, 2)
    (show,) = it.events(Event.SHOW, 2)
    t0_ns = it.fleet._run.t0_ns
    assert (offline[2], offline[8]) == (2, 1)
    assert 0.15 <= (offline[0] - t0_ns) / 1e9 < 0.55
    assert 0.59 < (second[0] - t0_ns) / 1e9 < 1.5
    assert first[0] < offline[0] < second[0] <= show[0]
    begun, again = it.events(Event.DUE_ONLINE, 2)
    assert begun[0] < first[0] < offline[0] < again[0] < second[0]
    assert it.recorder.counters.drops == 0


def test_a_planned_absence_that_begins_while_cut_off_is_told_as_planned(rig, chat) -> None:
    """Else the verdict would take the whole absence for a broken connection, and its deliveries for late ones."""
    it = rig({1: away(0.1, 0.6)})
    it.start(begin=False)
    wait_until(lambda: it.recorder.counters.online == 1)
    chat.refuse_upgrades = HTTPStatus.SERVICE_UNAVAILABLE
    chat.cut_all()
    wait_until(lambda: len(it.events(Event.OFFLINE)) == 1)
    it.fleet.begin(now_ns())
    wait_until(lambda: len(it.events(Event.OFFLINE)) == 2)
    chat.refuse_upgrades = None
    wait_until(lambda: len(it.events(Event.ONLINE)) == 2)
    t0_ns = it.fleet._run.t0_ns
    broken, planned = it.events(Event.OFFLINE)
    assert (broken[8], planned[8]) == (0, 1)
    assert broken[0] < t0_ns + 0.1e9 <= planned[0]
    assert it.recorder.counters.online == 1


def test_a_device_that_waits_to_be_let_in_is_due_online_until_it_leaves_as_planned(rig, chat) -> None:
    """Else the verdict would take its wait for a planned absence."""
    chat.swallow = lambda device, frame: device == 1 and isinstance(frame, Sync)
    it = rig({1: away(0.3, 0.6), 2: DevicePlan()})
    it.start(begin=False)
    wait_until(lambda: it.recorder.counters.online == 1)
    it.fleet.begin(now_ns())
    wait_until(lambda: it.events(Event.OFFLINE, 1))
    chat.swallow = lambda _device, _frame: False
    wait_until(lambda: it.events(Event.ONLINE, 1))
    first, second = it.events(Event.DUE_ONLINE, 1)
    (offline,), (online,) = it.events(Event.OFFLINE, 1), it.events(Event.ONLINE, 1)
    t0_ns = it.fleet._run.t0_ns
    assert offline[8] == 1
    assert first[0] < t0_ns + 0.3e9 <= offline[0] < t0_ns + 0.6e9 <= second[0] < online[0]
    assert it.recorder.counters.online == 2


def test_who_is_refused_is_due_online_from_the_first_attempt_on(rig, chat) -> None:
    chat.refuse_upgrades = HTTPStatus.SERVICE_UNAVAILABLE
    it = rig({1: DevicePlan()})
    it.start(begin=False)
    wait_until(lambda: chat.upgrades >= 2)
    assert len(it.events(Event.DUE_ONLINE)) == 1
    gevent.killall(it.users)
    assert [r[8] for r in it.events(Event.OFFLINE)] == [1], "the user put it away"


def test_a_latecomer_comes_late(rig, chat) -> None:
    it = rig({1: writes(0.05), 2: away(-1, 0.3)})
    it.start(begin=False)
    wait_until(lambda: it.recorder.counters.online == 1)
    gevent.sleep(0.1)
    assert chat.upgrades == 1
    it.fleet.begin(now_ns())
    wait_until(lambda: it.recorder.counters.shown == 1)
    (online,) = it.events(Event.ONLINE, 2)
    assert online[0] - it.fleet._run.t0_ns > 0.29e9


def test_when_it_is_quiet_nobody_writes_and_who_is_away_comes_back_at_once(rig) -> None:
    it = rig({1: writes(0.05, 60.0), 2: away(0.1, 50.0), 3: away(-1, 50.0)})
    it.start(begin=False)
    wait_until(lambda: it.recorder.counters.online == 2)
    it.fleet.begin(now_ns())
    wait_until(lambda: it.events(Event.OFFLINE))
    it.fleet.quiesce()
    wait_until(lambda: it.recorder.counters.online == 3)
    wait_until(lambda: it.recorder.counters.shown == 2)
    assert it.recorder.counters.sends == 1
    assert it.fleet._heap[0][0] < it.fleet.clock() + 40  # heartbeats, not the send at 60 s


def test_all_is_written_once_the_last_planned_message_has_left_over_whatever_connection(rig) -> None:
    it = rig({1: writes(0.05), 2: DevicePlan()})
    it.start(begin=False)
    wait_until(lambda: it.recorder.counters.online == 2)
    gevent.kill(it.users[0])  # its message waits in the device, for a connection
    wait_until(lambda: it.events(Event.OFFLINE, 1))
    it.fleet.begin(now_ns())
    assert not it.fleet.wrote_all(), "it is not due yet"
    gevent.sleep(0.2)
    assert not it.fleet.wrote_all(), "no connection has carried it"
    assert not it.events(Event.SEND)
    it.users[0] = gevent.spawn(it.fleet.sessions[0].run)
    wait_until(lambda: it.events(Event.SEND, 1))
    assert it.fleet.wrote_all()


def test_a_device_put_away_goes_offline_with_a_close(rig, chat) -> None:
    it = rig({1: DevicePlan(), 2: DevicePlan()})
    it.start()
    gevent.killall(it.users)
    assert [r[8] for r in it.events(Event.OFFLINE)] == [1, 1]
    wait_until(lambda: not chat.connections)
    session = it.fleet.take()
    assert session is not None
    it.users = [gevent.spawn(session.run)]  # another user takes the device up again
    wait_until(lambda: len(it.events(Event.ONLINE)) == 3)


@pytest.mark.parametrize("added", [True, False])
def test_a_device_that_a_user_takes_in_mid_run_begins_with_what_is_due_from_now(rig, added: bool) -> None:
    late = writes(0.0, 0.1, 0.2, 1.5)
    it = rig({1: DevicePlan(), 2: DevicePlan() if added else late}, elastic=True)
    it.fleet.start()
    it.users = [gevent.spawn(it.fleet.take().run)]
    wait_until(lambda: it.recorder.counters.online == 1)
    it.fleet.begin(now_ns() - US * 1000)  # a second ago
    if added:
        it.fleet.take()
        it.fleet.adopt({3: late}, {3: "1:3"})
    session = it.fleet.take()  # before its first alarm, as a user who waits does
    it.users.append(gevent.spawn(session.run))
    wait_until(lambda: it.events(Event.SEND))
    gevent.sleep(0.2)
    (send,) = it.events(Event.SEND)
    t0_ns = it.fleet._run.t0_ns
    assert send[1] - t0_ns == 1_500_000_000, "what was due before somebody had it is nobody's"
    assert send[0] >= send[1]
    assert session.device.sends == (1, 0)


def test_a_refusing_gateway_is_tried_again_with_growing_waits(rig, chat) -> None:
    chat.refuse_upgrades = HTTPStatus.SERVICE_UNAVAILABLE
    it = rig({1: DevicePlan()})
    it.start(begin=False)
    wait_until(lambda: chat.upgrades >= 4)
    assert not it.events(Event.ONLINE)
    chat.refuse_upgrades = None
    wait_until(lambda: it.events(Event.ONLINE))


def test_a_gateway_that_does_not_answer_is_given_up_in_time(rig, chat, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "CONNECT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as frozen:  # accepts in the kernel, says nothing
        it = rig({1: DevicePlan()})
        it.fleet.gateways._urls = (f"ws://127.0.0.1:{frozen.getsockname()[1]}/v1/ws",)
        it.fleet.gateways._asked_at = it.fleet.clock()
        it.start(begin=False)
        wait_until(lambda: it.events(Event.ONLINE))
    assert it.recorder.counters.drops >= 1


def test_a_thousand_questions_to_discovery_are_one(rig, chat) -> None:
    it = rig({device: DevicePlan() for device in range(1, 101)})
    it.start()
    assert chat.upgrades == 100
    assert chat.discoveries <= 3


@pytest.mark.parametrize("rubbish", ["text", b"\xff\x00"])
def test_a_service_that_breaks_the_protocol_is_noted_and_left(rig, chat, rubbish: str | bytes) -> None:
    it = rig({1: DevicePlan()})
    it.start()
    chat.push(1, rubbish)
    wait_until(lambda: len(it.events(Event.ONLINE)) == 2)
    assert it.recorder.counters.violations == 1


def test_a_socket_that_takes_little_gets_the_rest_later(rig, chat, monkeypatch: pytest.MonkeyPatch) -> None:
    it = rig({1: writes(*[0.02 * n for n in range(1, 11)], size=500), 2: DevicePlan()})
    it.start()
    real_write, calls = os.write, iter(range(10_000))

    def reluctant(fd: int, data: bytes) -> int:
        if next(calls) % 2:
            raise BlockingIOError(errno.EAGAIN, "not now")
        return real_write(fd, data[:200])

    monkeypatch.setattr(os, "write", reluctant)
    wait_until(lambda: it.recorder.counters.shown == 10)
    assert it.recorder.counters.drops == 0


def test_a_socket_that_takes_nothing_is_dropped_at_the_bound(rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line, "MAX_UNWRITTEN", 3000)
    it = rig({1: writes(*[0.01 * n for n in range(1, 9)], size=2000), 2: DevicePlan()})
    it.start()
    real_write = os.write
    blocked = {session._fd for session in it.fleet.sessions if session.device.device == 1}

    def stuck(fd: int, data: bytes) -> int:
        if fd in blocked and len(data) > 1000:
            raise BlockingIOError(errno.EAGAIN, "not now")
        return real_write(fd, data)

    monkeypatch.setattr(os, "write", stuck)
    wait_until(lambda: it.recorder.counters.drops >= 1)
    blocked.clear()
    wait_until(lambda: it.recorder.counters.acked == 8)


def test_a_full_disk_stops_the_fleet_with_one_line(rig, monkeypatch: pytest.MonkeyPatch) -> None:
    it = rig({1: writes(*[0.01 * n for n in range(1, 50)]), 2: DevicePlan()})
    it.start()

    def full(*_: object, **__: object) -> None:
        raise HistoryError("swarm-1.bin: No space left on device")

    monkeypatch.setattr(it.writer, "append", full)
    wait_until(lambda: it.failures)
    gevent.sleep(0.05)
    assert it.failures == ["swarm-1.bin: No space left on device"]


def test_devices_beat_and_report_what_they_showed(rig, chat) -> None:
    it = rig({1: writes(0.05), 2: DevicePlan()})
    it.start()
    wait_until(lambda: any(isinstance(f, Recv) and f.seq == 1 for f in chat.received[2]))
    assert any(isinstance(f, Sync) for f in chat.received[2])
    assert not any(isinstance(f, Heartbeat) for f in chat.received[2])


class Way:
    """A port that leads to another one, as a cell does; counts who comes, and knows which connections are open."""

    def __init__(self, to: tuple[str, int]) -> None:
        self.came = 0
        self.open: set[object] = set()
        self._to = to
        self._server = gevent.server.StreamServer(("127.0.0.1", 0), self._carry)
        self._server.start()
        self.port = self._server.server_port

    def _carry(self, near: socket.socket, _address: object) -> None:
        self.came += 1
        self.open.add(near)
        with gevent.socket.create_connection(self._to) as far:
            back = gevent.spawn(self._pump, far, near)
            self._pump(near, far)
            self.open.discard(near)
            back.kill()

    @staticmethod
    def _pump(one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                other.sendall(data)

    def stop(self) -> None:
        self._server.stop()


@pytest.fixture
def ways(chat) -> Iterator[list[Way]]:
    """Two cells, whose ports lead to the gateway."""
    (url,) = ApiClient(chat.api_url, rng=random.Random(1)).gateways()
    host, _, port = urlsplit(url).netloc.partition(":")
    made = [Way((host, int(port))) for _ in range(2)]
    yield made
    for way in made:
        way.stop()


def test_a_mobile_device_moves_to_the_next_cell_and_its_old_connection_stays_open(rig, chat, ways) -> None:
    moving = DevicePlan(mobile=Mobile(0, (int(0.5 * US),)))
    it = rig({1: writes(0.1, 1.5), 2: moving, 3: DevicePlan()})
    (url,) = ApiClient(chat.api_url, rng=random.Random(1)).gateways()
    it.fleet.ways = [{urlsplit(url).netloc: ("127.0.0.1", way.port)} for way in ways]
    it.start()
    assert [way.came for way in ways] == [1, 0]  # one of three
    wait_until(lambda: ways[1].came == 1)
    wait_until(lambda: len(it.events(Event.SHOW)) == 6)
    assert [r[5] for r in it.events(Event.SHOW, 2)] == [1, 2]
    assert len(it.events(Event.ONLINE, 2)) == 2
    assert [len(way.open) for way in ways] == [1, 1]
    assert it.fleet._run.recorder.counters.drops == 1
    it.fleet.stop()
    wait_until(lambda: [len(way.open) for way in ways] == [0, 1])


def test_a_gateway_that_cannot_be_reached_from_one_cell_is_avoided_from_there_only(chat) -> None:
    gateways = Gateways(ApiClient(chat.api_url, rng=random.Random(1)), rng=random.Random(1))
    url = gateways.pick()
    gateways._urls = (url, "ws://other")
    gateways.failed(url, 1)
    assert {gateways.pick(1) for _ in range(4)} == {"ws://other"}
    assert {gateways.pick(0) for _ in range(4)} == {gateways.pick() for _ in range(4)} == {url, "ws://other"}
