"""Checksums of stored rows. SQLite returns a changed byte without notice, so each row carries its own CRC-32."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from sut.adapters.sqlite.file import Damaged

_encoder = msgspec.msgpack.Encoder()


def crc(*values: object) -> int:
    """Return the CRC-32 of a row's values, in the order of its columns."""
    return zlib.crc32(_encoder.encode(values))


def signed(rows: Iterable[tuple[object, ...]]) -> Iterator[tuple[object, ...]]:
    """Yield the rows with their checksums at the end."""
    return ((*row, crc(*row)) for row in rows)


def checked(path: Path, table: str, rows: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Return the rows without their checksums. Raises Damaged when a checksum is wrong."""
    found = []
    for *values, stored in rows:
        if crc(*values) != stored:
            raise Damaged(f"{path}: damaged, a row of {table} (conversation {values[0]}) does not have its checksum")
        found.append(tuple(values))
    return found
