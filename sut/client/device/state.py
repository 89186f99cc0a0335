"""What a device keeps on disk, for its owner's eyes only: keys, cursors, messages, what is still to be sent.

One SQLite file a device, mode 0600, opened by one program at a time. Changes are gathered and land together by
`commit`: the state of the encryption, the message that it opened and the cursor behind it are one transaction, so a
crash at any point neither loses a message nor uses a key or a client_seq twice. What is to be sent is committed before
it is sent; what was received is committed before it is confirmed.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from enum import IntEnum
from importlib.resources import files
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from sut.client.errors import ClientError, UserMistake
from sut.client.messages.cipher import Opened
from sut.client.model import MAX_LINES, Conversation, Line, LineKind
from sut.protocol.frames import Message

FORMAT: Final = b"1"


_Change = tuple[str, tuple[object, ...]]
"""A statement and its values."""


_U64: Final = (1 << 64) - 1


def _signed(value: int) -> int:
    """A u64 as SQLite keeps it."""
    return value - (1 << 64) if value >> 63 else value


class InUse(UserMistake):
    """Another program has the file open."""


class Unread(IntEnum):
    """Why a message that came is kept unread, as the file has it."""

    WAITS = 0  # for its conversation to be known, or for the keys of its sender
    TO_ASK = 1  # its sender is to be asked for it
    ASKED = 2  # the question is in the outbox, or was sent


class Draft(NamedTuple):
    """Written by the person, not encrypted yet."""

    draft: int
    conv: int
    line: int
    """0: it has no line of its own (an edit, say)."""
    payload: bytes


class Outgoing(NamedTuple):
    """Encrypted, numbered and not settled. `line` and `ref` 0: nothing to show of it; not an encrypted content."""

    client_seq: int
    conv: int
    line: int
    ref: int
    body: bytes


class State:
    """An open state file. Methods that change something take effect with the next `commit`."""

    def __init__(self, path: Path) -> None:
        """Open or make the file. Raises ClientError, InUse when another program has it open."""
        self._path = path
        self._pending: list[_Change] = []
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ClientError(f"cannot open {error.filename or path}: {error.strerror}") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise InUse(f"{path} is in use: this person chats in another terminal already") from None
        try:
            self._open(path)
        except BaseException:
            os.close(self._lock)
            raise

    def _open(self, path: Path) -> None:
        try:
            os.fchmod(self._lock, 0o600)
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=2.0)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.executescript(files("sut.client.device").joinpath("state.sql").read_text())
            self._row = int(self._db.execute("SELECT coalesce(max(line), 0) FROM lines").fetchone()[0])
            self._draft = int(self._db.execute("SELECT coalesce(max(draft), 0) FROM drafts").fetchone()[0])
            self._client_seq = self.number("next_client_seq", 1)
            self._unsaved: dict[int, Line] = {}
            self._unsaved_refs: set[tuple[int, int, int]] = set()
            if self.get("format", FORMAT) != FORMAT:
                raise ClientError(f"{path}: made by another version of this program")
            self.put("format", FORMAT)
            self._apply(self._pending)
            self._pending = []
        except (sqlite3.Error, OSError) as error:
            raise ClientError(f"{path} is broken: {error}; move it away to begin anew as a new device") from None

    @property
    def path(self) -> Path:
        """Of the file."""
        return self._path

    async def commit(self) -> None:
        """Everything that was changed is on disk on return. Raises ClientError: the program cannot go on."""
        pending, self._pending = self._pending, []
        if pending:
            await asyncio.to_thread(self._apply_or_say, pending)
        self._unsaved.clear()
        self._unsaved_refs.clear()

    def close(self) -> None:
        """Commit what is left and release the file. Harmless when closed."""
        if self._lock >= 0:
            try:
                self._apply_or_say(self._pending)
            finally:
                self._db.close()
                os.close(self._lock)
                self._lock = -1

    def _apply_or_say(self, pending: list[_Change]) -> None:
        try:
            self._apply(pending)
        except sqlite3.Error as error:
            raise ClientError(f"cannot write to {self._path}: {error}") from None

    def _apply(self, pending: list[_Change]) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            for statement, values in pending:
                self._db.execute(statement, values)
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def _do(self, statement: str, *values: object) -> None:
        self._pending.append((statement, values))

    # Single values.

    def get(self, key: str, default: bytes = b"") -> bytes:
        """A value as it was at the last commit."""
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return bytes(row[0]) if row else default

    def put(self, key: str, value: bytes) -> None:
        """Set a value."""
        self._do("INSERT OR REPLACE INTO meta VALUES (?, ?)", key, value)

    def number(self, key: str, default: int = 0) -> int:
        """A value that is a number."""
        text = self.get(key, str(default).encode())
        try:
            return int(text)
        except ValueError:
            raise ClientError(f"{self._path} is broken: {key} is not a number") from None

    def next_row(self) -> int:
        """A place for a new line."""
        self._row += 1
        return self._row

    def take_client_seq(self) -> int:
        """The next idempotency key. It is used up when `put_outgoing` with it is committed, before anything is sent."""
        self._client_seq += 1
        return self._client_seq - 1

    def skip_client_seqs(self, last: int) -> None:
        """These keys are used: by a run of the program that this state knows nothing of."""
        self._client_seq = max(self._client_seq, last + 1)
        self.put("next_client_seq", str(self._client_seq).encode())

    @property
    def next_client_seq(self) -> int:
        """What `take_client_seq` returns next."""
        return self._client_seq

    # What is read once, at the start.

    def names(self) -> dict[int, str]:
        """What people are called."""
        return dict(self._db.execute("SELECT user, name FROM names"))

    def conversations(self) -> dict[int, Conversation]:
        """All of them, each with its newest lines."""
        found: dict[int, Conversation] = {}
        columns = "conv, direct, title, peer, known, gone, cursor, read"
        for row in self._db.execute(f"SELECT {columns} FROM conversations"):  # noqa: S608 (a constant)
            conv, direct, title, peer, known, gone, cursor, read = row
            found[conv] = Conversation(
                conv=conv, direct=bool(direct), title=title, peer=peer, known=bool(known), left=bool(gone),
                cursor=cursor, read=read,
            )  # fmt: skip
        for conv, user, first in self._db.execute("SELECT conv, user, first FROM members"):
            found[conv].members[user] = first
        for conv, user, kind, seq in self._db.execute("SELECT conv, user, kind, seq FROM receipts"):
            found[conv].receipts[user, kind] = seq
        for conversation in found.values():
            conversation.lines = sorted(self._lines(conversation.conv), key=lambda line: line.order)
            conversation.older = len(conversation.lines) >= MAX_LINES
        return found

    def _lines(self, conv: int) -> Iterator[Line]:
        return self._select_lines(f"WHERE conv = ? ORDER BY line DESC LIMIT {MAX_LINES}", conv)

    def line_at(self, conv: int, seq: int) -> Line | None:
        """The line of this number, however long ago it came."""
        for line in self._unsaved.values():
            if (line.conv, line.seq) == (conv, seq):
                return line
        return next(self._select_lines("WHERE conv = ? AND seq = ? LIMIT 1", conv, seq), None)

    def line_of(self, conv: int, device: int, client_seq: int) -> Line | None:
        """The newest line that came with this idempotency key, however long ago."""
        for line in reversed(self._unsaved.values()):
            if (line.conv, line.device, line.client_seq) == (conv, device, client_seq):
                return line
        condition = "WHERE conv = ? AND device = ? AND client_seq = ? ORDER BY line DESC LIMIT 1"
        return next(self._select_lines(condition, conv, device, _signed(client_seq)), None)

    def last_own(self, conv: int, user: int) -> Line | None:
        """The newest text of this user that was not deleted, however long ago. As of the last commit."""
        condition = "WHERE conv = ? AND user = ? AND kind = 'text' AND deleted = 0 ORDER BY seq DESC LIMIT 1"
        return next(self._select_lines(condition, conv, user), None)

    def line_in(self, row: int) -> Line | None:
        """The line of this row."""
        return self._unsaved.get(row) or next(self._select_lines("WHERE line = ?", row), None)

    def _select_lines(self, condition: str, *values: int) -> Iterator[Line]:
        columns = "line, conv, kind, seq, user, device, client_seq, at_ms, text, edited, deleted, failed"
        query = f"SELECT {columns} FROM lines {condition}"  # noqa: S608 (constants)
        for row, where, kind, seq, user, device, client_seq, at_ms, text, edited, deleted, failed in self._db.execute(
            query, values
        ):
            yield Line(
                row=row, conv=where, kind=LineKind(kind), seq=seq, user=user, device=device,
                client_seq=client_seq & _U64,
                at_ms=at_ms, text=text, edited=bool(edited), deleted=bool(deleted), failed=failed,
            )  # fmt: skip

    def drafts(self) -> list[Draft]:
        """What is to be encrypted, in the order in which it was written."""
        return [Draft(*row) for row in self._db.execute("SELECT draft, conv, line, payload FROM drafts ORDER BY draft")]

    def outbox(self) -> list[Outgoing]:
        """What is to be sent, in order."""
        query = "SELECT client_seq, conv, line, ref, body FROM outbox ORDER BY client_seq"
        return [
            Outgoing(client_seq, conv, line, ref & _U64, body)
            for client_seq, conv, line, ref, body in self._db.execute(query)
        ]

    def sealed(self) -> list[tuple[Message, Unread]]:
        """What came and could not be read, by conversation and number, and why."""
        query = "SELECT conv, seq, user, device, client_seq, body, asked FROM sealed ORDER BY conv, seq"
        return [
            (Message(conv, seq, 0, user, device, client_seq & _U64, body), Unread(asked))
            for conv, seq, user, device, client_seq, body, asked in self._db.execute(query)
        ]

    def opened(self) -> dict[tuple[int, int], Opened]:
        """(conversation, number) -> what was in a message that was opened and is not shown."""
        found = self._db.execute("SELECT conv, seq, opened FROM opened")
        return {(conv, seq): msgspec.msgpack.decode(opened, type=Opened) for conv, seq, opened in found}

    def earlier(self) -> set[int]:
        """Conversations in which this device has read and written nothing since it was added."""
        return {conv for (conv,) in self._db.execute("SELECT conv FROM earlier")}

    def device_names(self) -> dict[int, str]:
        """What own other devices are called, of those that were added here."""
        return dict(self._db.execute("SELECT device, name FROM devices"))

    def seqs_of(self, conv: int, refs: tuple[int, ...]) -> dict[int, int]:
        """ref -> number, of own messages that the encryption knows by these refs. As of the last commit."""
        marks = ",".join("?" * len(refs))
        query = f"SELECT ref, seq FROM sent WHERE conv = ? AND ref IN ({marks})"  # noqa: S608 (question marks)
        return {ref & _U64: seq for ref, seq in self._db.execute(query, (conv, *map(_signed, refs)))}

    # Changes.

    def put_name(self, user: int, name: str) -> None:
        """What somebody is called."""
        self._do("INSERT OR REPLACE INTO names VALUES (?, ?)", user, name)

    def put_earlier(self, conv: int, *, earlier: bool) -> None:
        """Whether all that is there is from before this device was added, as far as it has seen."""
        statement = "INSERT OR IGNORE INTO earlier VALUES (?)" if earlier else "DELETE FROM earlier WHERE conv = ?"
        self._do(statement, conv)

    def put_device(self, device: int, name: str) -> None:
        """What an own other device is called; empty: it is none any more."""
        self._do("DELETE FROM devices WHERE device = ?", device)
        if name:
            self._do("INSERT INTO devices VALUES (?, ?)", device, name)

    def put_conversation(self, one: Conversation) -> None:
        """All of a conversation but lines, members and receipts."""
        self._do(
            "INSERT OR REPLACE INTO conversations VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            one.conv, one.direct, one.title, one.peer, one.known, one.left, one.cursor, one.read,
        )  # fmt: skip

    def put_members(self, one: Conversation) -> None:
        """Who is in it now."""
        self._do("DELETE FROM members WHERE conv = ?", one.conv)
        for user, first in one.members.items():
            self._do("INSERT INTO members VALUES (?, ?, ?)", one.conv, user, first)

    def put_receipt(self, conv: int, user: int, kind: int, seq: int) -> None:
        """How far somebody has come."""
        self._do("INSERT OR REPLACE INTO receipts VALUES (?, ?, ?, ?)", conv, user, kind, seq)

    def put_line(self, line: Line) -> None:
        """A line, new or changed."""
        self._unsaved.pop(line.row, None)
        self._unsaved[line.row] = line
        self._do(
            "INSERT OR REPLACE INTO lines VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            line.row, line.conv, str(line.kind), line.seq, line.user, line.device, _signed(line.client_seq), line.at_ms,
            line.text, line.edited, line.deleted, line.failed,
        )  # fmt: skip

    def rewind(self, one: Conversation, head: int) -> None:
        """The service has nothing above `head` any more: other messages will take the numbers of what is here."""
        for table in ("sealed", "opened"):
            self._do(f"DELETE FROM {table} WHERE conv = ? AND seq > ?", one.conv, head)  # noqa: S608 (constants)
        self._do("UPDATE lines SET seq = ? WHERE conv = ? AND seq > ?", head, one.conv, head)
        self._do("UPDATE receipts SET seq = ? WHERE conv = ? AND seq > ?", head, one.conv, head)

    def drop_line(self, line: Line) -> None:
        """A line that turned out to be none."""
        self._unsaved.pop(line.row, None)
        self._do("DELETE FROM lines WHERE line = ?", line.row)

    def put_draft(self, conv: int, line: int, payload: bytes) -> Draft:
        """Something to be encrypted when its turn comes."""
        self._draft += 1
        draft = Draft(self._draft, conv, line, payload)
        self._do("INSERT INTO drafts VALUES (?, ?, ?, ?)", *draft)
        return draft

    def drop_draft(self, draft: Draft) -> None:
        """It was encrypted, or given up."""
        self._do("DELETE FROM drafts WHERE draft = ?", draft.draft)

    def put_outgoing(self, outgoing: Outgoing) -> None:
        """Something to be sent, under a client_seq that was never used and never will be for anything else."""
        stored = outgoing._replace(ref=_signed(outgoing.ref))
        self._do("INSERT INTO outbox VALUES (?, ?, ?, ?, ?)", *stored)
        self.put("next_client_seq", str(outgoing.client_seq + 1).encode())

    def drop_outgoing(self, outgoing: Outgoing, *, seq: int) -> None:
        """It has its number (0: it will never have one)."""
        self._do("DELETE FROM outbox WHERE client_seq = ?", outgoing.client_seq)
        if seq and outgoing.ref:
            self._do("INSERT OR REPLACE INTO sent VALUES (?, ?, ?)", outgoing.conv, _signed(outgoing.ref), seq)

    def put_sealed(self, message: Message, why: Unread) -> None:
        """Something that cannot be read yet."""
        conv, seq, _, user, device, client_seq, body = message
        self._do(
            "INSERT OR REPLACE INTO sealed VALUES (?, ?, ?, ?, ?, ?, ?)",
            conv, seq, user, device, _signed(client_seq), why, body,
        )  # fmt: skip

    def drop_sealed(self, message: Message) -> None:
        """It could be read, or never will be."""
        self._do("DELETE FROM sealed WHERE conv = ? AND seq = ?", message.conv, message.seq)

    def was_read(self, conv: int, device: int, ref: int) -> bool:
        """Whether a message of this device with this number of its own was opened here before."""
        if (conv, device, ref) in self._unsaved_refs:
            return True
        query = "SELECT 1 FROM opened_refs WHERE conv = ? AND device = ? AND ref = ?"
        return self._db.execute(query, (conv, _signed(device), _signed(ref))).fetchone() is not None

    def note_read(self, conv: int, device: int, ref: int) -> None:
        """A message was opened: what comes with its number again is a copy."""
        self._unsaved_refs.add((conv, device, ref))
        self._do("INSERT OR IGNORE INTO opened_refs VALUES (?, ?, ?)", conv, _signed(device), _signed(ref))

    def amend(self, conv: int, user: int, device: int, client_seq: int) -> tuple[bool, str | None]:
        """Whether a line that was not here was changed by its author, and to which text (None: deleted)."""
        place = (conv, user, _signed(device), _signed(client_seq))
        for statement, values in reversed(self._pending):
            if " amends " in statement and values[:4] == place:
                return ("INSERT" in statement, str(values[4]) if len(values) > 4 and values[4] is not None else None)
        query = "SELECT text FROM amends WHERE conv = ? AND user = ? AND device = ? AND client_seq = ?"
        row = self._db.execute(query, place).fetchone()
        return row is not None, row[0] if row is not None else None

    def put_amend(self, conv: int, user: int, device: int, client_seq: int, text: str | None) -> None:
        """Their author changed (None: deleted) a line that cannot be read yet. A deletion stays."""
        statement = "INSERT INTO amends VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET text = excluded.text"
        if text is not None:
            statement += " WHERE text IS NOT NULL"
        self._do(statement, conv, user, _signed(device), _signed(client_seq), text)

    def put_opened(self, conv: int, seq: int, opened: Opened) -> None:
        """What was in a message that waits for its turn to be shown."""
        self._do("INSERT OR REPLACE INTO opened VALUES (?, ?, ?)", conv, seq, msgspec.msgpack.encode(opened))

    def drop_opened(self, conv: int, seq: int) -> None:
        """It is shown."""
        self._do("DELETE FROM opened WHERE conv = ? AND seq = ?", conv, seq)
