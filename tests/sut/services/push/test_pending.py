"""What is pending, what collapses, what is tried again and when, and how far the log may be committed: all pure."""

import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sut.ports import PushAddress, PushAnswer, RegisteredDevice, Verdict
from sut.services.push.floor import Floor
from sut.services.push.lane import FIRST_WAIT_S, MAX_WAIT_S, WIDTH, Due, Hold, Lane

ACCEPTED = PushAnswer(Verdict.ACCEPTED)
LATER = PushAnswer(Verdict.LATER)
UNREACHABLE = PushAnswer(Verdict.UNREACHABLE)


def device(number: int = 1, *, token: str = "t") -> RegisteredDevice:
    return RegisteredDevice(number, number, PushAddress("apns", token))


class TestFloor:
    """Floor."""

    def test_it_is_what_was_read_while_nothing_is_open(self) -> None:
        floor = Floor()
        assert floor.value == 0
        floor.read_to(7)
        floor.read_to(5)
        assert floor.value == 7

    def test_it_stays_below_the_lowest_open_record(self) -> None:
        floor = Floor()
        for offset in (3, 5, 9):
            floor.hold(offset)
        floor.read_to(10)
        assert (floor.value, floor.open) == (2, 3)
        floor.release(5)
        assert floor.value == 2
        floor.release(3)
        assert floor.value == 8
        floor.release(9)
        assert (floor.value, floor.open) == (10, 0)

    def test_a_record_held_twice_is_open_until_both_are_over(self) -> None:
        floor = Floor()
        floor.hold(3)
        floor.hold(3)
        floor.read_to(3)
        floor.release(3)
        assert floor.value == 2
        floor.hold(3)
        floor.release(3)
        floor.release(3)
        assert floor.value == 3

    @given(st.lists(st.tuples(st.integers(1, 30), st.booleans()), max_size=80))
    def test_it_is_the_highest_offset_with_nothing_open_at_or_below(self, steps: list[tuple[int, bool]]) -> None:
        floor, held = Floor(), []
        floor.read_to(31)
        for offset, hold in steps:
            if hold:
                floor.hold(offset)
                held.append(offset)
            elif held:
                floor.release(held.pop(offset % len(held)))
            assert floor.value == (min(held) - 1 if held else 31)


@dataclass
class Desk:
    """A lane with one partition and a clock."""

    floor: Floor = field(default_factory=Floor)
    now_s: float = 100.0

    def __post_init__(self) -> None:
        self.lane = Lane({0: self.floor}, rng=random.Random(1))
        self.floor.read_to(1000)

    def add(self, seq: int, *, offset: int, number: int = 1, conv: int = 7, token: str = "t") -> None:
        self.lane.add(device(number, token=token), conv, seq, Hold(0, offset))

    def take(self) -> Due:
        due = self.lane.take(self.now_s)
        assert due is not None
        return due

    def answer(self, due: Due, answer: PushAnswer) -> None:
        self.lane.answer(due, answer, self.now_s)


def test_a_push_holds_its_record_until_it_is_answered() -> None:
    for verdict in (Verdict.ACCEPTED, Verdict.REFUSED, Verdict.UNREGISTERED):
        desk = Desk()
        desk.add(5, offset=40)
        assert desk.floor.value == 39
        due = desk.take()
        assert (due.conv, due.flying) == (7, 5)
        assert desk.lane.take(desk.now_s) is None
        assert desk.floor.value == 39
        desk.answer(due, PushAnswer(verdict))
        assert desk.floor.value == 1000
        assert len(desk.lane) == 0


def test_what_waits_for_the_same_device_and_conversation_is_one_push_with_the_highest_number() -> None:
    desk = Desk()
    for seq, offset in ((5, 40), (6, 41), (9, 44), (8, 43)):
        desk.add(seq, offset=offset)
    desk.add(3, offset=50, conv=8)
    desk.add(4, offset=51, number=2)
    assert len(desk.lane) == 3
    due = desk.take()
    assert due.flying == 9
    desk.answer(due, ACCEPTED)
    assert desk.floor.value == 49
    assert [(d.conv, d.device.device, d.flying) for d in (desk.take(), desk.take())] == [(8, 1, 3), (7, 2, 4)]


