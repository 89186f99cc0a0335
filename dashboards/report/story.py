"""One counterexample as a table: a row per time, a column per device, every event of the message.

The events come from chaos.verdict.story. This module adds the faults of the run and the connections of the devices
shown. A group may have hundreds of devices. The sender and those that the counterexample names come first, some others
follow for comparison, and the rest is counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import polars as pl

from chaos.verdict.history.history import History
from chaos.verdict.model import Counterexample, Id, Verdict
from chaos.verdict.story import Step, story_of
from dashboards.report.figures import label_of
from dashboards.report.wording import thousands

MAX_COLUMNS = 5
MAX_ROWS = 120
MAX_LISTED = 6
"""Maximum number of consecutive membership changes that are listed one by one."""
AT_ONCE_S = 0.05
"""Seconds. A display this soon after the arrival is merged with it."""
MARGIN_S = 1.0
"""Seconds before the first and after the last event of the message in which faults and connections are shown."""


@dataclass(frozen=True, kw_only=True)
class StoryRow:
    """One event: a cell per column or, for an event of the whole system, one text across all columns."""

    time: str
    since: str
    """Time since the message was sent."""
    kind: str
    cells: Sequence[str] = ()
    world: str = ""


@dataclass(frozen=True, kw_only=True)
class StoryTable:
    """The story of one message as a table."""

    check: str
    text: str
    caption: str
    columns: Sequence[str]
    rows: Sequence[StoryRow]
    notes: Sequence[str]


def stories(verdict: Verdict, history: History, *, most: int, a_check: int = 3) -> list[StoryTable]:
    """Return the stories of the first counterexamples of each invalid check: `a_check` of one, `most` in all.

    A message that several checks complain of is told once, for the first of them.
    """
    found: list[StoryTable] = []
    told: set[tuple[str, Id, Id]] = set()
    for check in verdict.checks:
        left = min(a_check, most - len(found)) if check.verdict == "invalid" else 0
        for example in check.counterexamples:
            if left <= 0 or example.conv is None:
                break
            named = {("msg", example.conv, example.msg), ("seq", example.conv, example.seq)}
            subjects = {(kind, conv, of) for kind, conv, of in named if of is not None}
            if not subjects & told and (steps := story_of(history, example)):
                found.append(_table(check.name, example, steps, verdict, history))
                left -= 1
                told |= subjects
    return found


def _table(check: str, example: Counterexample, steps: list[Step], verdict: Verdict, history: History) -> StoryTable:
    columns = _columns(example, steps)
    sent_s = next((step.t_s for step in steps if step.event == "send"), None)
    shown = [step for step in steps if step.device is None or step.device in columns]
    told = list(_condensed(_marked(example, shown)))
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
    """Return the devices shown: the sender, those that the counterexample names, then others by their first event."""
    senders = [step.device for step in steps if step.event == "send"]
    acting = [step.device for step in steps]
    ordered = dict.fromkeys(device for device in (*senders, *example.devices, *acting) if device is not None)
    return list(ordered)[:MAX_COLUMNS]


def _column_name(device: Id, steps: list[Step]) -> str:
    sender = any(step.device == device and step.event == "send" for step in steps)
    return f"device {device}" + (" (sender)" if sender else "")


def _marked(example: Counterexample, steps: list[Step]) -> list[Step]:
    """Mark the read-backs of named devices that are complete and lack the message."""
    has_it = {step.device for step in steps if step.event == "final"}
    lacks_it = set(example.devices) - has_it if example.msg is not None else set()
    return [
        step._replace(event="missing", text=f"{step.text}, and this message is not in it")
        if step.event == "final_done" and step.device in lacks_it
        else step
        for step in steps
    ]


def _condensed(steps: list[Step]) -> Iterator[Step]:
    """Merge a display right after its arrival, and drop the end of a read-back that had the message."""
    has_it = {step.device for step in steps if step.event == "final"}
    arrived_at: dict[Id | None, int] = {}
    shown_at: dict[int, int] = {}
    for place, step in enumerate(steps):
        if step.event == "wire":
            arrived_at[step.device] = place
        elif step.event == "show" and step.device in arrived_at:
            arrival = arrived_at.pop(step.device)
            same = step.text == steps[arrival].text.replace("received", "showed", 1)
            if same and step.t_s - steps[arrival].t_s <= AT_ONCE_S:
                shown_at[arrival] = place
    told = set(shown_at.values())
    for place, step in enumerate(steps):
        if place in told or (step.event == "final_done" and step.device in has_it):
            continue
        both = place in shown_at
        yield step._replace(text=step.text.replace("received", "received and showed", 1)) if both else step


def _span(steps: list[Step]) -> tuple[float, float]:
    """Return the time range of the message in s, without memberships (older) and read-backs (much later)."""
    own = [step.t_s for step in steps if step.event in {"send", "ack", "nack", "wire", "show"}]
    return (min(own) - MARGIN_S, max(own) + MARGIN_S) if own else (steps[0].t_s, steps[-1].t_s)


def _faults(verdict: Verdict, steps: list[Step]) -> Iterator[Step]:
    """Yield the faults in the time range, as steps without a device; for a lost message, until the loss was found."""
    begin, end = _span(steps)
    end = max([end, *(step.t_s for step in steps if step.event == "missing")])
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
    """Yield the connection events of the shown devices in the time range."""
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
    for event, group in groupby(steps, key=lambda step: step.event):
        run = list(group)
        if event == "member" and len(run) > 1:
            listed = "; ".join(step.text for step in run[:MAX_LISTED])
            more = f"; and {thousands(len(run) - MAX_LISTED)} more" if len(run) > MAX_LISTED else ""
            run = [run[0]._replace(text=listed + more)]
        for together in [run] if event == "final" else [[step] for step in run]:
            first = together[0]
            texts = {step.device: _text(step, example) for step in together}
            is_world = first.device is None
            told_since = sent_s is not None and event not in {"member", "fault"}
            yield StoryRow(
                time=f"{first.t_s:,.3f} s",
                since=_since(first.t_s - (sent_s or 0)) if told_since else "",
                kind=event,
                cells=() if is_world else [texts.get(device, "") for device in columns],
                world=texts[None] if is_world else "",
            )


def _text(step: Step, example: Counterexample) -> str:
    """Return the step in words, without the names that the table's caption has."""
    if step.device is not None:
        return step.text.replace(f"message {example.msg}", "it")
    creation, conv = f" to conversation {example.conv} by 0", f"conversation {example.conv}"
    return step.text.replace(creation, " at the creation").replace(conv, "it")


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
