"""Devices of a fleet process over real sockets against a real WebSocket server, at rest whenever they can."""

import gc
import random
import time
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path

import pytest

from load.device.device import Device, Run
from load.drive.api import ApiClient
from load.drive.lean import crew as crews
from load.drive.lean.crew import Crew
from load.drive.lean.session import LeanSession
from load.drive.lean.world import Groups, Recipients, World, packed
from load.history.events import Event, Record
from load.history.recorder import Nobody, Recorder
from load.history.writer import HistoryTail, HistoryWriter, now_ns
from load.plan.plan import ALWAYS_US, US, Absence, DevicePlan, Plan, PlannedSend
from load.plan.population import Conversation, Population
from sut.protocol.client_socket import ClientSocket
from sut.protocol.device.client import Client
from sut.protocol.device.events import ClientSettings
from sut.protocol.frames import Heartbeat, Recv, Send, Sync
from tests.kit import waits


class Rig:
    """A crew of devices 1..n, all in one group, with its history."""

    def __init__(self, chat, tmp_path: Path, plans: dict[int, DevicePlan]) -> None:
        writer = HistoryWriter(tmp_path / "swarm-1.bin")
        self.writer, self.tail = writer, HistoryTail(tmp_path / "swarm-1.bin")
        self.records: list[Record] = []
        api = ApiClient(chat.api_url, rng=random.Random(1))
        tokens = api.tokens("key", plans)
        conv = api.create(tokens[1], kind="group", members=list(plans), key="a")
        group = Conversation(key="a", kind="group", members=tuple(plans), weight=1.0)
        population = Population(first_id=1, activity=(1.0,) * len(plans), conversations=(group,))
        world = World(packed(population, Plan(devices=plans, changes=()), list(plans.values())), [conv])
        self.recorder = Recorder(writer, groups=Groups(world), recipients=Recipients(world), observer=Nobody())
        self.run = Run(
            seed=1,
            conversations=world.conversations,
            recorder=self.recorder,
            ties=world.ties(ignore_dependencies=False),
            settings=ClientSettings(ack_timeout_s=0.5, reconnect_base_s=0.05, recv_every_s=0.05),
        )
        self.crew = Crew(
            world=world, first=0, step=1, device_of=lambda row: row + 1, run=self.run,
            tokens=lambda row: tokens[row + 1], api=api, api_key="key",
        )  # fmt: skip

    def pump(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.crew.turn(until)

    def until(self, condition: Callable[[], object]) -> None:
        waits.wait_until(condition, sleep=lambda s: self.pump(min(s, 0.02)))

    def start(self, *, online: int | None = None, begin: bool = True) -> None:
        for row in range(self.crew.rows):
            self.crew.start(row)
        wanted = self.crew.rows if online is None else online
        self.until(lambda: self.recorder.counters.online == wanted)
        if begin:
            self.crew.begin(now_ns())

    def events(self, kind: Event, device: int = 0) -> list[Record]:
        self.records += self.tail.read()
        return [r for r in self.records if r[7] == kind and device in (0, r[2])]


@pytest.fixture
def rig(chat, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Rig]]:
    """Makes rigs, whose devices rest as soon as nothing is due for a moment, and ends them."""
    monkeypatch.setattr(crews, "RESTLESS_S", 0.01)
    monkeypatch.setattr(crews, "LINGER_S", 0.01)
    made: list[Rig] = []

    def make(plans: dict[int, DevicePlan]) -> Rig:
        made.append(Rig(chat, tmp_path, plans))
        return made[-1]

    yield make
    for one in made:
        one.crew.leave()
        one.writer.close()


def writes(*at_s: float) -> DevicePlan:
    return DevicePlan(sends=tuple(PlannedSend(int(at * US), 0, 100) for at in at_s))


def away(from_s: float, to_s: float, *, clean: bool = True) -> DevicePlan:
    begins = ALWAYS_US if from_s < 0 else int(from_s * US)
    return DevicePlan(absences=(Absence(begins, int(to_s * US), clean),))


def test_a_message_goes_from_plan_to_every_screen_and_then_all_rest(rig, chat) -> None:
    it = rig({1: writes(0.05, 0.3), 2: writes(0.6), 3: DevicePlan()})
    it.start(begin=False)
    it.until(lambda: it.crew.active == 0)
    assert not it.crew.wrote_all()
    it.crew.begin(now_ns())
    it.until(lambda: len(it.events(Event.SHOW)) == 9)
    it.until(lambda: it.crew.active == 0)
    for device in (1, 2, 3):
        assert [r[5] for r in it.events(Event.SHOW, device)] == [1, 2, 3]
        it.until(lambda device=device: any(isinstance(f, Recv) and f.seq == 3 for f in chat.received[device]))
    due = sorted(r[1] - it.run.t0_ns for r in it.events(Event.SEND))
    assert due == [50_000_000, 300_000_000, 600_000_000]
    assert it.crew.wrote_all()
    assert it.crew.sends == (3, 0)
    assert it.recorder.counters.drops == it.recorder.counters.violations == 0


