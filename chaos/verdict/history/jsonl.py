"""Reads the exchange format: JSON lines that anybody recorded, in any order, into event frames and control data.

Lines are decoded a few megabytes at a time, as typed structs; only a block in which something is wrong, or that holds
events of other kinds, is gone through again line by line to name the line.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
import polars as pl

from chaos.errors import ChaosError
from chaos.verdict.history import lines as li
from chaos.verdict.history.ids import SPACES, column_of


class HistoryError(ChaosError):
    """A history that cannot be judged; the text is one line that names the file and the place."""


BLOCK_BYTES: Final = 8 << 20
_BOM: Final = b"\xef\xbb\xbf"
_DECODER = msgspec.json.Decoder(li.Event | li.Control)
_KNOWN: Final = {*li.EVENT_NAMES, "meta", "plan", "phase", "fault", "hole"}
_MALFORMED: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class _Kind(msgspec.Struct):
    """All of a line but its event's name left out."""

    e: str


_KIND = msgspec.json.Decoder(_Kind)

_FIELDS: Final[dict[type[li.Line], dict[str, str]]] = {
    li.Member: {"conv": "conv", "user": "user", "op": "arg", "seq": "seq"},
    li.Device: {"device": "device", "user": "user"},
    li.Online: {"device": "device"},
    li.Offline: {"device": "device", "planned": "arg"},
    li.Send: {"due": "due", "device": "device", "conv": "conv", "msg": "msg", "hash": "hash"},
    li.Ack: {"device": "device", "conv": "conv", "msg": "msg", "seq": "seq"},
    li.Nack: {"device": "device", "conv": "conv", "msg": "msg", "definite": "arg"},
    li.Wire: {"device": "device", "conv": "conv", "seq": "seq", "msg": "msg", "hash": "hash"},
    li.Show: {"device": "device", "conv": "conv", "seq": "seq", "msg": "msg", "hash": "hash"},
    li.FinalRead: {"device": "device", "conv": "conv", "seq": "seq", "msg": "msg", "hash": "hash"},
    li.FinalDone: {"device": "device", "conv": "conv", "head": "seq"},
    li.Push: {"device": "device", "conv": "conv", "seq": "seq"},
    li.Presence: {"viewer": "device", "user": "user", "state": "arg"},
    li.Receipt: {"device": "device", "conv": "conv", "seq": "seq", "kind": "arg", "by": "user"},
}
"""For each event, the frame's column of each field."""
UNKNOWN_STATE: Final = 255
_ARGS: Final[dict[str | bool | int, int]] = {
    "add": 1, "remove": 0, "read": 1, "delivered": 0, "online": 1, "offline": 0, 1: 1, 0: 0,
}  # fmt: skip
"""What the words become in `arg`; true and false are 1 and 0. Any other state of presence is UNKNOWN_STATE."""


class Reader:
    """Collects what one or several files hold."""

    def __init__(self) -> None:
        self.frames: list[pl.DataFrame] = []
        """With columns `e` (place in EVENT_NAMES), `t`, and those of the event."""
        self.controls: list[li.Control] = []
        self.ignored = 0
        """Lines with an event of another kind."""

    def read(self, path: Path, *, torn_tail: bool = False) -> bool:
        """Take in a file. Returns whether its last line was torn, which only `torn_tail` tolerates: a last line
        without its end that is no JSON. Raises HistoryError.
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
    ) -> tuple[list[li.Event | li.Control], bool]:
        decoded: list[li.Event | li.Control] = []
        for place, line in enumerate(block.split(b"\n")):
            if not line.strip():
                continue
            try:
                decoded.append(_DECODER.decode(line))
            except _MALFORMED as error:
                if _is_of_another_kind(line):
                    self.ignored += 1
                    continue
                is_json = isinstance(error, msgspec.ValidationError)
                if torn_tail and not is_json and block.endswith(line) and not block.endswith(b"\n"):
                    return decoded, True
                raise HistoryError(f"{path}, line {number + place}: {error}") from None
        return decoded, False

    def _take(self, decoded: list[li.Event | li.Control]) -> None:
        kinds: dict[type, list[li.Line]] = defaultdict(list)
        for line in decoded:
            if isinstance(line, li.CONTROL):
                self.controls.append(line)
            else:
                kinds[type(line)].append(line)
        self.frames.extend(_frame(kind, of_kind) for kind, of_kind in kinds.items())


def _blocks(chunks: Iterator[bytes]) -> Iterator[tuple[int, bytes]]:
    """Whole lines, some megabytes at a time, with the number of the first, from 1."""
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


def _at_once(block: bytes) -> list[li.Event | li.Control] | None:
    """All lines of a block; None: one is not as it must be, or they are not plainly one object each."""
    try:
        decoded = _DECODER.decode_lines(block)
    except _MALFORMED:
        return None
    ends = block.count(b"\n") + (not block.endswith(b"\n"))
    starts = block.count(b"\n{") + block.startswith(b"{")
    return decoded if len(decoded) == ends == starts else None


def _is_of_another_kind(line: bytes) -> bool:
    """A whole JSON object whose `e` is text, but no event of ours."""
    try:
        return _KIND.decode(line).e not in _KNOWN
    except _MALFORMED:
        return False


def _frame(kind: type[li.Line], of_kind: list[li.Line]) -> pl.DataFrame:
    """One event's lines as a frame."""
    event = str(kind.__struct_config__.tag)
    columns = {"t": pl.Series([line.t for line in of_kind], dtype=pl.Int64)}
    for name, column in _FIELDS[kind].items():
        values = [getattr(line, name) for line in of_kind]
        if column == "arg":
            columns[column] = pl.Series([_ARGS.get(value, UNKNOWN_STATE) for value in values], dtype=pl.UInt8)
        elif column in SPACES:
            columns[column] = column_of(values)
        else:
            columns[column] = pl.Series(values, dtype=pl.Int64)
    frame = pl.DataFrame(columns)
    return frame.with_columns(pl.lit(li.EVENT_NAMES.index(event), dtype=pl.UInt8).alias("e"))