def test_what_comes_while_one_is_in_flight_is_pushed_after_it_once() -> None:
    desk = Desk()
    desk.add(5, offset=40)
    due = desk.take()
    desk.add(6, offset=41)
    desk.add(7, offset=42)
    desk.add(4, offset=43)
    assert desk.lane.take(desk.now_s) is None
    desk.answer(due, ACCEPTED)
    assert desk.floor.value == 40
    again = desk.take()
    assert again.flying == 7
    desk.answer(again, ACCEPTED)
    assert (desk.floor.value, len(desk.lane)) == (1000, 0)


def test_a_push_that_failed_for_now_is_tried_again_with_the_newest_number_and_holds_all_it_covers() -> None:
    desk = Desk()
    desk.add(5, offset=40)
    due = desk.take()
    desk.add(6, offset=41)
    desk.answer(due, LATER)
    assert desk.floor.value == 39
    desk.now_s += FIRST_WAIT_S
    due = desk.take()
    assert due.flying == 6
    desk.answer(due, ACCEPTED)
    assert (desk.floor.value, len(desk.lane)) == (1000, 0)


def test_waits_grow_with_jitter_up_to_a_bound() -> None:
    desk, waits = Desk(), []
    desk.add(5, offset=40)
    for _ in range(200):
        desk.answer(desk.take(), LATER)
        wait_s = desk.lane.wait_s(desk.now_s)
        assert wait_s is not None
        assert desk.lane.take(desk.now_s + wait_s * 0.999 - 1e-9) is None
        waits.append(wait_s)
        desk.now_s += wait_s + 1e-9
    assert max(waits[:1]) <= FIRST_WAIT_S
    assert max(waits) <= MAX_WAIT_S
    assert max(waits[20:]) > MAX_WAIT_S * 0.8
    assert min(waits[20:]) < MAX_WAIT_S * 0.2


def test_what_the_provider_asks_for_is_kept() -> None:
    desk = Desk()
    desk.add(5, offset=40)
    desk.answer(desk.take(), PushAnswer(Verdict.LATER, retry_after_s=12))
    assert desk.lane.take(desk.now_s + 11.9) is None
    assert desk.lane.take(desk.now_s + 12 + FIRST_WAIT_S) is not None


def test_a_push_that_waits_does_not_hold_up_others() -> None:
    desk = Desk()
    desk.add(5, offset=40)
    desk.answer(desk.take(), LATER)
    desk.add(6, offset=41, number=2)
    assert desk.take().device.device == 2


def test_so_many_fly_at_once() -> None:
    desk = Desk()
    for number in range(1, WIDTH + 2):
        desk.add(1, offset=number, number=number)
    dues = [desk.take() for _ in range(WIDTH)]
    assert desk.lane.take(desk.now_s) is None
    desk.answer(dues[0], ACCEPTED)
    assert desk.lane.take(desk.now_s) is not None


def test_a_provider_that_cannot_be_reached_is_looked_for_by_one_push_at_a_time_and_none_is_lost() -> None:
    desk = Desk()
    for number in range(1, 21):
        desk.add(1, offset=number, number=number)
    dues = [desk.take() for _ in range(20)]
    for due in dues:
        desk.answer(due, UNREACHABLE)
    waits = []
    for _ in range(10):
        wait_s = desk.lane.wait_s(desk.now_s)
        assert wait_s is not None
        waits.append(wait_s)
        desk.now_s += wait_s
        due = desk.take()
        assert desk.lane.take(desk.now_s) is None
        desk.answer(due, UNREACHABLE)
    assert 1.4 < max(waits) <= 3.0
    desk.now_s += 3.0
    desk.answer(desk.take(), ACCEPTED)
    rest = [desk.take() for _ in range(19)]
    assert {due.device.device for due in rest} < set(range(1, 21))
    for due in rest:
        desk.answer(due, ACCEPTED)
    assert (desk.floor.value, len(desk.lane)) == (1000, 0)