def test_many_devices_rest_wake_and_show_each_message_once(rig) -> None:
    plans = {device: writes(*[0.05 * device + 0.4 * n for n in range(6)]) for device in range(1, 13)}
    it = rig(plans)
    it.start()
    it.until(lambda: len(it.events(Event.SHOW)) >= 12 * 72)
    it.pump(0.3)
    for device in plans:
        assert [r[5] for r in it.events(Event.SHOW, device)] == list(range(1, 73))


def test_devices_at_rest_beat_without_waking_and_wake_when_nothing_answers(rig, chat, monkeypatch) -> None:
    chat.heartbeat_ms = 300
    it = rig({1: DevicePlan(), 2: DevicePlan()})
    it.run.settings = ClientSettings(beat_timeout_s=0.5, reconnect_base_s=0.05, sync_every_beats=100)
    it.start()
    it.until(lambda: it.crew.active == 0)
    woken: list[int] = []
    wake = it.crew._wake
    monkeypatch.setattr(it.crew, "_wake", lambda row: woken.append(row) or wake(row))

    def beats(device: int) -> int:
        return sum(isinstance(frame, Heartbeat) for frame in chat.received[device])

    it.until(lambda: beats(1) >= 4 and beats(2) >= 4)
    assert not woken
    assert it.recorder.counters.drops == 0
    chat.swallow = lambda device, frame: device == 2 and isinstance(frame, Heartbeat)
    it.until(lambda: it.events(Event.OFFLINE, 2))
    assert woken[0] == 1
    chat.swallow = lambda _device, _frame: False
    it.until(lambda: len(it.events(Event.ONLINE, 2)) >= 2)


def test_a_device_at_rest_asks_what_it_missed_with_every_few_beats(rig, chat) -> None:
    chat.heartbeat_ms = 200
    it = rig({1: DevicePlan()})
    it.run.settings = ClientSettings(reconnect_base_s=0.05, sync_every_beats=3)
    it.start()

    def frames(kind: type) -> int:
        return sum(isinstance(frame, kind) for frame in chat.received[1])

    it.until(lambda: frames(Sync) >= 4)
    assert 7 <= frames(Heartbeat) <= 12, "the first SYNC belongs to the connection"
    assert it.recorder.counters.drops == 0


def test_who_has_sent_lingers_for_receipts_if_there_are_not_too_many(rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crews, "LINGERING", 3)
    it = rig({device: writes(0.05) if device < 6 else DevicePlan() for device in range(1, 9)})
    monkeypatch.setattr(crews, "LINGER_S", 1000.0)
    it.start()
    it.until(lambda: len(it.events(Event.SHOW)) == 5 * 8)
    it.until(lambda: it.crew.active == 3)
    assert it.crew.busy == 0
    monkeypatch.setattr(crews, "LINGER_S", 0.0)
    it.pump(0.1)
    assert it.crew.active == 3, "as long as they were to"


def test_devices_at_rest_leave_nothing_to_a_garbage_collection(rig) -> None:
    def objects() -> list[object]:
        kinds = Device | Client | LeanSession | ClientSocket
        return [one for one in gc.get_objects() if isinstance(one, kinds)]

    it = rig({device: writes(0.05) if device == 1 else DevicePlan() for device in range(1, 6)})
    gc.collect()
    others = objects()  # of other tests: kept here, so that no id is used again
    gc.disable()
    try:
        it.start()
        it.until(lambda: len(it.events(Event.SHOW)) == 5)
        it.until(lambda: it.crew.active == 0)
        left = {id(one) for one in objects()} - {id(one) for one in others}
    finally:
        gc.enable()
    assert not left


def test_a_process_that_is_woken_often_gathers_what_arrives_and_is_in_time_for_its_alarms(rig, monkeypatch) -> None:
    crew = rig({1: DevicePlan()}).crew
    slept: list[float] = []
    monkeypatch.setattr(crews.time, "sleep", slept.append)

    def turns(count: int, wait_s: float) -> None:
        for _ in range(count):
            crew.turn(time.monotonic() + wait_s)

    turns(crews.LATELY, 0.0)
    assert not slept, "what is due is done first"
    waits.wait_until(lambda: turns(crews.LATELY, 0.0) or turns(1, 0.001) or slept, sleep=lambda _: None)
    assert 0 < slept[-1] <= 0.001, "an alarm is due sooner"
    waits.wait_until(lambda: turns(crews.LATELY, 0.0) or turns(1, 0.05) or slept[-1] > 0.001, sleep=lambda _: None)
    assert slept[-1] <= crews.GATHER_S
    turns(crews.LATELY, 2 * crews.OFTEN_S)
    slept.clear()
    turns(3, 2 * crews.OFTEN_S)
    assert not slept


def test_an_expired_token_is_renewed_once_per_attempt(rig, chat) -> None:
    it = rig({1: DevicePlan()})
    chat.token_version = 2
    it.start(begin=False)
    assert chat.upgrades == 2
    assert it.recorder.counters.drops == 0


