"""Tables and plots over time that a command shows: on the terminal, and on a page that dashboards/sheet.py draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Graph(NamedTuple):
    """Lines over time. `lines`: name -> a value a step; at most three."""

    key: str
    title: str
    unit: str
    lines: Mapping[str, Sequence[float]]
    step_s: float = 1.0
    log: bool = False
    fault_s: tuple[float, float] | None = None
    """The time to shade."""


class Bars(NamedTuple):
    """A bar a value, of one quantity: name -> value, none below 0."""

    title: str
    bars: Mapping[str, float]


class Table(NamedTuple):
    """Rows of texts; the first column heads its row."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""


class Section(NamedTuple):
    """A titled part of the page."""

    key: str
    title: str
    lead: str
    tables: Sequence[Table] = ()
    graphs: Sequence[Graph] = ()
    bars: Sequence[Bars] = ()
