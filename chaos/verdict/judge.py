"""Judges a history: runs the checks, adds up, says one word. Deterministic: the same history, the same bytes."""

from __future__ import annotations

from chaos.verdict.checks import CHECKS, latency
from chaos.verdict.finding import Finding
from chaos.verdict.history.history import History, HistoryError
from chaos.verdict.model import Counts, Latency, Verdict, exit_status, total
from chaos.verdict.percentiles import summarise
from chaos.verdict.relations.base import MESSAGE
from chaos.verdict.relations.facts import facts_of

__all__ = ["exit_status", "judge"]


def judge(history: History) -> Verdict:
    """The verdict: invalid if any check is, else unknown if any is, else valid.

    All checks are run, unless the history's meta line names those that the run is judged by. Anomalies are counted in
    any case. Raises HistoryError when the meta line names a check that does not exist.
    """
    meta = history.meta
    wanted = tuple(CHECKS) if meta.checks is None else meta.checks
    for name in wanted:
        if name not in CHECKS:
            raise HistoryError(f"the meta line names a check {name!r}; there are {', '.join(CHECKS)}")
    counted = ("acked_lost", "duplicates", "order", "gaps_forks", "phantoms", "leaks")
    findings = {name: check(history) for name, check in CHECKS.items() if name in wanted or name in counted}
    judged = [finding for name, finding in findings.items() if name in wanted]
    span_s = (history.last_ns - history.first_ns) / 1e9
    return Verdict(
        verdict=total([finding.verdict for finding in judged]),
        experiment=meta.experiment,
        profile=meta.profile,
        variant=meta.variant,
        seed=meta.seed,
        duration_s=round(span_s if meta.duration_s is None else meta.duration_s, 3),
        counts=_counts(history, findings),
        latency_ms=Latency(
            steady=summarise(latency.steady(history)["latency_ns"]),
            all=summarise(facts_of(history).samples["latency_ns"]),
        ),
        faults=facts_of(history).windows.results(),
        checks=tuple(finding.result for finding in judged),
    )


def _counts(history: History, findings: dict[str, Finding]) -> Counts:
    facts = facts_of(history)
    acked = facts.sends.join(facts.acks, on=MESSAGE, how="semi").height
    open_ = facts.indeterminate.height
    expected = facts.acked_readers.filter(facts.acked_readers["reader"] != facts.acked_readers["device"])
    return Counts(
        devices=len(facts.devices),
        sends_invoked=facts.sends.height,
        sends_acked=acked,
        sends_failed=facts.sends.height - acked - open_,
        sends_indeterminate=open_,
        deliveries_expected=expected.select("reader", *MESSAGE).unique().height,
        deliveries=facts.deliveries.height,
        lost=findings["acked_lost"].anomalies,
        duplicates=findings["duplicates"].anomalies,
        reordered=findings["order"].anomalies,
        gaps=findings["gaps_forks"].anomalies,
        phantoms=findings["phantoms"].anomalies,
        leaks=findings["leaks"].anomalies,
    )
