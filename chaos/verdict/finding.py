"""The result of a check, and the words that all checks use to describe an anomaly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import polars as pl

from chaos.verdict.history.history import History
from chaos.verdict.model import CheckResult, Counterexample, Outcome, printable

MAX_COUNTEREXAMPLES: Final = 10
"""How many anomalies of a check are described in full; all are counted."""
MAX_DEVICES: Final = 20
"""How many devices a counterexample lists at most."""
Row = dict[str, Any]
"""A row of a frame: column name -> value."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A check's result, and how many anomalies it counted."""

    name: str
    verdict: Outcome
    detail: str
    counterexamples: tuple[Counterexample, ...] = ()
    anomalies: int = 0
    tardy: bool = False
    """Every anomaly is something that came, only too late, or had no time to come because everything was slow (see
    relations/pace.py): a machine that is not fit for the run explains it."""
    between_clocks: bool = False
    """Every anomaly is the order of events on different devices: clocks that cannot be believed explain it."""

    @property
    def result(self) -> CheckResult:
        """The finding as the verdict holds it, with printable texts."""
        examples = tuple(msgspec.structs.replace(e, text=printable(e.text)) for e in self.counterexamples)
        return CheckResult(
            name=self.name, verdict=self.verdict, detail=printable(self.detail), counterexamples=examples
        )


def nothing(name: str) -> Finding:
    """Return a valid finding: the history holds nothing that this check could judge."""
    return Finding(name=name, verdict="valid", detail="nothing to check")


@dataclass(frozen=True)
class Evidence:
    """One kind of anomaly, as rows.

    `text` describes a row in one line; `devices` are the columns with its devices.
    """

    rows: pl.DataFrame
    text: Callable[[Row], str]
    devices: tuple[str, ...] = ("device",)


class Tally:
    """Collects anomalies that come in parts: their number, and the first MAX_COUNTEREXAMPLES of them."""

    def __init__(self, *order: str) -> None:
        """`order`: the columns by which the anomalies are sorted."""
        self._order = order
        self.height = 0
        self.rows = pl.DataFrame()

    def add(self, rows: pl.DataFrame) -> None:
        """Add the anomalies of one part."""
        self.height += rows.height
        if rows.height:
            parts = [self.rows, rows] if self.rows.height else [rows]
            self.rows = pl.concat(parts).sort(*self._order).head(MAX_COUNTEREXAMPLES)


class Words:
    """Names the ids and times of one history in texts for people."""

    def __init__(self, history: History) -> None:
        self._history = history

    def msg(self, row: Row, key: str = "msg") -> str:
        return f"message {self._history.ids.decode('msg', row[key])}"

    def conv(self, row: Row) -> str:
        return f"conversation {self._history.ids.decode('conv', row['conv'])}"

    def place(self, row: Row) -> str:
        """Return a number of a conversation in words: "number 3 of conversation 7"."""
        return f"number {row['seq']} of {self.conv(row)}"

    def device(self, row: Row, key: str = "device") -> str:
        return f"device {self._history.ids.decode('device', row[key])}"

    def user(self, row: Row, key: str = "user") -> str:
        return f"user {self._history.ids.decode('user', row[key])}"

    def devices(self, row: Row, key: str = "device") -> str:
        """Return a list of devices, at most MAX_DEVICES of them by name."""
        ids = [str(self._history.ids.decode("device", value)) for value in row[key][:MAX_DEVICES]]
        more = len(row[key]) - len(ids)
        return f"device{'s' if len(row[key]) != 1 else ''} {', '.join(ids)}" + (f" and {more} more" if more else "")

    def time(self, t: int) -> str:
        """Return a time in s, counted from the start of the steady phase (or the first event)."""
        return f"{(t - self._history.start_ns) / 1e9:.3f} s"

    def at(self, t: int) -> str:
        """Return a time in s, with "at" before it."""
        return f"at {self.time(t)}"

    def tell(self, *evidence: Evidence) -> tuple[Counterexample, ...]:
        """Return the first counterexamples of each kind in turn, MAX_COUNTEREXAMPLES in all.

        The rows must be in a fixed order.
        """
        share = [evidence_.rows.head(MAX_COUNTEREXAMPLES).to_dicts() for evidence_ in evidence]
        told: list[Counterexample] = []
        for place in range(MAX_COUNTEREXAMPLES):
            for kind, rows in zip(evidence, share, strict=True):
                if place < len(rows) and len(told) < MAX_COUNTEREXAMPLES:
                    told.append(self._counterexample(kind, rows[place]))
        return tuple(told)

    def invalid(
        self, name: str, detail: str, *evidence: Evidence, anomalies: int, tardy: bool = False,
        between_clocks: bool = False,
    ) -> Finding:  # fmt: skip
        """The finding of the check `name` that found `anomalies`, with counterexamples of each kind as `tell` picks."""
        return Finding(
            name=name,
            verdict="invalid",
            detail=detail,
            counterexamples=self.tell(*evidence),
            anomalies=anomalies,
            tardy=tardy,
            between_clocks=between_clocks,
        )

    def _counterexample(self, kind: Evidence, row: Row) -> Counterexample:
        ids = self._history.ids
        named: list[int] = []
        for column in kind.devices:
            value = row.get(column)
            named += value if isinstance(value, list) else [] if value is None else [value]
        conv, msg = row.get("conv"), row.get("msg")
        return Counterexample(
            conv=None if conv is None else ids.decode("conv", conv),
            msg=None if msg is None else ids.decode("msg", msg),
            seq=row.get("seq"),
            devices=tuple(ids.decode("device", device) for device in dict.fromkeys(named[:MAX_DEVICES])),
            text=kind.text(row),
        )


def count(number: int, what: str, plural: str = "") -> str:
    """Return a number with its noun: 1 message, 1,234 messages."""
    return f"{number:,} {what if number == 1 else plural or what + 's'}"
