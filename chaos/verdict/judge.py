"""Judges a history: runs the checks and combines the results. Deterministic: the same history gives the same bytes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import polars as pl

from chaos.verdict.bulk.condensed import Condensed, InMemory, condense
from chaos.verdict.bulk.run import run_in_blocks
from chaos.verdict.checks import CHECKS, QUICK, chosen, clocks, latency, machine
from chaos.verdict.finding import Finding
from chaos.verdict.history.history import History, HistoryError, load_run
from chaos.verdict.model import Counts, Latency, Verdict, exit_status, printable, total
from chaos.verdict.percentiles import summarise
from chaos.verdict.relations.base import MESSAGE
from chaos.verdict.relations.facts import Facts, facts_of
from load.history.control import CONTROL_NAMES, Bounds

__all__ = ["exit_status", "judge", "judge_run"]


TIMED: Final = ("catch_up", "liveness", "push", "presence", "receipts", "latency", "felt", "answers", "goodput")
"""Checks that accuse by durations: if the clocks cannot be believed, they prove nothing."""
BY_EVIDENCE: Final = ("duplicates", "order", "causal", "latency", "felt")
"""Checks that accuse only by recorded events: an event missing under a misspelled name changes nothing."""
EXCUSES: Final = tuple(name for name in CONTROL_NAMES if name not in ("hole", "canary"))
"""Lines that excuse or bound durations, and nothing else."""
COUNTED: Final = ("acked_lost", "duplicates", "order", "gaps_forks", "phantoms", "leaks")
"""Checks whose anomalies the verdict counts."""


def judge(history: History, *, checks: Collection[str] | None = None, by_blocks: bool = True) -> Verdict:
    """Return the verdict: invalid if any check is, else unknown if any is, else valid.

    `checks` are the checks to judge by; None means those that the history's meta line names, or all. Anomalies are
    counted in any case. `by_blocks` False: judge everything row by row, which gives the same verdict. Raises
    HistoryError if the meta line names a check that does not exist.
    """
    bulk = condense(InMemory(history)) if by_blocks else None
    return _judge(history, bulk, lambda: history, checks)


def judge_run(run_dir: Path) -> Verdict:
    """Return the verdict on one of our runs, whose history may be larger than the memory. Raises HistoryError.

    The whole history is loaded only if it is not one that can be judged in blocks, or if a check must see every row.
    """
    source = run_in_blocks(run_dir)
    bulk = None if source is None else condense(source)
    if bulk is None:
        return judge(load_run(run_dir), by_blocks=False)
    return _judge(bulk.rest, bulk, functools.cache(lambda: load_run(run_dir)), None)


def _judge(
    history: History, bulk: Condensed | None, whole: Callable[[], History], checks: Collection[str] | None
) -> Verdict:
    """`history`: its control data, and at least the rest of its events; `whole` returns all events."""
    meta = history.meta
    try:
        wanted = chosen(meta.checks if checks is None else checks)
    except KeyError as error:
        raise HistoryError(f"the meta line names a check {error}; there are {', '.join(CHECKS)}") from None
    needed = {*wanted, *COUNTED, clocks.NAME, machine.NAME}
    findings = {name: _found(name, bulk, whole) for name in CHECKS if name in needed}
    history = history if bulk is None else bulk.rest
    judged = _with_doubt(history, [findings[name] for name in wanted], findings)
    span_s = (history.last_ns - history.first_ns) / 1e9
    return Verdict(
        verdict=total([finding.verdict for finding in judged]),
        experiment=printable(meta.experiment),
        profile=printable(meta.profile),
        variant=None if meta.variant is None else printable(meta.variant),
        seed=meta.seed,
        duration_s=round(span_s if meta.duration_s is None else meta.duration_s, 3),
        counts=_counts(history, findings, bulk),
        latency_ms=Latency(
            steady=summarise(latency.steady(history)["latency_ns"]),
            all=summarise(facts_of(history).samples["latency_ns"]),
        ),
        faults=facts_of(history).windows.results(),
        checks=tuple(finding.result for finding in judged),
        provenance={printable(name): printable(text) for name, text in meta.provenance.items()},
        unknown_kinds={printable(kind): number for kind, number in history.unknown_kinds.items()},
        notes=tuple(printable(note) for note in (*history.unknown_notes, *_narrowed(history, wanted))),
    )


def _with_doubt(history: History, findings: list[Finding], everything: dict[str, Finding]) -> list[Finding]:
    """The findings; an accusation that rests on what cannot be believed is unknown."""
    clock, excuse = everything[clocks.NAME], machine.excuse(history)
    doubted = []
    for finding in findings:
        doubt = ""
        missing = next((kind for kind, known in history.misspelled.items() if _rests_on(finding.name, known)), None)
        if finding.verdict == "invalid" and missing is not None:
            doubt = f"lines may be missing under the unknown kind {missing!r}"
        elif finding.verdict == "invalid" and history.twins and finding.name not in BY_EVIDENCE:
            doubt = "some ids occur as numbers and as text, see vacuity"
        elif (
            finding.verdict == "invalid"
            and clock.verdict != "valid"
            and (finding.name in TIMED or finding.between_clocks)
        ):
            doubt = "the clocks cannot be believed, see clocks"
        elif finding.verdict == "invalid" and finding.tardy and excuse:
            doubt = f"the machine was not fit for it, see machine: {excuse}"
        doubted.append(replace(finding, verdict="unknown", detail=f"{finding.detail}; {doubt}") if doubt else finding)
    return doubted


def _rests_on(check: str, kind: str) -> bool:
    """Return True if what a check accuses of may be wrong where lines of a known kind are missing."""
    return check in TIMED if kind in EXCUSES else check not in BY_EVIDENCE


def _narrowed(history: History, wanted: Collection[str]) -> Iterator[str]:
    """Yield a line for each check that the meta line leaves out and each bound that it relaxes, and for phases."""
    if left_out := [name for name in CHECKS if name not in wanted]:
        yield f"not judged, as the meta line names other checks: {', '.join(left_out)}"
    if history.phases and not history.own:
        start_s, end_s = ((at - history.first_ns) / 1e9 for at in (history.start_ns, history.end_ns))
        yield f"phases narrow what is judged to {start_s:,.3f} s to {end_s:,.3f} s after the first event"
    usual = Bounds()
    for name in Bounds.__struct_fields__:
        bound, normal = getattr(history.bounds, name), getattr(usual, name)
        if normal is None:
            if bound is not None:
                yield f"the meta line sets {name} to {bound:g}; usual is none"
        elif (bound < normal) if name.startswith("min_") else (bound > normal):
            yield f"the meta line sets {name} to {bound:g}; usual is {normal:g}"


def _found(name: str, bulk: Condensed | None, whole: Callable[[], History]) -> Finding:
    quick = QUICK.get(name)
    finding = quick(bulk) if bulk is not None and quick is not None else None
    return CHECKS[name](whole()) if finding is None else finding


def _counts(history: History, findings: dict[str, Finding], bulk: Condensed | None) -> Counts:
    facts = facts_of(history)
    acked = facts.sends.join(facts.acks, on=MESSAGE, how="semi").height
    open_ = facts.indeterminate.height
    expected = _expected(facts) if bulk is None else bulk.totals.expected
    return Counts(
        devices=len(facts.devices),
        sends_invoked=facts.sends.height,
        sends_acked=acked,
        sends_failed=facts.sends.height - acked - open_,
        sends_indeterminate=open_,
        deliveries_expected=expected,
        deliveries=facts.delivered,
        lost=findings["acked_lost"].anomalies,
        duplicates=findings["duplicates"].anomalies,
        reordered=findings["order"].anomalies,
        gaps=findings["gaps_forks"].anomalies,
        phantoms=findings["phantoms"].anomalies,
        leaks=findings["leaks"].anomalies,
        refusals=facts.of("nack").filter(pl.col("arg") != 1).height,
    )


def _expected(facts: Facts) -> int:
    expected = 0
    for part in facts.acked_readers():
        others = part.filter(pl.col("reader") != pl.col("device"), pl.col("gone").is_null())
        expected += others.select("reader", *MESSAGE).unique().height
    return expected
