"""A whole history in memory: all events as one polars frame, and the control data of the run.

`events` has a row per event, by time, with the columns

- e (EVENT_NAMES), t, due, device, user, conv, msg, seq, hash: as in the exchange format. Ids are integers, which `ids`
  decodes. `user` is also the `by` of a receipt, `device` the viewer of a presence, `seq` a final's head.
- arg: 1 for add, planned, definite, read and online; 0 for their opposites; null if the event has none.

Rows of the same time are sorted by their values, so that the order of the lines has no influence.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final, TypeVar

import polars as pl

from chaos.verdict import canary
from chaos.verdict.canary import Canary
from chaos.verdict.history import native
from chaos.verdict.history.ids import Ids, intern
from chaos.verdict.history.jsonl import HistoryError, Reader
from load.history.control import (
    CONTROL_NAMES,
    FOREIGN,
    Bounds,
    Control,
    Fault,
    Hole,
    Machine,
    Meta,
    Phase,
    Plan,
    Sends,
)
from load.history.events import EVENT_NAMES

T = TypeVar("T")
LIKENESS: Final = 0.74
"""Minimum difflib ratio, from 0 to 1, of a misspelled kind. `shown` is like `show` by 0.89, `acked` like `ack` by 0.75.
"""

__all__ = ["History", "HistoryError", "load_jsonl", "load_run"]

EVENT: Final = pl.Enum(EVENT_NAMES)
SCHEMA: Final[dict[str, type[pl.DataType] | pl.DataType]] = {
    "e": EVENT, "t": pl.Int64, "due": pl.Int64, "device": pl.Int64, "user": pl.Int64, "conv": pl.Int64,
    "msg": pl.Int64, "seq": pl.Int64, "hash": pl.Int64, "arg": pl.UInt8,
}  # fmt: skip
ORDER: Final = ("t", *(name for name in SCHEMA if name != "t"))
"""The columns by which events are sorted, nulls last."""


@dataclass(frozen=True, eq=False, kw_only=True)
class History:
    """All events and control data of one history. Read-only; compares by identity."""

    events: pl.DataFrame
    ids: Ids = field(default_factory=Ids)
    meta: Meta = field(default_factory=Meta)
    own: bool = False
    """True for one of our runs, as its meta line says. Such a run must also have phases and carry out its plan."""
    has_meta: bool = False
    plans: tuple[Plan, ...] = ()
    faults: tuple[Fault, ...] = ()
    phases: tuple[Phase, ...] = ()
    holes: tuple[Hole, ...] = ()
    machine: tuple[Machine, ...] = ()
    sends: tuple[Sends, ...] = ()
    """The number of planned sends, a line for each process of the swarm."""
    canary: Canary | None = None
    """The result of the hunt for plaintext; None if there was none."""
    unknown_kinds: dict[str, int] = field(default_factory=dict)
    """Number of lines of each unknown kind; such events are not judged."""
    ends: tuple[int, int] | None = None
    """Times of the first and the last event in ns, where `events` may lack them."""

    @cached_property
    def misspelled(self) -> dict[str, str]:
        """The unknown kinds that look like a known kind, with that kind; their lines are probably missing."""
        near: dict[str, str] = {}
        for kind in self.unknown_kinds:
            found = difflib.get_close_matches(kind.lower(), (*EVENT_NAMES, *CONTROL_NAMES), n=1, cutoff=LIKENESS)
            near |= {kind: found[0]} if found else {}
        return near

    @cached_property
    def twins(self) -> dict[str, list[str]]:
        """For each kind of id, the ids that occur both as a number and as the text of that number."""
        named = self.events.filter(pl.col("e").is_in(["member", "device", "presence"]))
        parts = {"user": named, **dict.fromkeys(("device", "conv", "msg", "hash"), self.events)}
        found = {column: self.ids.twins(column, frame[column]) for column, frame in parts.items()}
        known = pl.concat([named["user"], self.events["device"]])
        reporters = self.events.filter(pl.col("e") == "receipt")["user"]
        before = self.ids.twins("user", known)
        found["by"] = [one for one in self.ids.twins("user", pl.concat([known, reporters])) if one not in before]
        return {column: ids for column, ids in found.items() if ids}

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """Lines for people: what was left out or tolerated when the history was read."""
        return (*(f"{hole.process}: {hole.detail}" for hole in self.holes), *self.unknown_notes)

    @cached_property
    def unknown_notes(self) -> tuple[str, ...]:
        """Lines for people: the events of unknown kinds."""
        notes = []
        for kind, number in self.unknown_kinds.items():
            perhaps = f"; perhaps {self.misspelled[kind]!r} is meant" if kind in self.misspelled else ""
            notes.append(f"{number:,} line{'s' * (number != 1)} of the unknown kind {kind!r} not judged{perhaps}")
        return tuple(notes)

    @property
    def bounds(self) -> Bounds:
        """The bounds by which the history is judged."""
        return self.meta.bounds

    @property
    def skew_ns(self) -> int:
        """How far the clocks of two devices may be apart in ns; 0 unless the meta line says more than usual."""
        error_ms = self.bounds.clock_error_ms
        return round(error_ms * 1e6) if error_ms > Bounds().clock_error_ms else 0

    def phase(self, name: str) -> int | None:
        """Return the earliest recorded time at which a phase began, in ns; None if it never did."""
        return min((phase.t for phase in self.phases if phase.name == name), default=None)

    @cached_property
    def first_ns(self) -> int:
        """Time of the first event in ns; 0 without events."""
        if self.ends is not None:
            return self.ends[0]
        return int(self.events["t"][0]) if self.events.height else 0

    @cached_property
    def last_ns(self) -> int:
        """Time of the last event; 0 without events."""
        if self.ends is not None:
            return self.ends[1]
        return int(self.events["t"][-1]) if self.events.height else 0

    @property
    def start_ns(self) -> int:
        """The time from which reports count: the start of the steady phase, or else the first event, in ns."""
        steady = self.phase("steady")
        return self.first_ns if steady is None else steady

    @property
    def end_ns(self) -> int:
        """The time until which devices are watched, in ns: the final read-back of our runs, or the last event."""
        final = self.phase("final")
        return self.last_ns if final is None else final

    @cached_property
    def _made(self) -> dict[Any, Any]:
        return {}

    def once(self, make: Callable[[History], T]) -> T:
        """Return `make(self)`, computed once for each `make` and kept with the history."""
        if make not in self._made:
            self._made[make] = make(self)
        made: T = self._made[make]
        return made

    def keep(self, make: Callable[..., object], made: object) -> None:
        """Let `once(make)` return `made`."""
        self._made[make] = made


def load_run(run_dir: Path) -> History:
    """Return the history of one of our runs.

    Raises HistoryError if there is none or it is damaged; the text names file and place.
    """
    binaries, texts = files_of(run_dir)
    read = [native.read(path) for path in binaries]
    return build_run(run_dir, [frame for frame, _ in read], texts, [hole for _, hole in read if hole])


def files_of(run_dir: Path) -> tuple[list[Path], list[Path]]:
    """Return the binary files and the texts of a run's history. Raises HistoryError if some are missing."""
    directory = run_dir / "history"
    if not directory.is_dir():
        raise HistoryError(f"{directory}: no such directory; a run directory holds its history there")
    binaries, texts = sorted(directory.glob("*.bin")), sorted(directory.glob("*.jsonl"))
    if not binaries and not texts:
        raise HistoryError(f"{directory}: no history files")
    _check_complete(directory, planned=(run_dir / "schedule.yaml").exists())
    # the stand-ins for the push providers tell in texts of their own what they accepted
    return binaries, texts + sorted((run_dir / "pushes").glob("*.jsonl"))


