"""`petrel runs`, `petrel report` and `petrel compare`: what has been run, its page, and how two runs differ."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from chaos.cli.command import a_path, as_json, command, run_dir
from chaos.cli.say import fail, note, print_json
from chaos.errors import VALID, UsageError

if TYPE_CHECKING:
    from chaos.run.listing import Listed
    from chaos.verdict.comparison import Run
    from chaos.verdict.history.history import History

WORSE_BY_PERCENT: Final = 50.0
"""The p99 of two runs of `quick` with one build differs by this much (two runs of 2026-11-30: 0.58 to 1.38 times)."""


def _root(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("root", type=a_path, nargs="?", metavar="DIR", help="where the runs are; default: runs")


@command("runs", "list the runs with their verdicts, the newest first", _root, as_json)
def runs(options: argparse.Namespace) -> int:
    """List the runs below a directory."""
    from chaos.run import listing, rundir

    root: Path = options.root or rundir.RUNS
    if options.root is not None and not root.is_dir():
        raise UsageError(f"{root}: no such directory")
    found = listing.runs_in(root)
    if options.json:
        return print_json([_as_json(run) for run in found])
    if not found:
        note(f"no runs in {root}; petrel run quick makes one")
        return VALID
    _print(found)
    return VALID


def _as_json(run: Listed) -> dict[str, object]:
    found = run.verdict
    told = {"run_dir": str(run.path), "ended_at_s": round(run.ended_at_s, 3), "problem": run.problem or None}
    if found is None:
        return {**told, "verdict": None}
    return {
        **told,
        "verdict": found.verdict,
        "experiment": found.experiment,
        "profile": found.profile,
        "variant": found.variant,
        "seed": found.seed,
        "sends_acked": found.counts.sends_acked,
        "p99_ms": found.latency_ms.steady.p99,
    }


def _print(found: list[Listed]) -> None:
    from rich.text import Text

    from chaos.screen.console import for_people, plain_table

    table = plain_table("run", "verdict", "ended", "experiment", "profile", "seed", "acked", "p99, ms", "variant")
    for run in found:
        ended = time.strftime("%Y-%m-%d %H:%M", time.localtime(run.ended_at_s))
        verdict = run.verdict
        if verdict is None:
            table.add_row(Text(str(run.path)), "-", ended, Text(run.problem), "", "", "", "", "")
            continue
        p99 = verdict.latency_ms.steady.p99
        table.add_row(
            Text(str(run.path)), verdict.verdict, ended, Text(verdict.experiment), Text(verdict.profile),
            str(verdict.seed), f"{verdict.counts.sends_acked:,}", "-" if p99 is None else f"{p99:.1f}",
            Text(verdict.variant or ""),
        )  # fmt: skip
    for_people().print(table)


@command("report", "write a run's report.html again, with this version", run_dir)
def report(options: argparse.Namespace) -> int:
    """Judge the history again and write the page."""
    from chaos.run import outcome

    print(outcome.report(options.run_dir, say=note))  # noqa: T201
    return VALID


def _two(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("a", type=a_path, metavar="A", help="the run directory to compare with")
    sub.add_argument("b", type=a_path, metavar="B", help="the run directory that may be worse")
    worse = f"how much higher the p99 of B may be, in percent; default: {WORSE_BY_PERCENT:g}"
    sub.add_argument("--worse-by", type=float, default=WORSE_BY_PERCENT, metavar="P", help=worse)
    sub.add_argument("--page", type=a_path, metavar="FILE", help="write the comparison as a page, too")


@command("compare", "say whether run B is worse than run A: 0 no, 1 yes, 2 that cannot be told", _two, as_json)
def compare(options: argparse.Namespace) -> int:
    """Compare two runs of the same experiment."""
    from chaos.verdict import comparison
    from chaos.verdict.model import STATUS

    if not 0 <= options.worse_by <= 1000:
        raise UsageError(f"--worse-by is from 0 to 1000, not {options.worse_by:g}")
    (a, history_a), (b, history_b) = _loaded(options.a), _loaded(options.b)
    found = comparison.compare(a, b, worse_by=options.worse_by / 100)
    if options.page is not None:
        from dashboards import comparison as page

        try:
            page.render(options.page, found, (a.verdict, history_a), (b.verdict, history_b))
        except OSError as error:
            raise UsageError(f"{options.page}: {error.strerror or os.strerror(error.errno or 0)}") from None
    if options.json:
        print_json(found)
    else:
        _print_figures(found)
    return fail(f"{found.verdict}: {found.why}", STATUS[found.verdict])


def _loaded(path: Path) -> tuple[Run, History]:
    from chaos.run import outcome
    from chaos.verdict.checks import latency
    from chaos.verdict.comparison import Run

    verdict, history = outcome.recorded(path, say=note), outcome.load(path, say=note)
    steady = latency.steady(history).select("due", "latency_ns")
    return Run(run_dir=str(path), verdict=verdict, steady=steady), history


def _print_figures(found: object) -> None:
    from rich.text import Text

    from chaos.screen.console import for_people, plain_table
    from chaos.verdict.comparison import SURE, Comparison
    from dashboards.comparison import row

    assert isinstance(found, Comparison)
    table = plain_table("quantity", "A", "B", "B / A", f"{100 * SURE:g} % interval")
    for quantity in found.figures:
        line = row(quantity)
        table.add_row(
            Text(", ".join(part for part in (line.name, line.of) if part)), line.a, line.b, line.ratio, line.interval
        )
    for_people().print(table)
