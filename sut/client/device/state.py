"""A device's data on disk, readable by its owner only: keys, cursors, messages and outgoing messages.

One SQLite file per device, mode 0600, opened by one program at a time. Changes are collected, and `commit` writes them
in one transaction: the state of the encryption, the decrypted message and the cursor behind it. So a crash at any point
neither loses a message nor uses a key or a client_seq twice. An outgoing message is committed before it is sent. A
received message is committed before it is acknowledged.
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
_AROUND: Final = frozenset(
    (
        sqlite3.SQLITE_BUSY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY,
    )
)  # fmt: skip
"""What is around the file, as a full disk: the keys in it are whole, and nobody should be told to move it away."""


def _signed(value: int) -> int:
    """Return a u64 as the signed integer that SQLite stores."""
    return value - (1 << 64) if value >> 63 else value


class InUse(UserMistake):
    """Another program has the file open."""


class Unread(IntEnum):
    """Why a received message is kept unread; stored in the file."""

    WAITS = 0  # for its conversation's members, or for its sender's keys
    TO_ASK = 1  # the sender has to be asked for it
    ASKED = 2  # the request is in the outbox, or was sent


class Draft(NamedTuple):
    """A message that the person wrote and that is not encrypted yet."""

    draft: int
    conv: int
    line: int
    """0 if it has no line of its own (an edit, for example)."""
    payload: bytes


class Outgoing(NamedTuple):
    """An encrypted message with a client_seq that is not settled. `line` 0: it has no line. `ref` 0: it is a control
    message.
    """

    client_seq: int
    conv: int
    line: int
    ref: int
    body: bytes


class State:
    """An open state file. Changes take effect with the next `commit`."""

    def __init__(self, path: Path) -> None:
        """Open or create the file. Raises ClientError; InUse when another program has it open."""
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
            if isinstance(error, OSError) or getattr(error, "sqlite_errorcode", 0) & 0xFF in _AROUND:
                raise ClientError(f"cannot write to {path}: {error}") from None
            raise ClientError(f"{path} is broken: {error}; move it away to start over as a new device") from None

    @property
    def path(self) -> Path:
        """The path of the file."""
        return self._path

    async def commit(self) -> None:
        """Write all changes to disk. Raises ClientError: then the program cannot go on."""
        pending, self._pending = self._pending, []
        if pending:
            await asyncio.to_thread(self._apply_or_say, pending)
        self._unsaved.clear()
        self._unsaved_refs.clear()

    def close(self) -> None:
        """Commit what is left, and release the file. May be called twice."""
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

    # Single values, by key.

    def get(self, key: str, default: bytes = b"") -> bytes:
        """Return the value as of the last commit."""
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return bytes(row[0]) if row else default

    def put(self, key: str, value: bytes) -> None:
        self._do("INSERT OR REPLACE INTO meta VALUES (?, ?)", key, value)

    def number(self, key: str, default: int = 0) -> int:
        """Return a value as an integer. Raises ClientError if it is not one."""
        text = self.get(key, str(default).encode())
        try:
            return int(text)
        except ValueError:
            raise ClientError(f"{self._path} is broken: {key} is not a number") from None

    def next_row(self) -> int:
        """Return a new row number for a line."""
        self._row += 1
        return self._row

    def take_client_seq(self) -> int:
        """Return the next idempotency key. Committing `put_outgoing` with it uses it up, before anything is sent."""
        self._client_seq += 1
        return self._client_seq - 1

    def skip_client_seqs(self, last: int) -> None:
        """Skip the keys up to `last`: a run of the program that this state does not know has used them."""
        self._client_seq = max(self._client_seq, last + 1)
        self.put("next_client_seq", str(self._client_seq).encode())

    @property
    def next_client_seq(self) -> int:
        """The value that `take_client_seq` returns next."""
        return self._client_seq

    # Reading. Most of it happens once, at the start.

    def names(self) -> dict[int, str]:
        """Return user -> name."""
        return dict(self._db.execute("SELECT user, name FROM names"))

    def conversations(self) -> dict[int, Conversation]:
        """Return all conversations, each with its newest MAX_LINES lines."""
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
        """Return the line with this sequence number, however old."""
        for line in self._unsaved.values():
            if (line.conv, line.seq) == (conv, seq):
                return line
        return next(self._select_lines("WHERE conv = ? AND seq = ? LIMIT 1", conv, seq), None)

    def line_of(self, conv: int, device: int, client_seq: int) -> Line | None:
        """Return the newest line with this idempotency key, however old."""
        for line in reversed(self._unsaved.values()):
            if (line.conv, line.device, line.client_seq) == (conv, device, client_seq):
                return line
        condition = "WHERE conv = ? AND device = ? AND client_seq = ? ORDER BY line DESC LIMIT 1"
        return next(self._select_lines(condition, conv, device, _signed(client_seq)), None)

    def last_own(self, conv: int, user: int) -> Line | None:
        """Return the newest text of this user that was not deleted, however old, as of the last commit."""
        condition = "WHERE conv = ? AND user = ? AND kind = 'text' AND deleted = 0 ORDER BY seq DESC LIMIT 1"
        return next(self._select_lines(condition, conv, user), None)

    def line_in(self, row: int) -> Line | None:
        """Return the line with this row number."""
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
        """Return the messages to encrypt, in the order of writing."""
        return [Draft(*row) for row in self._db.execute("SELECT draft, conv, line, payload FROM drafts ORDER BY draft")]

    def outbox(self) -> list[Outgoing]:
        """Return the messages to send, in order."""
        query = "SELECT client_seq, conv, line, ref, body FROM outbox ORDER BY client_seq"
        return [
            Outgoing(client_seq, conv, line, ref & _U64, body)
            for client_seq, conv, line, ref, body in self._db.execute(query)
        ]

    def sealed(self) -> list[tuple[Message, Unread]]:
        """Return the unread messages with the reason, ordered by conversation and sequence number."""
        query = "SELECT conv, seq, user, device, client_seq, body, asked FROM sealed ORDER BY conv, seq"
        return [
            (Message(conv, seq, 0, user, device, client_seq & _U64, body), Unread(asked))
            for conv, seq, user, device, client_seq, body, asked in self._db.execute(query)
        ]

    def opened(self) -> dict[tuple[int, int], Opened]:
        """Return (conversation, sequence number) -> content, for messages that were decrypted and not shown yet."""
        found = self._db.execute("SELECT conv, seq, opened FROM opened")
        return {(conv, seq): msgspec.msgpack.decode(opened, type=Opened) for conv, seq, opened in found}

    def earlier(self) -> set[int]:
        """Return the conversations in which this device has read and written nothing since it was linked."""
        return {conv for (conv,) in self._db.execute("SELECT conv FROM earlier")}

    def device_names(self) -> dict[int, str]:
        """Return device id -> name, for own devices that were linked on this one."""
        return dict(self._db.execute("SELECT device, name FROM devices"))

    def seqs_of(self, conv: int, refs: tuple[int, ...]) -> dict[int, int]:
        """Return ref -> sequence number, for own messages with these refs. As of the last commit."""
        marks = ",".join("?" * len(refs))
        query = f"SELECT ref, seq FROM sent WHERE conv = ? AND ref IN ({marks})"  # noqa: S608 (question marks)
        return {ref & _U64: seq for ref, seq in self._db.execute(query, (conv, *map(_signed, refs)))}

    # Changes.

    def put_name(self, user: int, name: str) -> None:
        """Store the name of a user."""
        self._do("INSERT OR REPLACE INTO names VALUES (?, ?)", user, name)

    def put_earlier(self, conv: int, *, earlier: bool) -> None:
        """Store or delete the mark that this device has read and written nothing there since it was linked."""
        statement = "INSERT OR IGNORE INTO earlier VALUES (?)" if earlier else "DELETE FROM earlier WHERE conv = ?"
        self._do(statement, conv)

    def put_device(self, device: int, name: str) -> None:
        """Store the name of another own device; an empty name deletes it."""
        self._do("DELETE FROM devices WHERE device = ?", device)
        if name:
            self._do("INSERT INTO devices VALUES (?, ?)", device, name)

    def put_conversation(self, one: Conversation) -> None:
        """Store a conversation without its lines, members and receipts."""
        self._do(
            "INSERT OR REPLACE INTO conversations VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            one.conv, one.direct, one.title, one.peer, one.known, one.left, one.cursor, one.read,
        )  # fmt: skip

    def put_members(self, one: Conversation) -> None:
        """Replace the stored members of a conversation."""
        self._do("DELETE FROM members WHERE conv = ?", one.conv)
        for user, first in one.members.items():
            self._do("INSERT INTO members VALUES (?, ?, ?)", one.conv, user, first)

    def put_receipt(self, conv: int, user: int, kind: int, seq: int) -> None:
        """Store a receipt: the user has received or read everything up to `seq`."""
        self._do("INSERT OR REPLACE INTO receipts VALUES (?, ?, ?, ?)", conv, user, kind, seq)

    def put_line(self, line: Line) -> None:
        """Store a line, new or changed."""
        self._unsaved.pop(line.row, None)
        self._unsaved[line.row] = line
        self._do(
            "INSERT OR REPLACE INTO lines VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            line.row, line.conv, str(line.kind), line.seq, line.user, line.device, _signed(line.client_seq), line.at_ms,
            line.text, line.edited, line.deleted, line.failed,
        )  # fmt: skip

    def rewind(self, one: Conversation, head: int) -> None:
        """Lower the sequence numbers above `head` to `head`: the service has lost those messages and will reuse the
        numbers.
        """
        for table in ("sealed", "opened"):
            self._do(f"DELETE FROM {table} WHERE conv = ? AND seq > ?", one.conv, head)  # noqa: S608 (constants)
        self._do("UPDATE lines SET seq = ? WHERE conv = ? AND seq > ?", head, one.conv, head)
        self._do("UPDATE receipts SET seq = ? WHERE conv = ? AND seq > ?", head, one.conv, head)

    def drop_line(self, line: Line) -> None:
        """Delete a line that has nothing to show."""
        self._unsaved.pop(line.row, None)
        self._do("DELETE FROM lines WHERE line = ?", line.row)

    def put_draft(self, conv: int, line: int, payload: bytes) -> Draft:
        """Store a message to encrypt later."""
        self._draft += 1
        draft = Draft(self._draft, conv, line, payload)
        self._do("INSERT INTO drafts VALUES (?, ?, ?, ?)", *draft)
        return draft

    def drop_draft(self, draft: Draft) -> None:
        """Delete a draft that was encrypted or given up."""
        self._do("DELETE FROM drafts WHERE draft = ?", draft.draft)

    def put_outgoing(self, outgoing: Outgoing) -> None:
        """Store a message to send. Its client_seq must never be used for another message."""
        stored = outgoing._replace(ref=_signed(outgoing.ref))
        self._do("INSERT INTO outbox VALUES (?, ?, ?, ?, ?)", *stored)
        self.put("next_client_seq", str(outgoing.client_seq + 1).encode())

    def drop_outgoing(self, outgoing: Outgoing, *, seq: int) -> None:
        """Delete a settled message. `seq`: its sequence number; 0: it will never have one."""
        self._do("DELETE FROM outbox WHERE client_seq = ?", outgoing.client_seq)
        if seq and outgoing.ref:
            self._do("INSERT OR REPLACE INTO sent VALUES (?, ?, ?)", outgoing.conv, _signed(outgoing.ref), seq)

    def put_sealed(self, message: Message, why: Unread) -> None:
        """Store a message that cannot be read yet, with the reason."""
        conv, seq, _, user, device, client_seq, body = message
        self._do(
            "INSERT OR REPLACE INTO sealed VALUES (?, ?, ?, ?, ?, ?, ?)",
            conv, seq, user, device, _signed(client_seq), why, body,
        )  # fmt: skip

    def drop_sealed(self, message: Message) -> None:
        """Delete a message that was read, or never will be."""
        self._do("DELETE FROM sealed WHERE conv = ? AND seq = ?", message.conv, message.seq)

    def was_read(self, conv: int, device: int, ref: int) -> bool:
        """Return True if a message of this device with this ref was decrypted here before."""
        if (conv, device, ref) in self._unsaved_refs:
            return True
        query = "SELECT 1 FROM opened_refs WHERE conv = ? AND device = ? AND ref = ?"
        return self._db.execute(query, (conv, _signed(device), _signed(ref))).fetchone() is not None

    def note_read(self, conv: int, device: int, ref: int) -> None:
        """Note that a message was decrypted: another one with its ref is a copy."""
        self._unsaved_refs.add((conv, device, ref))
        self._do("INSERT OR IGNORE INTO opened_refs VALUES (?, ?, ?)", conv, _signed(device), _signed(ref))

    def amend(self, conv: int, user: int, device: int, client_seq: int) -> tuple[bool, str | None]:
        """Return (changed, text) for a line that was not here when its author changed it. Text None: deleted."""
        place = (conv, user, _signed(device), _signed(client_seq))
        for statement, values in reversed(self._pending):
            if " amends " in statement and values[:4] == place:
                return ("INSERT" in statement, str(values[4]) if len(values) > 4 and values[4] is not None else None)
        query = "SELECT text FROM amends WHERE conv = ? AND user = ? AND device = ? AND client_seq = ?"
        row = self._db.execute(query, place).fetchone()
        return row is not None, row[0] if row is not None else None

    def put_amend(self, conv: int, user: int, device: int, client_seq: int, text: str | None) -> None:
        """Store the author's change (None: a deletion) of a line that cannot be read yet. A deletion is never
        overwritten.
        """
        statement = "INSERT INTO amends VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET text = excluded.text"
        if text is not None:
            statement += " WHERE text IS NOT NULL"
        self._do(statement, conv, user, _signed(device), _signed(client_seq), text)

    def put_opened(self, conv: int, seq: int, opened: Opened) -> None:
        """Store the content of a message that waits for its turn to be shown."""
        self._do("INSERT OR REPLACE INTO opened VALUES (?, ?, ?)", conv, seq, msgspec.msgpack.encode(opened))

    def drop_opened(self, conv: int, seq: int) -> None:
        """Delete the content of a message that is shown now."""
        self._do("DELETE FROM opened WHERE conv = ? AND seq = ?", conv, seq)
