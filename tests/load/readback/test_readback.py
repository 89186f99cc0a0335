"""The read-back finds everything a device may see, writes it once, and says what it could not read."""

import json
import subprocess
import sys
from http import HTTPStatus
from pathlib import Path

import psutil
import pytest

from load import workload as configs
from load.device import body as bodies
from load.history.control import ControlReader, Hole, Phase
from load.history.events import Event, Record, message_id
from load.history.writer import HistoryTail, HistoryWriter
from load.readback import readback, reader
from load.workload import SwarmConfig
from sut.protocol.frames import Fetch, Flag, Message
from tests.kit.waits import wait_until


def row(conv: int, seq: int, device: int, *, flags: int = 0) -> Message:
    body = b"" if flags else bodies.make(seed=1, msg=message_id(device, seq), due_offset_ns=0, size=40)
    return Message(conv, seq, flags, device, 0 if flags else device, 0 if flags else seq, body)


@pytest.fixture
def swarm(chat, tmp_path: Path) -> Path:
    """Three users; 1 and 2 talk (12 messages, more than a page), all three are in an empty group and a short one."""
    from types import SimpleNamespace

    def conversation(kind: str, members: set[int], rows: list[Message], past: set[int] = frozenset()) -> object:
        return SimpleNamespace(kind=kind, members=members, rows=rows, past=set(past))

    chat.conversations = {
        10: conversation("direct", {1, 2}, [row(10, seq, 1 + seq % 2) for seq in range(1, 13)]),
        11: conversation("group", {1, 2, 3}, []),
        12: conversation(
            "group",
            {1, 2},
            [row(12, 1, 1), row(12, 2, 2), row(12, 3, 3, flags=Flag.MEMBER_REMOVE), row(12, 4, 1)],
            {3},
        ),
    } | {conv: conversation("group", {3}, [row(conv, 1, 3)]) for conv in (20, 21, 22, 23)}
    config = SwarmConfig(seed=1, users=3, api_url=chat.api_url, api_key="key", history_dir=str(tmp_path / "history"))
    config.history.mkdir()
    writer = HistoryWriter(config.history / "swarm-1.bin")
    for conv, c in chat.conversations.items():
        for user in sorted(c.members | c.past):
            if conv < 20:  # those above 20 are known from SYNC only
                writer.append(Event.MEMBER, conv=conv, msg=user, arg=1)
    writer.append(Event.MEMBER, conv=12, msg=3, seq=3, arg=0)
    writer.close()
    path = tmp_path / "swarm.json"
    configs.save(config, path)
    return path


def written(path: Path) -> list[Record]:
    (file,) = (path.parent / "history").glob("readback-*.bin")
    return HistoryTail(file).read()


def finals(path: Path, device: int, conv: int) -> list[int]:
    return [r[5] for r in written(path) if r[7] == Event.FINAL and (r[2], r[3]) == (device, conv)]


def heads(path: Path) -> dict[tuple[int, int], int]:
    return {(r[2], r[3]): r[5] for r in written(path) if r[7] == Event.FINAL_DONE}


EXPECTED_HEADS = (
    {(1, 10): 12, (2, 10): 12, (1, 11): 0, (2, 11): 0, (3, 11): 0, (1, 12): 4, (2, 12): 4, (3, 12): 2}
    | {(3, conv): 1 for conv in (20, 21, 22, 23)}
)  # fmt: skip


def test_everything_is_read_once_to_its_head(swarm: Path, chat, capsys: pytest.CaptureFixture[str]) -> None:
    assert readback.main([str(swarm)]) == 0
    assert heads(swarm) == EXPECTED_HEADS
    for device in (1, 2):
        assert finals(swarm, device, 10) == list(range(1, 13))
        assert finals(swarm, device, 12) == [1, 2, 4]
    assert finals(swarm, 3, 12) == [1, 2]
    record = next(r for r in written(swarm) if r[7] == Event.FINAL and r[3] == 10)
    assert record[6] == bodies.digest(chat.conversations[10].rows[record[5] - 1].body)
    assert record[4] == message_id(1 + record[5] % 2, record[5])
    names = [event.name for event in ControlReader(swarm.parent / "history").poll() if isinstance(event, Phase)]
    assert names == ["final", "end"]
    assert capsys.readouterr().out == "read back 3 devices, 36 messages\n"


