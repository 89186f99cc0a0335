"""The latency budget for the page: a table of the hops, and bars that show the hops of deliveries.

A bar shows the hops of the deliveries around one percentile, as shares of their time. So it shows the waits of a
typical and of a slow delivery. Percentiles of single hops are in the table, and do not add up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from dashboards.report.hops import HOPS, MISSING, Budget, Mix, Share, Spread
from dashboards.report.svg import WIDTH, Frame, framed, number, tag
from dashboards.report.wording import NONE, milliseconds, thousands

LABELS = 188.0
TOTALS = 92.0
ROW = 38.0
BAR = 26.0
TEXT_WIDTH = 7.0
"""Approximate width of a character in a bar; a name is drawn only if it fits."""


@dataclass(frozen=True, kw_only=True)
class HopRow:
    """One hop, or the whole delivery: its name and its figures when steady and in fault windows."""

    name: str
    what: str
    own: bool
    values: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class BudgetView:
    """The section of the page. Without rows `problem` gives the reason."""

    every: str
    problem: str
    rows: Sequence[HopRow]
    picture: Markup | None
    faults: bool
    """True if there are columns for fault windows."""
    notes: Sequence[str]


def budget_view(budget: Budget | None) -> BudgetView | None:
    """Return the section for a budget; None leaves the section out."""
    if budget is None:
        return None
    shares = [share for share in (budget.steady, budget.faults) if share is not None]
    rows = [
        HopRow(name=hop.name, what=hop.what, own=hop.own, values=_values(budget, hop.name))
        for hop in HOPS
        if any(share.hops[hop.name].n for share in shares)
    ]
    if shares:
        rows.append(HopRow(name="all", what="from due until it is displayed", own=False, values=_values(budget, None)))
    return BudgetView(
        every=thousands(budget.every),
        problem=budget.problem,
        rows=rows,
        picture=framed(lambda frame: _picture(budget, frame)) if shares else None,
        faults=budget.faults is not None,
        notes=_notes(budget, shares),
    )


def _values(budget: Budget, hop: str | None) -> list[str]:
    values: list[str] = []
    for share in (budget.steady or Share(), *([budget.faults] if budget.faults else [])):
        found = share.end_to_end if hop is None else share.hops.get(hop, Spread())
        values += [*map(milliseconds, (found.p50, found.p99, found.max)), thousands(found.n) if found.n else NONE]
    return values


def _notes(budget: Budget, shares: Sequence[Share]) -> list[str]:
    notes = []
    if budget.traced:
        said = f"{thousands(budget.complete)} of {thousands(budget.traced)} deliveries of traced messages are timed"
        left = [f"{thousands(count)} ({MISSING[moment]})" for moment, count in budget.left_out.items()]
        notes.append(f"{said}; left out: {', '.join(left)}." if left else f"{said}.")
    if shares:
        rest = max(share.rest_ms for share in shares)
        notes.append(f"The hops of a delivery add up to its latency: the largest difference is {rest:.3f} ms.")
    if budget.repeated:
        notes.append(f"{thousands(budget.repeated)} were sent more than once: the attempt that got through is timed.")
    return notes


def _picture(budget: Budget, frame: Frame) -> Markup:
    """Return one bar for each percentile of each share; in a narrow frame its name stands above it."""
    mixes = [
        (f"{name}, around {rank}", mix)
        for name, share in (("Steady", budget.steady), ("Fault windows", budget.faults))
        if share is not None
        for rank, mix in (("p50", share.near_p50), ("p99", share.near_p99))
    ]
    parts: list[Markup] = []
    above, row = frame.name == "narrow", ROW * (1.5 if frame.name == "narrow" else 1)
    for place, (name, mix) in enumerate(mixes):
        middle, total = row * (place + 1) - ROW / 2, f"{milliseconds(mix.total)} ms"
        if above:
            parts.append(tag("text", f"{name}: {total}", class_="strong", x=0.0, y=middle - BAR / 2 - 6))
            parts += _bar(mix, top=middle - BAR / 2, left=0.0, whole=float(frame.width))
        else:
            parts.append(tag("text", name, class_="hop-label", x=LABELS - 10, y=middle + 4))
            parts += _bar(mix, top=middle - BAR / 2, left=LABELS, whole=WIDTH - LABELS - TOTALS)
            parts.append(tag("text", total, class_="strong", x=WIDTH - TOTALS + 10, y=middle + 4))
    said = "; ".join(f"{name} ({milliseconds(mix.total)} ms): {_in_words(mix)}" for name, mix in mixes)
    return tag(
        "svg",
        tag("title", "The hops of deliveries", id=f"hops-{frame.name}-title"),
        tag("desc", said, id=f"hops-{frame.name}-desc"),
        *parts,
        viewBox=f"0 0 {frame.width} {number(row * len(mixes))}", role="img",
        aria_labelledby=f"hops-{frame.name}-title hops-{frame.name}-desc",
    )  # fmt: skip


def _bar(mix: Mix, *, top: float, left: float, whole: float) -> list[Markup]:
    parts: list[Markup] = []
    for place, hop in enumerate(HOPS):
        took = mix.hops.get(hop.name, 0.0)
        width = whole * took / mix.total if mix.total > 0 else 0.0
        if width >= 0.1:
            hover = tag("title", f"{hop.name}: {milliseconds(took)} ms, {took / mix.total:.0%}")
            kind = "own" if hop.own else "odd" if place % 2 else "even"
            parts.append(tag("rect", hover, class_=f"hop {kind}", x=left, y=top, width=width, height=BAR))
            if width > TEXT_WIDTH * len(hop.name) + 6:
                at = "hop-name own" if hop.own else "hop-name"
                parts.append(tag("text", hop.name, class_=at, x=left + width / 2, y=top + BAR / 2 + 4))
        left += width
    return parts


def _in_words(mix: Mix) -> str:
    largest = sorted(mix.hops.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {milliseconds(took)} ms" for name, took in largest if took >= 0.0005)
