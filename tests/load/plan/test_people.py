"""What people do beside writing: planned from the seed, bounded, none of it unless asked for; and what is recorded."""

import random
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from load.device.doings import Doings
from load.history.events import Event, message_id
from load.history.recorder import UNWATCHED, Recorder
from load.history.writer import HistoryTail, HistoryWriter
from load.plan import people
from load.plan import plan as plans
from load.plan import population as populations
from load.plan.people import Keystroke, Look, is_read
from load.plan.plan import DevicePlan
from load.workload import SwarmConfig
from sut.protocol.device.events import Show, Told
from sut.protocol.frames import Message

BASE = {"seed": 7, "users": 60, "api_url": "http://127.0.0.1:1", "api_key": "k", "history_dir": "h", "duration_s": 60.0}


def planned(**changes: object) -> tuple[populations.Population, plans.Plan]:
    config = SwarmConfig(**(BASE | changes))  # type: ignore[arg-type]
    population = populations.make(config)
    return population, plans.make(config, population)


def test_nothing_of_it_unless_asked_for_and_the_rest_is_the_same() -> None:
    _, without = planned()
    _, with_all = planned(read_share=0.5, typing_share=0.5, watch_share=0.5)
    assert not any(plan.keystrokes or plan.looks for plan in without.devices.values())
    assert any(plan.keystrokes for plan in with_all.devices.values())
    assert any(plan.looks for plan in with_all.devices.values())
    for device, plan in without.devices.items():
        assert (plan.sends, plan.absences) == (with_all.devices[device].sends, with_all.devices[device].absences)


@given(st.integers(0, 1 << 40), st.floats(0.1, 1), st.integers(1, 20), st.floats(5, 120))
@settings(max_examples=40, deadline=None)
def test_looks_are_at_contacts_in_turn_and_within_the_run(
    seed: int, share: float, watched: int, duration_s: float
) -> None:
    population, plan = planned(seed=seed, watch_share=share, watched=watched, duration_s=duration_s)
    viewers = [device for device, its in plan.devices.items() if its.looks]
    assert len(viewers) <= round(60 * share)
    for viewer in viewers:
        contacts = {user for c in population.conversations if viewer in c.members for user in c.members} - {viewer}
        for look in plan.devices[viewer].looks:
            assert 0 < len(look.users) == len(set(look.users)) <= watched
            assert set(look.users) <= contacts
            assert 0 <= look.from_us < look.to_us <= round(duration_s * 1e6)
        for one, other in pairwise(plan.devices[viewer].looks):
            assert one.to_us < other.from_us


def test_keystrokes_come_before_their_send() -> None:
    _, plan = planned(typing_share=1.0)
    assert sum(len(its.sends) for its in plan.devices.values()) > 100
    for its in plan.devices.values():
        assert len(its.keystrokes) == len(its.sends)
        for stroke in its.keystrokes:
            assert any(
                send.conversation == stroke.conversation and stroke.at_us <= send.due_us <= stroke.at_us + 4_000_000
                for send in its.sends
            )


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_share_that_is_read(share: float) -> None:
    rng = random.Random(1)
    read = sum(is_read(5, 11, message_id(rng.randint(1, 1000), rng.randint(1, 1000)), share) for _ in range(10_000))
    assert abs(read - 10_000 * share) < 200


class Asked:
    """A client that notes what it is asked."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []

    def typing(self, conv: int, now: float) -> None:
        self.calls.append(("typing", conv, now))

    def watch(self, users: tuple[int, ...]) -> None:
        self.calls.append(("watch", users))

    def mark_read(self, conv: int, seq: int, now: float) -> None:
        self.calls.append(("read", conv, seq, now))


def doings(client: Asked, plan: DevicePlan, read_share: float = 1.0) -> Doings:
    return Doings(
        client,  # type: ignore[arg-type]
        plan,
        device=1,
        conversations=(70, 71),
        seed=1,
        read_share=read_share,
        at=lambda us: 100 + us / 1e6,
    )


def test_the_plan_is_followed_in_time() -> None:
    client = Asked()
    plan = DevicePlan(
        keystrokes=(Keystroke(1_000_000, 1), Keystroke(4_000_000, 0)),
        looks=(Look(2_000_000, 3_000_000, (8, 9)), Look(5_000_000, 6_000_000, (7,))),
    )
    its = doings(client, plan)
    times = []
    while (at := its.wake_at()) < 1e9:
        times.append(at)
        its.follow(at)
    assert times == [101, 102, 103, 104, 105, 106]
    assert client.calls == [
        ("typing", 71, 101), ("watch", (8, 9)), ("watch", ()), ("typing", 70, 104), ("watch", (7,)), ("watch", ()),
    ]  # fmt: skip


def test_what_others_wrote_is_read_and_what_one_wrote_is_not() -> None:
    client = Asked()
    its = doings(client, DevicePlan())
    its.shown(Show(Message(70, 4, 0, 2, 2, 1, b"theirs")), 9.0)
    its.shown(Show(Message(70, 5, 0, 1, 1, 1, b"mine")), 9.0)
    doings(client, DevicePlan(), read_share=0).shown(Show(Message(70, 6, 0, 2, 2, 2, b"theirs")), 9.0)
    assert client.calls == [("read", 70, 4, 9.0)]


def test_what_is_recorded_of_others(tmp_path: Path) -> None:
    writer, path = HistoryWriter(tmp_path / "a.bin"), tmp_path / "a.bin"
    recorder = Recorder(writer, groups=frozenset(), recipients={}, observer=None)  # type: ignore[arg-type]
    recorder.receipt(1, Told(70, 4, 1, 2))
    recorder.receipt(1, Told(70, 4, 9, 2))  # of a kind that nobody knows
    for state in (1, 0, UNWATCHED):
        recorder.presence(1, 2, state)
    writer.close()
    told = [(record[7], record[2], record[3], record[4], record[5], record[8]) for record in HistoryTail(path).read()]
    assert told == [
        (Event.RECEIPT, 1, 70, 2, 4, 1),
        (Event.PRESENCE, 1, 0, 2, 0, 1), (Event.PRESENCE, 1, 0, 2, 0, 0), (Event.PRESENCE, 1, 0, 2, 0, UNWATCHED),
    ]  # fmt: skip
    assert (recorder.counters.receipts, recorder.counters.presence) == (1, 2)


def test_contacts_of_a_large_group_are_bounded() -> None:
    population, _ = planned(users=1500, groups_per_user=0.01, group_cap=500, directs_per_user=1.0)
    found = people._contacts(population, frozenset(population.users))
    assert max(map(len, found.values())) < people.MAX_CONTACTS + 500
