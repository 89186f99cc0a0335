"""Draws a story as a page that plays, and what all stories of a run showed as one printed page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from markupsafe import Markup

from chaos.verdict.model import Verdict
from dashboards.report import write
from dashboards.report.svg import tag
from dashboards.walkthrough.recorded import span
from dashboards.walkthrough.story import Frame, Story

LANE: Final = 150.0
ROW: Final = 46.0
TOP: Final = 30.0
MARGIN: Final = 80.0
LONG: Final = 15
"""A name of a lane with more characters is printed smaller."""


@dataclass(frozen=True, kw_only=True)
class StepView:
    """One step, ready to print."""

    number: int
    at: str
    where: str
    title: str
    text: str
    frame: Frame | None
    source: str
    bad: bool


@dataclass(frozen=True, kw_only=True)
class Page:
    """The values of explain.html.j2."""

    story: Story
    run: str
    head: Markup
    picture: Markup
    width: float
    steps: Sequence[StepView]


@dataclass(frozen=True, kw_only=True)
class CheatSheet:
    """The values of cheatsheet.html.j2."""

    run: str
    verdict: Verdict
    stories: Sequence[Story]
    missing: Sequence[tuple[str, str]]
    """Topics that the run does not have, and why."""


def explain(path: Path, story: Story, verdict: Verdict) -> Path:
    """Write the page of a story, whole or not at all, and return its path. Raises OSError."""
    width = 2 * MARGIN + LANE * (len(story.lanes) - 1)
    page = Page(
        story=story,
        run=run_of(verdict),
        head=_head(story, width),
        picture=_picture(story, width),
        width=width,
        steps=views(story),
    )
    return write(path, "explain.html.j2", page)


def cheat_sheet(path: Path, verdict: Verdict, stories: Sequence[Story], missing: Sequence[tuple[str, str]]) -> Path:
    """Write the printed page, whole or not at all, and return its path. Raises OSError."""
    return write(
        path, "cheatsheet.html.j2", CheatSheet(run=run_of(verdict), verdict=verdict, stories=stories, missing=missing)
    )


def run_of(verdict: Verdict) -> str:
    """Return the run in a few words."""
    variant = f", variant {verdict.variant}" if verdict.variant else ""
    return f"{verdict.experiment}, profile {verdict.profile}{variant}, seed {verdict.seed}: {verdict.verdict}"


def views(story: Story) -> list[StepView]:
    """Return the steps as they are told, with the time since the first one."""
    begin_ns = story.steps[0].t_ns
    return [
        StepView(
            number=number,
            at=f"+{span((step.t_ns - begin_ns) / 1e9)}",
            where=step.start if step.start == step.stop else f"{step.start} → {step.stop}",
            title=step.title,
            text=step.text,
            frame=step.frame,
            source=step.source,
            bad=step.bad,
        )
        for number, step in enumerate(story.steps, 1)
    ]


def _x(story: Story, name: str) -> float:
    return MARGIN + LANE * [lane.name for lane in story.lanes].index(name)


def _head(story: Story, width: float) -> Markup:
    """Return the names above the lanes; they stay in sight while the picture is scrolled."""
    parts = []
    for lane in story.lanes:
        x = _x(story, lane.name)
        parts.append(tag("rect", class_=f"lane-box {lane.kind}", x=x - 68, y=4.0, width=136.0, height=30.0, rx=8.0))
        size = "lane-text long" if len(lane.name) > LONG else "lane-text"
        parts.append(tag("text", lane.name, class_=size, x=x, y=24.0))
    return tag("svg", *parts, viewBox=f"0 0 {width:g} 38", aria_hidden="true")


def _picture(story: Story, width: float) -> Markup:
    height = TOP + ROW * len(story.steps)
    rails = [
        tag("line", class_=f"rail {lane.kind}", x1=x, x2=x, y1=0.0, y2=height)
        for lane in story.lanes
        for x in [_x(story, lane.name)]
    ]
    arrows = []
    for number, step in enumerate(story.steps):
        y = TOP + ROW * number
        start, stop = _x(story, step.start), _x(story, step.stop)
        shape, label = _arrow(start, stop, y)
        word = tag("text", step.title, class_="step-text", x=label, y=y - (11 if start == stop else 6))
        name = "step bad" if step.bad else "step"
        arrows.append(tag("g", shape, word, class_=name, data_from=start, data_to=stop, data_y=y))
    return tag(
        "svg", tag("title", story.title), tag("desc", f"{len(story.steps)} steps; the table below tells them."),
        *rails, *arrows, tag("circle", class_="token", r=7.0, cx=-20.0, cy=-20.0),
        viewBox=f"0 0 {width:g} {height:g}", role="img",
    )  # fmt: skip


def _arrow(start: float, stop: float, y: float) -> tuple[Markup, float]:
    """Return an arrow, or a dot for a step at one lane, and the middle of its label."""
    if start == stop:
        return tag("circle", class_="spot", cx=start, cy=y, r=6.0), start
    tip = 9.0 if stop > start else -9.0
    line = tag("line", class_="arrow", x1=start, x2=stop - tip, y1=y, y2=y)
    head = tag("path", class_="tip", d=f"M{stop:g} {y:g}l{-tip:g} -5v10z")
    return line + head, (start + stop) / 2
