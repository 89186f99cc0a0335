"""Walkthroughs: what happened in one run, step by step, as a page that plays. `explain` makes one of a run's records.

A step is a stamp of a process (RUN_DIR/metrics), an event of a device (RUN_DIR/history) or a fault of the verdict, with
its own time. Nothing is drawn that was not recorded; what a run does not have raises NotThere, which says why.
Imports chaos.verdict, dashboards.report and the frames of sut.protocol.
"""

from __future__ import annotations

from dashboards.walkthrough.pages import cheat_sheet, explain
from dashboards.walkthrough.story import NotThere
from dashboards.walkthrough.topics import TOPICS

__all__ = ["TOPICS", "NotThere", "cheat_sheet", "explain"]
