"""The live ledger against small histories, in any order of arrival, and the control lines beside them."""

import os
import time
from pathlib import Path

import pytest

from load.history.control import ControlReader, ControlWriter, Hole, Phase
from load.history.events import Event, message_id
from load.history.ledger import LedgerReader
from load.history.writer import HistoryWriter, now_ns

CONV = 77
S = 1_000_000_000


@pytest.fixture
def writer(tmp_path: Path) -> HistoryWriter:
    """Devices 1 to 4; users 1 to 3 are members of CONV."""
    writer = HistoryWriter(tmp_path / "swarm-1.bin")
    for device in (1, 2, 3, 4):
        writer.append(Event.DEVICE, t=1, device=device, msg=device)
        writer.append(Event.ONLINE, t=2, device=device)
    for user in (1, 2, 3):
        writer.append(Event.MEMBER, t=1, conv=CONV, msg=user, arg=1)
    return writer


def send(writer: HistoryWriter, seq: int, *, t: int = 10, device: int = 1) -> int:
    msg = message_id(device, seq)
    writer.append(Event.SEND, t=t, device=device, conv=CONV, msg=msg)
    writer.append(Event.ACK, t=t + 1, device=device, conv=CONV, msg=msg, seq=seq)
    return msg


def show(writer: HistoryWriter, device: int, msg: int, seq: int, *, t: int = 20) -> None:
    writer.append(Event.SHOW, t=t, device=device, conv=CONV, msg=msg, seq=seq)


def test_it_counts_what_is_due_and_what_came(tmp_path: Path, writer: HistoryWriter) -> None:
    reader = LedgerReader(tmp_path)
    msg = send(writer, 1)
    ledger = reader.update()
    assert (ledger.devices, ledger.online, ledger.sends, ledger.acked, ledger.expected) == (4, 4, 1, 1, 2)
    assert ledger.undelivered == 2
    assert not reader.all_drained()
    show(writer, 1, msg, 1)  # the sender's own screen is no delivery
    show(writer, 2, msg, 1)
    assert reader.update().shown == 1
    assert not reader.all_drained()
    show(writer, 3, msg, 1)
    assert reader.update().undelivered == 0
    assert reader.all_drained()
    reader.close()


def test_a_display_may_come_before_the_ack(tmp_path: Path, writer: HistoryWriter) -> None:
    reader = LedgerReader(tmp_path)
    msg = message_id(1, 1)
    writer.append(Event.SEND, t=10, device=1, conv=CONV, msg=msg)
    show(writer, 2, msg, 1, t=11)
    reader.update()
    show(writer, 3, msg, 1, t=12)
    reader.update()
    assert not reader.all_drained()
    writer.append(Event.ACK, t=13, device=1, conv=CONV, msg=msg, seq=1)
    assert reader.update().undelivered == 0
    assert reader.all_drained()


def test_a_second_display_is_a_duplicate_and_no_delivery(tmp_path: Path, writer: HistoryWriter) -> None:
    reader = LedgerReader(tmp_path)
    msg = send(writer, 1)
    show(writer, 2, msg, 1)
    show(writer, 2, msg, 1, t=21)
    ledger = reader.update()
    assert (ledger.shown, ledger.duplicates) == (1, 1)


def test_overdue_counts_only_devices_that_are_online(tmp_path: Path, writer: HistoryWriter) -> None:
    reader = LedgerReader(tmp_path)
    now = now_ns()
    send(writer, 1, t=now - 5 * S)
    writer.append(Event.OFFLINE, t=now, device=3, arg=1)
    reader.update()
    assert reader.overdue(2.0, at_ns=now) == 1
    assert reader.overdue(10.0, at_ns=now) == 0
    writer.append(Event.ONLINE, t=now + 1, device=3)
    reader.update()
    assert reader.overdue(2.0, at_ns=now) == 2