def test_a_connection_that_broke_counts_once_and_the_push_that_broke_it_does_not_hold_up_others() -> None:
    desk = Desk()
    for number in (1, 2, 3):
        desk.add(1, offset=number, number=number)
    for due in [desk.take() for _ in range(3)]:
        desk.answer(due, UNREACHABLE)
    wait_s = desk.lane.wait_s(desk.now_s)
    assert wait_s is not None
    assert wait_s <= 0.1
    order = []
    for _ in range(4):
        desk.now_s += 3.0
        due = desk.take()
        order.append(due.device.device)
        desk.answer(due, UNREACHABLE if due.device.device == 1 else ACCEPTED)
    assert order == [1, 2, 3, 1]


def test_a_newer_token_is_used_by_the_next_try() -> None:
    desk = Desk()
    desk.add(5, offset=40)
    due = desk.take()
    assert not desk.lane.readdress([device(token="t")], dead=device(token="t"))
    assert not desk.lane.readdress([RegisteredDevice(1, 1, None)], dead=device(token="t"))
    assert desk.lane.readdress([device(2), device(token="new")], dead=device(token="t"))
    desk.answer(due, LATER)
    desk.now_s += 1
    assert desk.take().device == device(token="new")


@settings(max_examples=200)
@given(st.lists(st.tuples(st.sampled_from("atx"), st.integers(0, 5), st.sampled_from(list(Verdict))), max_size=120))
def test_in_the_end_each_device_has_the_highest_number_and_the_floor_never_passes_what_is_open(
    steps: list[tuple[str, int, Verdict]],
) -> None:
    """Against a plain model: what was added, what was accepted or refused for good."""
    floor, now_s, offset = Floor(), 0.0, 0
    lane = Lane({0: floor}, rng=random.Random(3))
    heads: dict[int, int] = {}
    settled: dict[int, int] = {}
    opened: list[tuple[int, int, int]] = []
    flying: list[Due] = []

    def answer(due: Due, verdict: Verdict) -> None:
        if verdict not in (Verdict.LATER, Verdict.UNREACHABLE):
            settled[due.device.device] = max(due.flying, settled.get(due.device.device, 0))
        lane.answer(due, PushAnswer(verdict), now_s)

    for kind, number, verdict in steps:
        now_s += 0.5
        if kind == "a":
            offset += 1
            heads[number] = heads.get(number, 0) + 1
            floor.read_to(offset)
            opened.append((offset, number, heads[number]))
            lane.add(device(number), 7, heads[number], Hold(0, offset))
        elif kind == "t" and (due := lane.take(now_s)) is not None:
            flying.append(due)
        elif kind == "x" and flying:
            answer(flying.pop(number % len(flying)), verdict)
        unsettled = [at for at, who, seq in opened if seq > settled.get(who, 0)]
        assert floor.value < min(unsettled, default=offset + 1)
        assert len({due.device.device for due in flying}) == len(flying)
    for _ in range(500):
        for due in flying:
            answer(due, Verdict.ACCEPTED)
        now_s += 30.0
        flying = [due] if (due := lane.take(now_s)) is not None else []
    assert settled == heads
    assert (len(lane), floor.value) == (0, offset)


def test_a_device_that_is_unregistered_with_a_newer_number_waiting_is_told_by_its_next_push() -> None:
    desk = Desk()
    desk.add(5, offset=40)
    due = desk.take()
    desk.add(6, offset=41)
    desk.answer(due, PushAnswer(Verdict.UNREGISTERED))
    assert desk.take().flying == 6
    assert desk.floor.value == 40


@pytest.mark.parametrize("verdict", [Verdict.LATER, Verdict.UNREACHABLE])
def test_what_waits_knows_when_it_is_due(verdict: Verdict) -> None:
    desk = Desk()
    assert desk.lane.wait_s(desk.now_s) is None
    desk.add(5, offset=40)
    desk.answer(desk.take(), PushAnswer(verdict))
    wait_s = desk.lane.wait_s(desk.now_s)
    assert wait_s is not None
    desk.now_s += wait_s
    desk.take()