SPLIT = """
import os, sys
from load.readback import readback
readback.SHARE, os.cpu_count = 1, lambda: 3
{}
sys.exit(readback.main([sys.argv[1]]))
"""


def split(swarm: Path, more: str = "") -> subprocess.CompletedProcess[str]:
    """Read back in three processes, a device each."""
    command = [sys.executable, "-P", "-c", SPLIT.format(more), str(swarm)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_several_processes_read_a_share_each(swarm: Path) -> None:
    done = split(swarm)
    assert (done.returncode, done.stdout, done.stderr) == (0, "read back 3 devices, 36 messages\n", "")
    files = [HistoryTail(file).read() for file in (swarm.parent / "history").glob("readback-*.bin")]
    assert len(files) == 3
    assert {(r[2], r[3]): r[5] for rows in files for r in rows if r[7] == Event.FINAL_DONE} == EXPECTED_HEADS
    assert all(len({r[2] for r in rows}) == 1 for rows in files)


def test_a_process_of_several_that_dies_is_a_hole(swarm: Path) -> None:
    died = "real = readback.read\nreadback.read = lambda c, k, d: os._exit(7) if 2 in d else real(c, k, d)"
    done = split(swarm, died)
    assert done.returncode == 70
    assert done.stderr == "1 not read; the first: a process of the read-back ended, 7\n"


def test_when_the_first_process_is_killed_the_others_end(swarm: Path, chat) -> None:
    chat.swallow = lambda _device, _frame: True  # nobody gets an answer
    command = [sys.executable, "-P", "-c", SPLIT.format(""), str(swarm)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        wait_until(lambda: len(chat.connections) == 3)
        others = psutil.Process(process.pid).children()
        assert len(others) == 2
        process.kill()
    _, alive = psutil.wait_procs(others, timeout=5)
    assert not alive


def test_in_a_small_swarm_every_member_reads_where_nothing_happened(swarm: Path, chat) -> None:
    assert readback.main([str(swarm)]) == 0
    asked = {
        device for device, frames in chat.received.items() for f in frames if isinstance(f, Fetch) and f.conv == 11
    }
    assert asked == {1, 2, 3}


def test_in_a_large_one_the_first_member_asks_there_and_the_others_believe_sync(
    swarm: Path, chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readback, "FULLY", 2)
    monkeypatch.setattr(readback, "QUIET", 1)
    assert readback.main([str(swarm)]) == 0
    asked = {
        device: [frame.conv for frame in frames if isinstance(frame, Fetch)] for device, frames in chat.received.items()
    }
    assert [device for device, convs in asked.items() if 11 in convs] == [1]
    assert 10 in asked[2], "SYNC has news, whatever the history says"
    chat.conversations[11].members.remove(1)
    for old in (swarm.parent / "history").glob("readback-*"):
        old.unlink()
    assert readback.main([str(swarm)]) == 70, "the first member is refused"
    assert (2, 11) in heads(swarm)


def test_in_a_large_one_sync_is_believed_where_it_has_no_news_but_for_a_share(
    swarm: Path, chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readback, "FULLY", 2)
    assert readback.main([str(swarm)]) == 0
    asked = {
        device: [frame.conv for frame in frames if isinstance(frame, Fetch)] for device, frames in chat.received.items()
    }
    assert [device for device, convs in asked.items() if 11 in convs] == [], "the second of two: 10 is read"
    assert all(10 in asked[device] for device in (1, 2))
    assert heads(swarm) == EXPECTED_HEADS, "what is not read is known to be empty"


def test_a_conversation_in_which_somebody_sent_is_read_by_all_its_members(
    swarm: Path, chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readback, "FULLY", 2)
    writer = HistoryWriter(swarm.parent / "history" / "swarm-2.bin")
    writer.append(Event.SEND, device=1, conv=11, msg=message_id(1, 99), due=1)
    writer.close()
    assert readback.main([str(swarm)]) == 0
    asked = {
        device for device, frames in chat.received.items() for f in frames if isinstance(f, Fetch) and f.conv == 11
    }
    assert asked == {1, 2, 3}


def test_a_pages_word_that_there_is_no_more_is_not_taken_for_the_end(swarm: Path, chat) -> None:
    """A page may be as old as the store behind it; what SYNC says is ahead is read as well."""
    chat.old_heads = {10: 8, 12: 2}
    assert readback.main([str(swarm)]) == 0
    assert heads(swarm) == EXPECTED_HEADS
    assert finals(swarm, 1, 10) == finals(swarm, 2, 10) == list(range(1, 13))


def test_nothing_is_called_complete_while_a_sync_is_stale(swarm: Path, chat, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "STALE_WAIT_S", 0.01)
    chat.stale_syncs = 5
    assert readback.main([str(swarm)]) == 0
    assert heads(swarm) == EXPECTED_HEADS
    monkeypatch.setattr(reader, "MAX_STALE", 2)
    monkeypatch.setattr(readback, "ATTEMPTS", 2)
    chat.stale_syncs = 1000
    for old in (swarm.parent / "history").glob("readback-*"):
        old.unlink()
    assert readback.main([str(swarm)]) == 70
    assert not heads(swarm)


def test_a_connection_that_breaks_is_followed_by_another_that_goes_on(swarm: Path, chat) -> None:
    cut = []

    def breaks(device: int, frame: object) -> bool:
        if isinstance(frame, Fetch) and frame.conv == 10 and frame.after == 5 and device not in cut:
            cut.append(device)
            chat.cut_all()
            return True
        return False

    chat.swallow = breaks
    assert readback.main([str(swarm)]) == 0
    assert sorted(cut) == [1, 2]
    assert heads(swarm) == EXPECTED_HEADS
    assert finals(swarm, 1, 10) == list(range(1, 13))


def test_what_the_service_refuses_is_a_hole_and_the_rest_is_read(
    swarm: Path, chat, capsys: pytest.CaptureFixture[str]
) -> None:
    chat.conversations[12].past.clear()  # user 3 is denied ever to have been in it
    assert readback.main([str(swarm)]) == 70
    assert heads(swarm) == {key: head for key, head in EXPECTED_HEADS.items() if key != (3, 12)}
    (hole,) = [event for event in ControlReader(swarm.parent / "history").poll() if isinstance(event, Hole)]
    assert "device 3, conversation 12" in hole.detail
    assert capsys.readouterr().err.startswith("1 not read; the first: device 3, conversation 12")


def test_a_device_that_cannot_be_read_is_a_hole(swarm: Path, chat, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readback, "ATTEMPTS", 2)
    chat.refuse_upgrades = HTTPStatus.SERVICE_UNAVAILABLE
    assert readback.main([str(swarm)]) == 70
    holes = [event for event in ControlReader(swarm.parent / "history").poll() if isinstance(event, Hole)]
    assert len(holes) == 3
    assert not written(swarm)


def test_without_an_api_it_says_so_in_one_line(swarm: Path, tmp_path: Path) -> None:
    document = json.loads(swarm.read_text()) | {"api_url": "http://127.0.0.1:1", "api_key": "k"}
    bad = tmp_path / "bad.json"
    bad.write_text(json.dumps(document))
    from load.drive.api import ApiClient

    class Impatient(ApiClient):
        def __init__(self, base_url: str, **options) -> None:
            super().__init__(base_url, give_up_s=0.2, **options)

    original, readback.ApiClient = readback.ApiClient, Impatient
    try:
        assert readback.main([str(bad)]) == 70
    finally:
        readback.ApiClient = original


def test_bad_usage_is_one_line_and_64(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "load.readback.readback", str(tmp_path / "none.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 64
    assert done.stderr == f"{tmp_path}/none.json: No such file or directory\n"