def build_run(run_dir: Path, frames: list[pl.DataFrame], texts: list[Path], holes: list[Hole]) -> History:
    """Return the history of the events of the binary files and of the texts. Raises HistoryError.

    `frames` is empty afterwards, so that memory holds the events once.
    """
    reader = Reader()
    reader.frames += frames
    frames.clear()
    for path in texts:
        if reader.read(path, torn_tail=True):
            last_ns = max((control.t for control in reader.controls), default=0)
            holes.append(Hole(t=last_ns, process=path.stem, detail=f"torn last line of {path.name}"))
    try:
        return _build(reader, holes, canary.load(run_dir))
    except canary.CanaryError as error:
        raise HistoryError(str(error)) from None


def _check_complete(directory: Path, *, planned: bool) -> None:
    """Raise HistoryError if a file of the run is missing, as in a partial copy.

    Without its events the checks would blame the system or find nothing. A process of the swarm has both files once it
    has recorded anything; a run with a schedule has a meta line.
    """
    told = [path for kind in ("swarm", "readback") for path in directory.glob(f"{kind}-*.jsonl") if path.stat().st_size]
    must = [*(path.with_suffix(".bin") for path in told), *([directory / "meta.jsonl"] if planned else [])]
    if missing := sorted(path for path in must if not path.exists()):
        raise HistoryError(f"{missing[0]}: missing; this copy of the run is incomplete")


