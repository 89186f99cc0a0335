"""The budget per hop: hops add up, nothing is filled in, and the right attempt, life and connection is timed."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from chaos.verdict.history import native
from chaos.verdict.history.history import load_run
from dashboards.report.hops import HOPS, Budget, Share, measure
from dashboards.report.joining import TIMES
from dashboards.report.traces import RECORD as READ
from dashboards.report.traces import STAMPS, read_traces
from load.history.events import Event, Explanation, message_id
from load.history.writer import HistoryWriter
from sut.process.trace import RECORD, RECORD_SIZE, Hop
from tests.dashboards.traced import EVERY, USUAL_MS, TracedRun, ns

# Device 1's messages 3, 7, 11, ... are traced: (1 + client_seq) % 4 == 0.


def budget_of(run: TracedRun) -> Budget:
    directory = run.write()
    found = measure(load_run(directory), directory)
    assert found is not None
    return found


def only(run: TracedRun) -> Share:
    """The steady share of a run in which everything is complete."""
    found = budget_of(run)
    assert found.left_out == {}
    assert found.problem == ""
    assert found.steady is not None
    return found.steady


def lengths(share: Share) -> dict[str, float]:
    """Of a single delivery: each hop it had."""
    assert share.deliveries == 1
    return {name: spread.max for name, spread in share.hops.items() if spread.max is not None}


def test_the_reader_knows_the_writers_format() -> None:
    assert READ.itemsize == RECORD_SIZE
    assert tuple(hop.name.lower() for hop in Hop) == STAMPS
    assert [int(hop) for hop in Hop] == list(range(1, len(STAMPS) + 1))
    written = np.frombuffer(RECORD.pack(-5, 1 << 63, 3, 4, 5, Hop.TOLD), READ)[0]
    assert [int(written[name]) for name in ("t", "device", "client_seq", "conv", "seq", "hop")] == [
        -5, 1 << 63, 3, 4, 5, Hop.TOLD,
    ]  # fmt: skip


def test_every_hop_of_a_group_message_is_as_long_as_it_was(tmp_path: Path) -> None:
    run = TracedRun(tmp_path / "run")
    run.message(3, due_ms=0)
    share = only(run)
    assert lengths(share) == {**USUAL_MS}
    assert share.end_to_end.max == sum(USUAL_MS.values())
    assert share.rest_ms == 0


def test_a_direct_message_has_no_fetch(tmp_path: Path) -> None:
    run = TracedRun(tmp_path / "run")
    run.message(3, due_ms=0, group=False)
    share = only(run)
    assert lengths(share) == {name: took for name, took in USUAL_MS.items() if name != "fetch"}
    assert share.hops["fetch"].n == share.hops["repeat"].n == 0


def test_hops_add_up_and_only_traced_messages_count(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    run = TracedRun(tmp_path / "run")
    for client_seq in range(1, 401):
        hops = {name: float(rng.lognormal(1, 1)) for name in USUAL_MS}
        readers = (2, 3, 5) if client_seq % 3 else (2,)
        run.message(
            client_seq, due_ms=client_seq * 1000, readers=readers, conv=len(readers), group=len(readers) > 1, **hops
        )
    found = budget_of(run)
    assert found.steady is not None
    assert found.steady.messages == 100
    assert found.complete == found.traced == found.steady.deliveries
    assert found.left_out == {}
    assert found.steady.rest_ms < 0.001
    for mix in (found.steady.near_p50, found.steady.near_p99):
        assert mix.total == pytest.approx(sum(mix.hops.values()), abs=0.01)
    assert found.steady.near_p50.total == pytest.approx(found.steady.end_to_end.p50, rel=0.1)
    assert found.steady.near_p99.total == pytest.approx(found.steady.end_to_end.p99, rel=0.25)
    mean = sum((spread.mean or 0) * spread.n for spread in found.steady.hops.values()) / found.steady.deliveries
    assert mean == pytest.approx(found.steady.end_to_end.mean, rel=1e-3)


@pytest.mark.parametrize(
    ("hop", "moment"),
    [
        (Hop.HANDED_ON, "handed_on"),
        (Hop.TAKEN, "taken"),
        (Hop.APPENDING, "appending"),
        (Hop.DURABLE, "durable"),
        (Hop.APPLIED, "applied"),
        (Hop.TOLD, "told_by"),
    ],
)
def test_a_missing_stamp_is_counted_and_not_invented(tmp_path: Path, hop: Hop, moment: str) -> None:
    run = TracedRun(tmp_path / "run")
    run.message(3, due_ms=0, readers=(2, 3))
    run.message(7, due_ms=1000, readers=(2, 3, 4), without=(hop,))
    found = budget_of(run)
    assert (found.traced, found.complete) == (5, 2)
    assert found.left_out == {moment: 3}
    assert found.steady is not None
    assert {name: found.steady.hops[name].max for name in USUAL_MS} == USUAL_MS


def test_what_another_fetch_brought_before_it_was_announced_has_a_hop_of_its_own(tmp_path: Path) -> None:
    run = TracedRun(tmp_path / "run")
    run.message(3, due_ms=0)
    run._events = [event for event in run._events if event["kind"] != Explanation.NOTIFIED]
    share = only(run)
    others = ("notify", "receive", "fetch")
    expected = {name: took for name, took in USUAL_MS.items() if name not in others}
    assert lengths(share) == {**expected, "catch-up": sum(USUAL_MS[name] for name in others)}
    assert share.rest_ms == 0


def test_of_two_attempts_the_one_that_got_through_is_timed(tmp_path: Path) -> None:
    run = TracedRun(tmp_path / "run")
    who = {"device": 1, "client_seq": 3}
    run.message(3, due_ms=0, wait=1, gateway=2500, apply=3000)
    run.stamp("gateway-1", Hop.HANDED_ON, 5, **who)  # the first attempt, whose gateway or chat service then died
    run.stamp("chat-2", Hop.TAKEN, 6, **who)
    run.stamp("chat-2", Hop.APPENDING, 7, **who)
    run.event(Explanation.SENT_AGAIN, 2495, device=1, conv=9, msg=message_id(1, 3))
    run.event(Explanation.SENT_AGAIN, 4700, device=1, conv=9, msg=message_id(1, 3))
    run.stamp("gateway-2", Hop.HANDED_ON, 4705, **who)  # a third, that came too late to matter
    run.stamp("chat-1", Hop.TAKEN, 4706, **who)
    run.stamp("chat-1", Hop.APPENDING, 4707, **who)
    run.stamp("chat-1", Hop.DURABLE, 4708, **who)
    share = only(run)
    assert lengths(share) == {**USUAL_MS, "repeat": 2494, "gateway": 6, "apply": 3000}
    assert share.rest_ms == 0


def test_after_a_crash_the_life_that_told_is_timed(tmp_path: Path) -> None:
    run = TracedRun(tmp_path / "run")
    run.message(3, due_ms=0, apply=900)
    number = {"device": 1, "client_seq": 3, "conv": 9, "seq": 1}
    run.stamp("sequencer-1", Hop.APPLIED, 20, **number)  # and died before it told anybody
    run.stamp("sequencer-1", Hop.APPLIED, 920, **number)  # once more after another crash, before the body is fetched
    run.stamp("sequencer-1", Hop.APPLIED, 5000, **number)
    assert lengths(only(run)) == {**USUAL_MS, "apply": 900}


def test_a_notification_to_the_connection_before_is_none(tmp_path: Path) -> None:
    """The gateway wrote to a connection that was dead; the device came back and caught up."""
    run = TracedRun(tmp_path / "run")
    run.message(3, due_ms=0, group=False, receive=5000)
    run.connect(2, at_ms=3000)
    share = only(run)
    assert share.hops["catch-up"].max == USUAL_MS["notify"] + 5000
    assert share.hops["notify"].n == share.hops["receive"].n == 0


def test_each_recipient_is_timed_by_its_own_gateway(tmp_path: Path) -> None:
    run = TracedRun(tmp_path / "run")
    run.message(3, due_ms=0, readers=(2, 3))  # on gateway-1 and gateway-2
    late = run._stamps["gateway-2"]
    place = next(i for i, stamp in enumerate(late) if stamp[-1] == Hop.TOLD)
    late[place] = (late[place][0] + 3_000_000, *late[place][1:])
    share = only(run)
    assert (share.hops["notify"].p50, share.hops["notify"].max) == (6, 9)
    assert (share.hops["receive"].p50, share.hops["receive"].max) == (4, 7)


def test_a_record_read_before_its_append_returned_ends_the_append(tmp_path: Path) -> None:
    run = TracedRun(tmp_path / "run")
    run.message(3, due_ms=0, append=9, apply=-2)
    found = budget_of(run)
    assert found.read_early == 1
    assert found.steady is not None
    assert lengths(found.steady) == {**USUAL_MS, "append": 7, "apply": 0}
    assert found.steady.rest_ms == 0


@pytest.mark.parametrize(("chat", "kept"), [(-0.4, 1), (-40.0, 0)])
def test_stamps_that_contradict_each_other_are_left_out(tmp_path: Path, chat: float, kept: int) -> None:
    run = TracedRun(tmp_path / "run")
    run.message(3, due_ms=0)
    run.message(7, due_ms=1000, show=chat)
    found = budget_of(run)
    assert found.complete == 1 + kept
    assert found.left_out == ({} if kept else {"order": 1})
    assert found.steady is not None
    assert found.steady.rest_ms == (0.4 if kept else 0)


def test_fault_windows_stand_apart(tmp_path: Path) -> None:
    run = TracedRun(tmp_path / "run")
    run.fault("chat_crash", 9_900, 11_000)
    for turn in range(40):
        slow = 700 if turn == 10 else 0
        run.message(4 * turn + 3, due_ms=turn * 1000, append=4 + slow)
    found = budget_of(run)
    assert found.steady is not None
    assert found.faults is not None
    assert (found.steady.hops["append"].max, found.faults.hops["append"].max) == (4, 704)
    assert found.steady.deliveries + found.faults.deliveries == 40
    assert found.faults.deliveries < 10


def test_torn_and_foreign_records_are_passed_over(tmp_path: Path) -> None:
    run = TracedRun(tmp_path / "run")
    run.message(3, due_ms=0)
    directory = run.write()
    path = directory / "metrics" / "trace-chat-1.bin"
    whole = path.read_bytes()
    unknown = RECORD.pack(ns(1), 1, 3, 0, 0, 200)
    huge = RECORD.pack(ns(1), (1 << 64) - 1, (1 << 64) - 1, 0, 0, Hop.TAKEN)
    path.write_bytes(whole + unknown + huge + bytes(RECORD_SIZE) + whole[:11])
    (directory / "metrics" / "trace-gateway-9.bin").write_bytes(b"")
    (directory / "metrics" / "trace-gateway-8.bin").mkdir()
    found = measure(load_run(directory), directory)
    assert found is not None
    assert found.complete == 1
    for cut in range(RECORD_SIZE):
        path.write_bytes(whole[: len(whole) - cut])
        assert read_traces(directory).stamps.filter(service="chat-1").height == (3 if cut == 0 else 2)


def test_processes_of_two_machines_are_not_compared(tmp_path: Path) -> None:
    run = TracedRun(tmp_path / "run")
    run.message(3, due_ms=0)
    run._stamps["chat-1"][0] = (ns(-10_000), 78, EVERY, 0, 0, Hop.START)
    found = budget_of(run)
    assert "one machine" in found.problem
    assert found.steady is None


def test_processes_that_trace_other_messages_are_not_joined(tmp_path: Path) -> None:
    run = TracedRun(tmp_path / "run")
    run.message(3, due_ms=0)
    run._stamps["chat-1"][0] = (ns(-10_000), 77, 2 * EVERY, 0, 0, Hop.START)
    assert "did not trace the same" in budget_of(run).problem


def test_without_stamps_there_is_no_budget(tmp_path: Path) -> None:
    run = TracedRun(tmp_path / "run")
    run.message(3, due_ms=0)
    directory = run.write()
    shutil.rmtree(directory / "metrics")
    assert measure(load_run(directory), directory) is None


def test_the_history_is_judged_as_if_nothing_was_explained(tmp_path: Path) -> None:
    run = TracedRun(tmp_path / "run")
    run.message(3, due_ms=0)
    directory = run.write()
    events = load_run(directory).events
    assert sorted(events["e"].to_list()) == ["ack", "send", "show", "wire"]
    assert len(Event) + len(Explanation) == len({*map(int, Event), *map(int, Explanation)})


def test_a_damaged_explanation_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "swarm-1.bin"
    writer = HistoryWriter(path)
    for msg in (1, 2, 3):
        writer.append(Explanation.SENT_AGAIN, device=5, conv=6, msg=msg)
    writer.append(Event.SEND, device=5, conv=6, msg=4)
    writer.close()
    data = bytearray(path.read_bytes())
    data[64 + 24] ^= 1
    path.write_bytes(data)
    found = native.explanations(path)
    assert found.select("name", "device", "conv", "msg").rows() == [("sent_again", 5, 6, 1), ("sent_again", 5, 6, 3)]
    path.write_bytes(b"")
    assert native.explanations(path).is_empty()


def test_there_is_a_hop_between_any_two_moments() -> None:
    assert len(HOPS) == len(TIMES) - 1
    assert [hop.name for hop in HOPS if hop.name not in USUAL_MS] == ["repeat", "catch-up"]
