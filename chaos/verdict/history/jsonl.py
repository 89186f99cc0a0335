"""Reads the exchange format: JSON lines in any order, into event frames and control data.

Lines are decoded a few megabytes at a time, as typed structs. A block with an error or with events of unknown kinds is
decoded again line by line, to name the line.
"""

from __future__ import annotations

import functools
import operator
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
import polars as pl

from chaos.errors import ChaosError
from chaos.verdict.history.ids import SPACES, column_of
from chaos.verdict.model import printable
from load.history.control import CONTROL, Control
from load.history.events import LINES, Line


class HistoryError(ChaosError):
    """A history that cannot be judged; the text is one printable line that names the file and the place."""

    def __init__(self, text: str) -> None:
        super().__init__(printable(text))


BLOCK_BYTES: Final = 8 << 20
MAX_KIND: Final = 40
MAX_KINDS: Final = 100
OTHERS: Final = "(others)"
_BOM: Final = b"\xef\xbb\xbf"
_KINDS: Final[tuple[type[msgspec.Struct], ...]] = (*LINES, *CONTROL)
_DECODER: Final[msgspec.json.Decoder[Line | Control]] = msgspec.json.Decoder(functools.reduce(operator.or_, _KINDS))
_KNOWN: Final = {str(kind.__struct_config__.tag) for kind in _KINDS}
_MALFORMED: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class _Kind(msgspec.Struct):
    """A line of which only the event's name is decoded."""

    e: str


_KIND = msgspec.json.Decoder(_Kind)


class Reader:
    """Collects the events and control data of one or several files."""

    def __init__(self) -> None:
        self.frames: list[pl.DataFrame] = []
        """Columns: `e` (number of the event, minus one), `t`, and those of the event."""
        self.controls: list[Control] = []
        self.unknown: Counter[str] = Counter()
        """Number of lines per unknown kind (name cut at MAX_KIND); kinds beyond MAX_KINDS are counted together."""

    def read(self, path: Path, *, torn_tail: bool = False) -> bool:
        """Read a file; returns True if its last line was torn. Raises HistoryError.

        A torn line is a last line without its end that is no JSON. Only `torn_tail` tolerates one.
        """
        try:
            with path.open("rb") as file:
                for number, block in _blocks(iter(lambda: file.read(BLOCK_BYTES), b"")):
                    decoded, torn = _at_once(block), False
                    if decoded is None:
                        decoded, torn = self._one_by_one(path, number, block, torn_tail=torn_tail)
                    self._take(decoded)
                    if torn:
                        return True
        except OSError as error:
            raise HistoryError(f"{path}: {error.strerror}") from None
        return False

    def _one_by_one(
        self, path: Path, number: int, block: bytes, *, torn_tail: bool
    ) -> tuple[list[Line | Control], bool]:
        decoded: list[Line | Control] = []
        for place, line in enumerate(block.split(b"\n")):
            if not line.strip():
                continue
            try:
                decoded.append(_DECODER.decode(line))
            except _MALFORMED as error:
                if (kind := _other_kind(line)) is not None:
                    name = kind[:MAX_KIND]
                    self.unknown[name if name in self.unknown or len(self.unknown) < MAX_KINDS else OTHERS] += 1
                    continue
                is_json = isinstance(error, msgspec.ValidationError)
                if torn_tail and not is_json and block.endswith(line) and not block.endswith(b"\n"):
                    return decoded, True
                raise HistoryError(f"{path}, line {number + place}: {error}") from None
        return decoded, False

    def _take(self, decoded: list[Line | Control]) -> None:
        kinds: dict[type, list[Line]] = defaultdict(list)
        for line in decoded:
            if isinstance(line, CONTROL):
                self.controls.append(line)
            else:
                kinds[type(line)].append(line)
        self.frames.extend(_frame(kind, of_kind) for kind, of_kind in kinds.items())


def _blocks(chunks: Iterator[bytes]) -> Iterator[tuple[int, bytes]]:
    """Yield blocks of whole lines, some megabytes each, with the number of the first line, from 1."""
    number, rest = 1, b""
    for chunk in chunks:
        whole, end, more = chunk.rpartition(b"\n")
        if end:
            block = rest + whole + end
            yield number, block.removeprefix(_BOM) if number == 1 else block
            number += block.count(b"\n")
            rest = more
        else:
            rest += more
    if rest:
        yield number, rest.removeprefix(_BOM) if number == 1 else rest


def _at_once(block: bytes) -> list[Line | Control] | None:
    """Return all lines of a block; None if a line is invalid, or if they are not one object a line."""
    try:
        decoded = _DECODER.decode_lines(block)
    except _MALFORMED:
        return None
    ends = block.count(b"\n") + (not block.endswith(b"\n"))
    starts = block.count(b"\n{") + block.startswith(b"{")
    return decoded if len(decoded) == ends == starts else None


def _other_kind(line: bytes) -> str | None:
    """Return the `e` of a whole JSON object if it is text and no known event; else None."""
    try:
        kind = _KIND.decode(line).e
    except _MALFORMED:
        return None
    return None if kind in _KNOWN else kind


def _frame(kind: type[Line], of_kind: list[Line]) -> pl.DataFrame:
    """Return one event's lines as a frame."""
    event = LINES[kind]
    columns = {"t": pl.Series([line.t for line in of_kind], dtype=pl.Int64)}
    for field in event.fields:
        values = [getattr(line, field.name) for line in of_kind]
        if field.column == "arg":
            columns["arg"] = pl.Series([field.number_of(value) for value in values], dtype=pl.UInt8)
        elif field.column in SPACES:
            columns[field.column] = column_of(values)
        else:
            columns[field.column] = pl.Series(values, dtype=pl.Int64)
    frame = pl.DataFrame(columns)
    return frame.with_columns(pl.lit(event - 1, dtype=pl.UInt8).alias("e"))
