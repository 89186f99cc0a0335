"""Writes a history out again: as JSON lines, the exchange format, or as Parquet for other tools.

The JSON lines hold everything that is judged, our own control data included: `load_jsonl` of them gives the same
verdict as the run they came from.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

import msgspec
import polars as pl

from chaos.verdict.history.history import History
from chaos.verdict.history.lines import Control

SLICE_ROWS: Final = 200_000
CONTROL_KEY: Final = "stormpetrel.control"

_FIELDS: Final[dict[str, dict[str, str]]] = {
    "member": {"conv": "conv", "user": "user", "op": "arg:remove,add", "seq": "seq"},
    "device": {"device": "device", "user": "user"},
    "online": {"device": "device"},
    "offline": {"device": "device", "planned": "arg:"},
    "send": {"due": "due", "device": "device", "conv": "conv", "msg": "msg", "hash": "hash"},
    "ack": {"device": "device", "conv": "conv", "msg": "msg", "seq": "seq"},
    "nack": {"device": "device", "conv": "conv", "msg": "msg", "definite": "arg:"},
    "wire": {"device": "device", "conv": "conv", "seq": "seq", "msg": "msg", "hash": "hash"},
    "show": {"device": "device", "conv": "conv", "seq": "seq", "msg": "msg", "hash": "hash"},
    "final": {"device": "device", "conv": "conv", "seq": "seq", "msg": "msg", "hash": "hash"},
    "final_done": {"device": "device", "conv": "conv", "head": "seq"},
    "push": {"device": "device", "conv": "conv", "seq": "seq"},
    "presence": {"viewer": "device", "user": "user", "state": "arg:offline,online,unknown"},
    "receipt": {"device": "device", "conv": "conv", "seq": "seq", "kind": "arg:delivered,read", "by": "user"},
}
"""The JSON fields of each event, by column; `arg:` with the words for 0, 1 and anything else, or true and false."""


def write_jsonl(history: History, stream: IO[bytes]) -> None:
    """Write every event and every control line, by time. Raises OSError."""
    controls = sorted(_controls(history), key=lambda control: control.t)
    waiting = iter(controls)
    control = next(waiting, None)
    for times, rows in _slices(history):
        start = 0
        while control is not None and control.t <= times[-1]:
            place = int(times.search_sorted(control.t, side="right"))
            _write(stream, rows[start:place])
            stream.write(msgspec.json.encode(control) + b"\n")
            start = place
            control = next(waiting, None)
        _write(stream, rows[start:])
    while control is not None:
        stream.write(msgspec.json.encode(control) + b"\n")
        control = next(waiting, None)


def write_parquet(history: History, path: Path) -> None:
    """Write the events with their ids as recorded; the control lines go into the file's metadata. Raises OSError."""
    ids = history.ids
    events = history.events.with_columns(ids.plain(name) for name in ("device", "user", "conv", "msg", "hash"))
    control = b"\n".join(msgspec.json.encode(line) for line in _controls(history)).decode()
    events.write_parquet(path, metadata={CONTROL_KEY: control})


def _controls(history: History) -> Iterator[Control]:
    if history.own:
        yield history.meta
    yield from history.plans
    yield from history.phases
    yield from history.faults
    yield from history.holes


def _slices(history: History) -> Iterator[tuple[pl.Series, pl.Series]]:
    """Times and JSON texts of the events, some at a time."""
    for events in history.events.iter_slices(SLICE_ROWS):
        numbered = events.with_row_index("row")
        parts = [
            numbered.filter(pl.col("e") == name).select("row", _json(history, name, fields).alias("json"))
            for name, fields in _FIELDS.items()
        ]
        yield events["t"], pl.concat(parts).sort("row")["json"]


def _json(history: History, name: str, fields: dict[str, str]) -> pl.Expr:
    pieces = [pl.lit(f'{{"e":"{name}","t":'), pl.col("t").cast(pl.String)]
    for key, column in fields.items():
        pieces += [pl.lit(f',"{key}":'), _value(history, column)]
    return pl.concat_str([*pieces, pl.lit("}")])


def _value(history: History, column: str) -> pl.Expr:
    name, is_arg, words = column.partition(":")
    if not is_arg:
        is_number = name in ("seq", "due")
        return pl.col(name).cast(pl.String) if is_number else history.ids.json_text(name)
    arg = pl.col("arg")
    if not words:
        return pl.when(arg == 1).then(pl.lit("true")).otherwise(pl.lit("false"))
    zero, one, *other = (pl.lit(f'"{word}"') for word in words.split(","))
    return pl.when(arg == 1).then(one).when(arg == 0).then(zero).otherwise(other[0] if other else zero)


def _write(stream: IO[bytes], rows: pl.Series) -> None:
    if len(rows):
        stream.write(("\n".join(rows.to_list()) + "\n").encode())
