"""Writes a history as JSON lines (the exchange format), or as Parquet for other tools.

The JSON lines hold everything that is judged, including our own control data. `load_jsonl` of them gives the same
verdict as the run they came from.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

import msgspec
import polars as pl

from chaos.verdict.history.history import History
from chaos.verdict.history.ids import SPACES
from load.history.control import Control
from load.history.events import Event, Field

SLICE_ROWS: Final = 200_000
CONTROL_KEY: Final = "stormpetrel.control"


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
    """Write the events with their ids as recorded, and the control lines as the file's metadata. Raises OSError."""
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
    """Yield the times and JSON texts of the events, SLICE_ROWS at a time."""
    for events in history.events.iter_slices(SLICE_ROWS):
        numbered = events.with_row_index("row")
        parts = [
            numbered.filter(pl.col("e") == event.label).select("row", _json(history, event).alias("json"))
            for event in Event
        ]
        yield events["t"], pl.concat(parts).sort("row")["json"]


def _json(history: History, event: Event) -> pl.Expr:
    pieces = [pl.lit(f'{{"e":"{event.label}","t":'), pl.col("t").cast(pl.String)]
    for field in event.fields:
        piece = pl.concat_str([pl.lit(f',"{field.name}":'), _value(history, field)])
        pieces.append(piece.fill_null("") if field.default is None else piece)
    return pl.concat_str([*pieces, pl.lit("}")])


def _value(history: History, field: Field) -> pl.Expr:
    if field.words:
        zero, one, *other = (pl.lit(msgspec.json.encode(word).decode()) for word in field.words)
        arg = pl.col("arg")
        return pl.when(arg == 1).then(one).when(arg == 0).then(zero).otherwise(other[0] if other else zero)
    if field.column in SPACES:
        return history.ids.json_text(field.column)
    return pl.col(field.column).cast(pl.String)


def _write(stream: IO[bytes], rows: pl.Series) -> None:
    if len(rows):
        stream.write(("\n".join(rows.to_list()) + "\n").encode())