def test_a_cut_connection_is_made_again_and_nothing_is_lost_or_doubled(rig, chat) -> None:
    chat.swallow = lambda _device, frame: isinstance(frame, Send)
    it = rig({1: writes(0.05, 0.06), 2: DevicePlan()})
    it.start()
    it.until(lambda: any(isinstance(f, Send) for f in chat.received[1]))
    chat.swallow = lambda _device, _frame: False
    chat.cut_all()
    it.until(lambda: len(it.events(Event.SHOW)) == 4)
    assert [r[8] for r in it.events(Event.OFFLINE)] == [0, 0]
    assert len(it.events(Event.DUE_ONLINE)) == 2, "a broken connection ends nothing that is due"
    assert len(it.events(Event.SEND)) == 2


@pytest.mark.parametrize("clean", [True, False])
def test_a_planned_absence_happens_as_planned_and_is_caught_up(rig, clean: bool) -> None:
    it = rig({1: writes(0.5), 2: away(0.2, 1.0, clean=clean)})
    it.start()
    it.until(lambda: it.recorder.counters.shown == 1)
    (offline,) = it.events(Event.OFFLINE)
    first, second = it.events(Event.ONLINE, 2)
    (show,) = it.events(Event.SHOW, 2)
    t0_ns = it.run.t0_ns
    assert (offline[2], offline[8]) == (2, 1)
    assert 0.2 <= (offline[0] - t0_ns) / 1e9 < 0.95
    assert 0.99 < (second[0] - t0_ns) / 1e9 < 2.5
    assert first[0] < offline[0] < second[0] <= show[0]
    assert it.recorder.counters.drops == 0


def test_a_latecomer_comes_late_and_at_once_when_it_is_quiet(rig, chat) -> None:
    it = rig({1: writes(60.0), 2: away(-1, 0.3), 3: away(-1, 50.0)})
    it.start(online=1, begin=False)
    it.pump(0.1)
    assert chat.upgrades == 1
    it.crew.begin(now_ns())
    it.until(lambda: it.recorder.counters.online == 2)
    (online,) = it.events(Event.ONLINE, 2)
    assert online[0] - it.run.t0_ns > 0.29e9
    it.crew.quiesce()
    it.until(lambda: it.recorder.counters.online == 3)
    assert it.recorder.counters.sends == 0
    assert it.crew.sends == (1, 1)


def test_a_refusing_gateway_is_tried_again_and_a_broken_one_left(rig, chat) -> None:
    chat.refuse_upgrades = HTTPStatus.SERVICE_UNAVAILABLE
    it = rig({1: DevicePlan()})
    it.crew.start(0)
    it.until(lambda: chat.upgrades >= 4)
    assert not it.events(Event.ONLINE)
    chat.refuse_upgrades = None
    it.until(lambda: it.events(Event.ONLINE))
    chat.push(1, b"\xff\x00")
    it.until(lambda: len(it.events(Event.ONLINE)) == 2)
    assert it.recorder.counters.violations == 1


def test_the_end_takes_every_device_offline_as_planned(rig, chat) -> None:
    it = rig({1: DevicePlan(), 2: DevicePlan(), 3: away(-1, 50.0)})
    it.start(online=2)
    it.until(lambda: it.crew.active == 0)
    it.crew.leave()
    assert [r[8] for r in it.events(Event.OFFLINE)] == [1, 1]
    waits.wait_until(lambda: not chat.connections)
    it.crew.leave()


def test_devices_that_have_not_left_yet_still_answer(rig, chat, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crews, "LEAVE_AT_ONCE", 1)
    it = rig({1: writes(0.05), 2: DevicePlan(), 3: DevicePlan(), 4: DevicePlan()})
    it.start()
    it.until(lambda: it.events(Event.ACK))
    leave = LeanSession.leave

    def slowly(session: LeanSession, now: float) -> None:
        time.sleep(0.2)
        leave(session, now)

    monkeypatch.setattr(LeanSession, "leave", slowly)
    it.crew.leave()
    waits.wait_until(lambda: any(isinstance(frame, Recv) for frame in chat.received[4]))


def test_connections_that_end_together_are_recorded_with_the_time_at_which_that_was_told(
    rig, chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = rig({device: DevicePlan() for device in range(1, 5)})
    made.start()
    made.until(lambda: made.crew.active == 0)
    real = Crew._ready

    def slow(crew: Crew, row: int, mask: int) -> None:
        time.sleep(0.1)
        real(crew, row, mask)

    chat.cut_all()
    time.sleep(0.3)  # all four ends are there by now
    monkeypatch.setattr(Crew, "_ready", slow)
    before = now_ns()
    made.crew.turn(time.monotonic() + 1)
    took_ns = now_ns() - before
    ended = [record[0] for record in made.events(Event.OFFLINE)]
    assert len(ended) == 4
    assert took_ns > 350_000_000
    assert max(ended) - min(ended) == 0
    assert ended[0] - before < 90_000_000