def load_jsonl(path: Path) -> History:
    """Return a history in the exchange format. Raises HistoryError; the text names file and line."""
    reader = Reader()
    reader.read(path)
    return _build(reader, [])


def _build(reader: Reader, holes: list[Hole], hunted: Canary | None = None) -> History:
    frames, ids = intern(reader.frames)
    reader.frames.clear()
    typed = [_empty(), *(_typed(frame) for frame in frames)]
    frames.clear()
    events = in_order(typed)
    controls: list[Control] = sorted([*reader.controls, *holes], key=lambda control: (control.t, repr(control)))
    metas = [control for control in controls if isinstance(control, Meta)]
    found = tuple(control for control in controls if isinstance(control, Hole))
    hunts = [control for control in controls if isinstance(control, Canary)] if hunted is None else [hunted]
    return History(
        events=events,
        ids=ids,
        own=bool(metas) and metas[-1].profile != FOREIGN,
        plans=tuple(control for control in controls if isinstance(control, Plan)),
        faults=tuple(control for control in controls if isinstance(control, Fault)),
        phases=tuple(control for control in controls if isinstance(control, Phase)),
        holes=found,
        machine=tuple(control for control in controls if isinstance(control, Machine)),
        sends=tuple(control for control in controls if isinstance(control, Sends)),
        unknown_kinds=dict(sorted(reader.unknown.items())),
        has_meta=bool(metas),
        canary=hunts[-1] if hunts else None,
        meta=metas[-1] if metas else Meta(),
    )


def in_order(parts: list[pl.DataFrame]) -> pl.DataFrame:
    """Return events of several frames by ORDER, nulls last; `parts` is empty afterwards.

    Only events that share their time are compared by all columns.
    """
    events = pl.concat(parts)
    parts.clear()
    events = events.sort("t")
    times = events["t"]
    same = (times == times.shift(1)).fill_null(value=False)
    tied = same | same.shift(-1, fill_value=False)
    if not tied.any():
        return events
    compared = events.filter(tied).sort(*ORDER, nulls_last=True)
    return pl.concat([events.filter(~tied), compared]).sort("t", maintain_order=True)


def _empty() -> pl.DataFrame:
    return pl.DataFrame(schema=SCHEMA)


def _typed(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the frame with all columns of SCHEMA, in its order."""
    missing = [pl.lit(None, dtype=dtype).alias(name) for name, dtype in SCHEMA.items() if name not in frame.columns]
    return frame.with_columns(pl.col("e").cat.to(EVENT), *missing).select(list(SCHEMA))
