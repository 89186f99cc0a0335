"""One counterexample as a table: time downwards, a column a device, every event of the message where it happened.

The events come from chaos.verdict.story. Added here is what was going on around them: the faults of the run and the
connections of the devices shown. A group may have hundreds of devices: those that the counterexample names and the
sender come first, some others follow as a comparison, the rest is counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import polars as pl

from chaos.verdict.history import History
from chaos.verdict.model import Counterexample, Id, Verdict
from chaos.verdict.story import Step, story_of
from dashboards.report.figures import label_of
from dashboards.report.wording import thousands

MAX_COLUMNS = 7
MAX_ROWS = 120
MAX_LISTED = 6
"""Membership changes told one by one where several follow each other."""
MARGIN_S = 1.0
"""Faults and connections are told from so long before the first event of the message to so long after the last."""


@dataclass(frozen=True, kw_only=True)
class StoryRow:
    """One event: a cell a column, or, if it concerns the whole system, one text across all."""

    time: str
    since: str
    """Time since the message was sent."""
    kind: str
    cells: Sequence[str] = ()
    world: str = ""


@dataclass(frozen=True, kw_only=True)
class StoryTable:
    """The story of one message."""

    check: str
    text: str
    caption: str
    columns: Sequence[str]
    rows: Sequence[StoryRow]
    notes: Sequence[str]


def tell(verdict: Verdict, history: History) -> StoryTable | None:
    """The story of the first counterexample that has one, of the checks that decided against the run; None: no such."""
    for check in verdict.checks:
        if check.verdict != "invalid":
            continue
        for example in check.counterexamples:
            if steps := story_of(history, example):
                return _table(check.name, example, steps, verdict, history)
    return None


def _table(check: str, example: Counterexample, steps: list[Step], verdict: Verdict, history: History) -> StoryTable:
    columns = _columns(example, steps)
    sent_s = next((step.t_s for step in steps if step.event == "send"), None)
    shown = [step for step in steps if step.device is None or step.device in columns]
    told = _marked(example, shown)
    around = [*_faults(verdict, told), *_connections(history, columns, told)]
    ordered = sorted([*told, *around], key=lambda step: step.t_s)
    rows = list(_rows(ordered, columns, example, sent_s=sent_s))
    return StoryTable(
        check=check,
        text=example.text,
        caption=_caption(example),
        columns=[_column_name(device, steps) for device in columns],
        rows=rows[:MAX_ROWS],
        notes=[*_others(steps, columns), *_left_out(rows)],
    )


def _columns(example: Counterexample, steps: list[Step]) -> list[Id]:
    """The devices shown: the sender, those that the counterexample names, then by their first event."""
    senders = [step.device for step in steps if step.event == "send"]
    acting = [step.device for step in steps]
    ordered = dict.fromkeys(device for device in (*senders, *example.devices, *acting) if device is not None)
    return list(ordered)[:MAX_COLUMNS]


def _column_name(device: Id, steps: list[Step]) -> str:
    sender = any(step.device == device and step.event == "send" for step in steps)
    return f"device {device}" + (" (sender)" if sender else "")


def _marked(example: Counterexample, steps: list[Step]) -> list[Step]:
    """Say where a complete read-back passed the message's number without it."""
    if example.seq is None or example.msg is None:
        return steps
    has_it = {step.device for step in steps if step.event == "final"}
    return [
        step._replace(event="missing", text=f"{step.text}, and this message is not in it")
        if step.event == "final_done" and step.device not in has_it
        else step
        for step in steps
    ]


def _span(steps: list[Step]) -> tuple[float, float]:
    """The time of the message itself: memberships are older, read-backs may be much later."""
    own = [step.t_s for step in steps if step.event in {"send", "ack", "nack", "wire", "show"}]
    return (min(own) - MARGIN_S, max(own) + MARGIN_S) if own else (steps[0].t_s, steps[-1].t_s)


def _faults(verdict: Verdict, steps: list[Step]) -> Iterator[Step]:
    """The faults that were in force or healed about then, as steps of no device."""
    begin, end = _span(steps)
    for place, fault in enumerate(verdict.faults):
        start, stop = fault.injected_at_s, fault.healed_at_s
        if start is None or start > end or (stop is not None and stop + (fault.recovery_s or 0) < begin):
            continue
        name = f"{label_of(place)} {fault.name} {fault.target}"
        yield Step(t_s=start, device=None, event="fault", text=f"{name}: injected")
        if stop is not None:
            yield Step(
                t_s=stop, device=None, event="fault", text=f"{name}: {'healed' if fault.healed else 'heal tried'}"
            )


def _connections(history: History, columns: list[Id], steps: list[Step]) -> Iterator[Step]:
    """When the shown devices went and came about then."""
    begin, end = (history.start_ns + round(t_s * 1e9) for t_s in _span(steps))
    codes = {history.ids.encode("device", device): device for device in columns}
    found = history.events.filter(
        pl.col("e").is_in(["online", "offline"])
        & pl.col("device").is_in([code for code in codes if code is not None])
        & pl.col("t").is_between(begin, end)
    )
    for kind, t, device, planned in found.select("e", "t", "device", "arg").head(MAX_ROWS).iter_rows():
        text = "online" if kind == "online" else "offline, as planned" if planned else "connection lost"
        yield Step(t_s=(t - history.start_ns) / 1e9, device=codes[device], event=kind, text=text)


def _rows(steps: list[Step], columns: list[Id], example: Counterexample, *, sent_s: float | None) -> Iterator[StoryRow]:
    name = f"message {example.msg}"
    for (event, is_world), group in groupby(steps, key=lambda step: (step.event, step.device is None)):
        run = list(group)
        if is_world and event == "member" and len(run) > 1:
            listed = "; ".join(step.text for step in run[:MAX_LISTED])
            more = f"; and {thousands(len(run) - MAX_LISTED)} more" if len(run) > MAX_LISTED else ""
            run = [run[0]._replace(text=listed + more)]
        for step in run:
            text = step.text if is_world else step.text.replace(name, "it")
            yield StoryRow(
                time=f"{step.t_s:,.3f} s",
                since="" if sent_s is None or event in {"member", "fault"} else _since(step.t_s - sent_s),
                kind=event,
                cells=() if is_world else [text if device == step.device else "" for device in columns],
                world=text if is_world else "",
            )


def _since(span_s: float) -> str:
    return f"{span_s:+,.1f} s" if abs(span_s) >= 10 else f"{span_s * 1000:+,.1f} ms"


def _caption(example: Counterexample) -> str:
    named = [(f"message {example.msg}", example.msg), (f"conversation {example.conv}", example.conv)]
    parts = [text for text, there in named if there is not None]
    if example.seq is not None:
        parts.append(f"number {example.seq}")
    return ", ".join(parts)


def _others(steps: list[Step], columns: list[Id]) -> list[str]:
    rest = [step for step in steps if step.device is not None and step.device not in columns]
    if not rest:
        return []
    devices = len({step.device for step in rest})
    did = Counter(step.event for step in rest)
    what = ", ".join(f"{_DID.get(event, event)} {thousands(number)}" for event, number in sorted(did.items()))
    return [
        f"Not shown: {thousands(devices)} more device{'s' if devices > 1 else ''} of the conversation. Events: {what}."
    ]


_DID = {"final": "read it back", "final_done": "read all back", "show": "showed it", "wire": "received it"}


def _left_out(rows: list[StoryRow]) -> list[str]:
    return [f"The first {MAX_ROWS} of {thousands(len(rows))} rows are shown."] if len(rows) > MAX_ROWS else []
