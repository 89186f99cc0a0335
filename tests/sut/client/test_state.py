"""The state file: what is committed survives, what is not does not, and only one program has it."""

from __future__ import annotations

import asyncio
import os
import resource
import sqlite3
import stat
from pathlib import Path

import pytest

from sut.client.device.state import Outgoing, State, Unread
from sut.client.errors import ClientError, UserMistake
from sut.client.model import Conversation, Line, LineKind
from sut.protocol.frames import Message


def test_it_is_for_its_owner_only_and_for_one_program(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "ann.db"
    state = State(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    with pytest.raises(UserMistake, match="in another terminal already"):
        State(path)
    state.close()
    State(path).close()


def test_everything_comes_back_after_a_commit(tmp_path: Path) -> None:
    path, big = tmp_path / "ann.db", (1 << 64) - 1
    state = State(path)
    one = Conversation(conv=5, direct=False, title="t", members={1: 1, 2: 4}, known=True, cursor=9, read=3)
    line = Line(row=state.next_row(), conv=5, seq=7, user=2, device=3, client_seq=big, at_ms=8, text="hi", edited=True)
    dark = Message(5, 8, 0, 2, 3, big, b"?")
    state.put_conversation(one)
    state.put_members(one)
    state.put_line(line)
    state.put_receipt(5, 2, 1, 7)
    state.put_name(2, "bob")
    state.put_sealed(dark, Unread.ASKED)
    draft = state.put_draft(5, line.row, b"payload")
    sent = Outgoing(state.take_client_seq(), 5, line.row, big, b"body")
    state.put_outgoing(sent)
    asyncio.run(state.commit())
    state.close()

    state = State(path)
    back = state.conversations()[5]
    assert (back.title, back.members, back.cursor, back.read, back.receipts) == ("t", {1: 1, 2: 4}, 9, 3, {(2, 1): 7})
    assert back.lines == [line]
    assert state.names() == {2: "bob"}
    assert state.sealed() == [(dark, Unread.ASKED)]
    assert state.drafts() == [draft]
    assert state.outbox() == [sent]
    assert state.next_client_seq == 2
    assert state.next_row() == 2
    state.drop_outgoing(sent, seq=11)
    asyncio.run(state.commit())
    assert state.outbox() == []
    assert state.seqs_of(5, (big, 1)) == {big: 11}
    state.close()


def test_a_client_seq_is_never_given_twice_once_it_is_committed(tmp_path: Path) -> None:
    path, given = tmp_path / "ann.db", []
    for _ in range(3):
        state = State(path)
        for _ in range(2):
            given.append(state.take_client_seq())
            state.put_outgoing(Outgoing(given[-1], 5, 0, 0, b"body"))
        asyncio.run(state.commit())
        os.close(state._lock)  # as a crash leaves it: nothing is closed in order
        state._lock = -1
    assert given == [1, 2, 3, 4, 5, 6]


def test_a_commit_lands_whole_or_not_at_all(tmp_path: Path) -> None:
    state = State(tmp_path / "ann.db")
    state.put("a", b"1")
    state._do("INSERT INTO nowhere VALUES (1)")
    with pytest.raises(ClientError, match="cannot write"):
        asyncio.run(state.commit())
    assert state.get("a") == b""
    state.close()


@pytest.mark.parametrize(
    "content", [b"this is no database at all, but it is long enough to be one", b"SQLite format 3\0x"]
)
def test_a_broken_file_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "ann.db"
    path.write_bytes(content)
    with pytest.raises(ClientError, match=r"ann.db is broken: .*; move it away"):
        State(path)
    path.unlink()
    State(path).close()


def test_a_file_that_cannot_be_written_just_now_is_not_called_broken(tmp_path: Path) -> None:
    """Whoever moves it away, as the advice about a broken one says, loses the keys: here only the disk is full."""
    path = tmp_path / "ann.db"
    State(path).close()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))  # no file grows, as on a full disk
    try:
        with pytest.raises(ClientError) as caught:
            State(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert str(caught.value).startswith(f"cannot write to {path}: ")
    assert "\n" not in str(caught.value)
    State(path).close()


def test_another_programs_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ann.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE meta (what TEXT)")
    with pytest.raises(ClientError, match="broken"):
        State(path)


def test_a_directory_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ClientError, match="cannot open"):
        State(tmp_path / "file" / "ann.db")


def test_lines_have_their_order_by_number_and_those_without_come_last(tmp_path: Path) -> None:
    state = State(tmp_path / "ann.db")
    one = Conversation(conv=5, direct=True)
    for seq in (3, 0, 1, 0, 2):
        line = Line(row=state.next_row(), conv=5, kind=LineKind.TEXT, seq=seq)
        one.put(line)
        state.put_line(line)
    state.put_conversation(one)
    asyncio.run(state.commit())
    assert [line.seq for line in one.lines] == [1, 2, 3, 0, 0]
    assert state.conversations()[5].lines == one.lines
    waiting = one.lines[3]
    waiting.seq = 4
    one.put(waiting)
    assert [line.seq for line in one.lines] == [1, 2, 3, 4, 0]
    assert one.at(4) is waiting and one.at(5) is None
    state.close()
