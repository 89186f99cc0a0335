"""`petrel explain TOPIC RUN_DIR`: what happened in a run, step by step, as a page that plays."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from chaos.cli.command import command, run_dir
from chaos.cli.say import note
from chaos.errors import VALID, UsageError, no_such

EVERY: Final = "all"
SHEET: Final = "cheatsheet"


def _topic(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("topic", metavar="TOPIC", help=f"{EVERY}, {SHEET}, or one topic; a wrong one lists them")


@command("explain", "make a page that plays what happened in a run: a message, a death, a push", _topic, run_dir)
def explain(options: argparse.Namespace) -> int:
    """Write RUN_DIR/explain-TOPIC.html and print its path. `all`: every topic that the run has, and the cheat sheet."""
    from chaos.run import outcome
    from dashboards import walkthrough
    from dashboards.walkthrough.recorded import Recorded

    topics = walkthrough.TOPICS
    wanted: str = options.topic
    if wanted not in (*topics, EVERY, SHEET):
        raise UsageError(no_such("topic", wanted, [*topics, EVERY, SHEET]))
    where: Path = options.run_dir
    verdict, history = outcome.recorded(where, say=note), outcome.load(where, say=note)
    run = Recorded(history, verdict, where)
    stories, missing = [], []
    for name in topics if wanted in (EVERY, SHEET) else [wanted]:
        try:
            stories.append(topics[name](run))
        except walkthrough.NotThere as error:
            if wanted == name:
                raise UsageError(f"{where}: {error}") from None
            missing.append((name, str(error)))
    if not stories:
        raise UsageError(f"{where}: this run has none of the topics: {missing[0][1]}")
    makers: list[tuple[str, Callable[[Path], Path]]] = []
    if wanted != SHEET:
        makers += [(story.topic, partial(walkthrough.explain, story=story, verdict=verdict)) for story in stories]
    if wanted in (EVERY, SHEET):
        sheet = partial(walkthrough.cheat_sheet, verdict=verdict, stories=stories, missing=missing)
        makers.append((SHEET, sheet))
    _write(where, makers)
    for name, why in missing if wanted == EVERY else ():
        note(f"no {name}: {why}")
    return VALID


def _write(where: Path, makers: Sequence[tuple[str, Callable[[Path], Path]]]) -> None:
    from chaos.run import manifest

    for name, make in makers:
        path = where / (f"{name}.html" if name == SHEET else f"explain-{name}.html")
        try:
            make(path)
            manifest.add(where, path)
        except OSError as error:
            raise UsageError(f"{error.filename or path}: {error.strerror}") from None
        print(path)  # noqa: T201