def test_refused_sends_are_settled_and_open_ones_are_not(tmp_path: Path, writer: HistoryWriter) -> None:
    reader = LedgerReader(tmp_path)
    writer.append(Event.SEND, t=10, device=1, conv=CONV, msg=message_id(1, 1))
    writer.append(Event.NACK, t=11, device=1, conv=CONV, msg=message_id(1, 1), arg=0)
    ledger = reader.update()
    assert (ledger.nacked, ledger.unanswered) == (0, 1)
    assert not reader.all_drained()
    writer.append(Event.NACK, t=12, device=1, conv=CONV, msg=message_id(1, 1), arg=1)
    assert reader.update().nacked == 1
    assert reader.all_drained()


def test_members_at_the_number_of_the_message_count(tmp_path: Path, writer: HistoryWriter) -> None:
    reader = LedgerReader(tmp_path)
    writer.append(Event.MEMBER, t=5, conv=CONV, msg=3, seq=1, arg=0)
    writer.append(Event.MEMBER, t=6, conv=CONV, msg=4, seq=3, arg=1)
    send(writer, 2)
    send(writer, 4)
    assert reader.update().expected == 1 + 2


def test_a_change_that_is_known_late_is_counted_as_if_it_had_been_known(tmp_path: Path, writer: HistoryWriter) -> None:
    reader = LedgerReader(tmp_path)
    leader = HistoryWriter(tmp_path / "swarm-2.bin")
    before, after = send(writer, 1), send(writer, 3, t=12)
    show(writer, 4, after, 3)  # user 4 was added with number 2: the answer of the API is on its way
    assert reader.update().expected == 4
    leader.append(Event.MEMBER, t=30, conv=CONV, msg=4, seq=2, arg=1)
    assert reader.update().expected == 5
    for msg, seq in ((before, 1), (after, 3)):
        for device in (2, 3):
            assert not reader.all_drained()
            show(writer, device, msg, seq, t=40 + seq)
            reader.update()
    assert reader.all_drained()
    leader.append(Event.MEMBER, t=50, conv=CONV, msg=4, seq=4, arg=0)
    send(writer, 6, t=60)
    assert reader.update().expected == 5 + 2
    leader.append(Event.MEMBER, t=70, conv=CONV, msg=3, seq=5, arg=0)  # known after a message that it precedes
    assert reader.update().expected == 5 + 1
    reader.close()


def test_it_takes_little_time(tmp_path: Path, writer: HistoryWriter) -> None:
    reader = LedgerReader(tmp_path)
    reader.update()
    seconds = 5
    for n in range(1, 300 * seconds):  # 300 sends a second make 300 * (SEND + ACK + 2 WIRE + 3 SHOW) = 2,100 events
        msg = send(writer, n, t=n * 10)
        for device in (2, 3):
            writer.append(Event.WIRE, t=n * 10 + 2, device=device, conv=CONV, msg=msg, seq=n)
        for device in (1, 2, 3):
            show(writer, device, msg, n, t=n * 10 + 3)
    started = time.process_time()
    reader.update()
    used_ms = (time.process_time() - started) * 1000 / seconds
    assert reader.all_drained()
    assert used_ms < 50


def test_control_lines_are_followed_whole(tmp_path: Path) -> None:
    events = ControlReader(tmp_path)
    assert events.poll() == []
    control = ControlWriter(tmp_path / "swarm-1.jsonl", process="swarm-1")
    control.phase("steady", 50)
    control.hole("a worker died")
    first, second = events.poll()
    assert first == Phase(t=50, name="steady")
    assert isinstance(second, Hole)
    assert (second.process, second.detail) == ("swarm-1", "a worker died")
    assert events.poll() == []
    control.close()
    control.close()
    with (tmp_path / "runner.jsonl").open("ab", buffering=0) as other:
        os.write(other.fileno(), b'{"e":"unheard of","t":1}\n{"e":"phase","t":60,"na')
        assert events.poll() == []
        os.write(other.fileno(), b'me":"quiesce"}\n')
        assert events.poll() == [Phase(t=60, name="quiesce")]
