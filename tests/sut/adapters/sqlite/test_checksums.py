"""A byte that changed on the disk is refused, not served: in the store as in the log."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from sut.adapters.sqlite.file import Damaged
from sut.adapters.sqlite.store import SqliteStore
from sut.ports import ConversationRow, ConversationWrite, Role, RoleMark, SenderMark, Span, StoredMessage

CONV, ANN, BOB = 5, 1, 2


async def write(directory: Path) -> None:
    store = SqliteStore(directory, 1)
    rows = tuple(StoredMessage(seq, 0, ANN, 11, seq, b"pay 100 to bob" if seq == 2 else b"x") for seq in (1, 2, 3))
    row = ConversationRow(CONV, "g", ANN, 3, 4)
    marks, roles = (SenderMark(11, 3, 3, 77),), (RoleMark(BOB, Role.ADMIN, 3),)
    await store.write(0, [ConversationWrite(row, rows, (Span(ANN, 1), Span(BOB, 1)), marks, roles)])
    await store.close()


async def ask(directory: Path) -> list[object]:
    """Every question about the conversation: its answer, or what refused it."""
    store = SqliteStore(directory, 1)
    asked = store.load(CONV), store.page(CONV, 0, 10), store.page_before(CONV, 9, 10), store.heads(BOB, [CONV])
    answers = await asyncio.gather(*asked, return_exceptions=True)
    await store.close()
    return answers


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        ("UPDATE message SET body = x'706179' WHERE seq = 2", (1, 2)),
        ("UPDATE message SET user = 2", (1, 2)),
        ("UPDATE conversation SET head = 2", (0, 3)),
        ("UPDATE span SET until = 2", (0, 3)),
        ("UPDATE mark SET client_seq = 2", (0,)),
        ("UPDATE role SET role = 2", (0,)),
    ],
)
def test_a_changed_value_is_refused(tmp_path: Path, change: str, refused: tuple[int, ...]) -> None:
    asyncio.run(write(tmp_path))
    assert not [answer for answer in asyncio.run(ask(tmp_path)) if isinstance(answer, Exception)]
    connection = sqlite3.connect(tmp_path / "store-00.db", isolation_level=None)
    connection.execute(change)  # as a failing disk does, behind the store's back
    connection.close()
    answers = asyncio.run(ask(tmp_path))
    assert tuple(place for place, answer in enumerate(answers) if isinstance(answer, Damaged)) == refused
    assert "checksum" in str(answers[refused[0]])


def test_a_byte_that_changed_in_the_file_is_refused(tmp_path: Path) -> None:
    asyncio.run(write(tmp_path))
    flipped = 0
    for path in tmp_path.rglob("*"):
        data = path.read_bytes() if path.is_file() else b""
        if b"pay 100" in data:
            path.write_bytes(data.replace(b"pay 100", b"pay 900"))
            flipped += 1
    assert flipped
    assert [type(answer) for answer in asyncio.run(ask(tmp_path))[1:3]] == [Damaged, Damaged]
