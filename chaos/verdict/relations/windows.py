"""The faults of a history: each injection paired with its healing, and the measured recovery time.

A fault's *window* reaches from its injection to its healing plus its recovery. The recovery counts whole seconds after
the healing. It ends at the first second whose deliveries (by due) were shown within the latency bound at p99. A second
in which nothing was due, or another fault was active, proves nothing. `recovery_s` caps the recovery: a delivery that
is late after that counts as late.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain, groupby

import polars as pl

from chaos.verdict.history.history import History
from chaos.verdict.model import FaultResult, Recovery, printable
from chaos.verdict.percentiles import nearest_rank
from chaos.verdict.relations.base import FOREVER, SECOND
from chaos.verdict.relations.felt import due_in, recovery_of
from load.history.control import Fault, Plan


@dataclass(frozen=True, kw_only=True)
class Window:
    """The window of one fault."""

    key: tuple[str, ...]
    """The key that its events share: `fault` if there is one, otherwise name and target."""
    name: str
    target: str
    inject_ns: int | None
    """None: planned and never injected."""
    heal_ns: int | None = None
    effective: bool = False
    healed: bool = False
    evidence: tuple[str, ...] = ()
    recovery_s: float | None = None

    def end_ns(self, cap_s: float) -> int:
        """Return the end of the window in ns; FOREVER if it was never proven healed."""
        if self.heal_ns is None or not self.healed:
            return FOREVER
        recovery_s = cap_s if self.recovery_s is None else self.recovery_s
        return self.heal_ns + round(recovery_s * SECOND)


def _key(event: Fault | Plan) -> tuple[str, ...]:
    return (event.fault,) if event.fault else (event.name, event.target)


def pair(faults: tuple[Fault, ...]) -> list[Window]:
    """Return injections with their healings, by time.

    An injection after a healing begins a new window. A proven healing is final; an unproven one is replaced by the
    next. A healing without an injection is left out. Of the same time, the healing comes first if the fault was on.
    """
    windows: list[Window] = []
    current: dict[tuple[str, ...], int] = {}

    def is_on(key: tuple[str, ...]) -> bool:
        return key in current and windows[current[key]].heal_ns is None

    told = sorted((event for event in faults if event.phase != "skip"), key=lambda event: event.t)
    moments = (list(moment) for _, moment in groupby(told, key=lambda event: event.t))
    for event in chain.from_iterable(
        sorted(moment, key=lambda event: (event.phase == "heal") == (not is_on(_key(event)))) for moment in moments
    ):
        key = _key(event)
        evidence = (event.evidence,) if event.evidence else ()
        place = current.get(key)
        if event.phase == "inject":
            if place is None or windows[place].heal_ns is not None:
                current[key] = len(windows)
                fresh = Window(
                    key=key, name=event.name, target=event.target, inject_ns=event.t, effective=event.ok,
                    evidence=evidence,
                )  # fmt: skip
                windows.append(fresh)
            else:
                old = windows[place]
                windows[place] = replace(old, effective=old.effective or event.ok, evidence=old.evidence + evidence)
        elif place is not None and not windows[place].healed:
            old = windows[place]
            windows[place] = replace(old, heal_ns=event.t, healed=event.ok, evidence=old.evidence + evidence)
    return windows


class Windows:
    """All fault windows of one history."""

    def __init__(self, history: History, samples: pl.DataFrame) -> None:
        """`samples`: the deliveries by which recovery is measured (Facts.samples)."""
        self._history = history
        self._samples = samples
        self._paired = pair(history.faults)

    @cached_property
    def all(self) -> tuple[Window, ...]:
        """Each injected fault, with its recovery, by time."""
        return tuple(self._with_recovery(window) for window in self._paired)

    @cached_property
    def missing(self) -> tuple[Window, ...]:
        """The planned faults that were never injected; if several have one key, the last ones."""
        injected = Counter(window.key for window in self._paired)
        why = {_key(event): event.evidence for event in self._history.faults if event.phase == "skip"}
        missing = []
        for plan in sorted(self._history.plans, key=lambda plan: (plan.at_s, plan.fault)):
            key = _key(plan)
            injected[key] -= 1
            if injected[key] < 0:
                reason = f"never injected: {why[key]}" if why.get(key) else "never injected"
                never = Window(key=key, name=plan.name, target=plan.target, inject_ns=None, evidence=(reason,))
                missing.append(never)
        return tuple(missing)

    @property
    def unhealed(self) -> tuple[Window, ...]:
        """The injected faults that were never proven healed."""
        return tuple(window for window in self._paired if not window.healed)

    @property
    def last_heal_ns(self) -> int | None:
        """Time of the last healing in ns; None if no fault was healed."""
        return max((window.heal_ns for window in self._paired if window.heal_ns is not None), default=None)

    def spans(self, *, lead_ns: int = 0) -> list[tuple[int, int]]:
        """Return (start, end) of each window in ns, by start, with the start `lead_ns` before the injection."""
        cap_s = self._history.bounds.recovery_s
        return sorted((w.inject_ns - lead_ns, w.end_ns(cap_s)) for w in self.all if w.inject_ns is not None)

    def deadline(self, since: pl.Expr, bound_ns: int) -> pl.Expr:
        """Return the end of the bound that counts from `since`, or from the heal of a fault active within it."""
        last = since + bound_ns
        ends = [
            pl.when((pl.lit(w.inject_ns) <= last) & (since < w.heal_ns)).then(w.heal_ns + bound_ns).otherwise(last)
            for w in self._paired
            if w.healed and w.heal_ns is not None
        ]
        return pl.max_horizontal(last, *ends)

    def with_deadline(self, rows: pl.DataFrame, bound_ns: int, *, since: str) -> pl.DataFrame:
        """Return the rows with a column `deadline`: the bound after `since`, in ns.

        It moves to the bound after the end of each window that overlaps the time until it.
        """
        rows = rows.with_columns(deadline=pl.col(since) + bound_ns)
        for first, end in self.spans():  # a step each: one expression of all windows grows threefold with each
            overlaps = (pl.lit(first) <= pl.col("deadline")) & (pl.col(since) < end)
            later = pl.lit(min(end, self._history.last_ns + 1) + bound_ns)  # no session lasts beyond the history
            moved = pl.when(overlaps).then(pl.max_horizontal("deadline", later)).otherwise("deadline")
            rows = rows.with_columns(deadline=moved)
        return rows

    def clear_of(self, rows: pl.DataFrame, *, start: str, end: str) -> pl.DataFrame:
        """Return the rows whose time from column `start` to column `end` overlaps no window."""
        for first, last in self.spans():
            rows = rows.filter((pl.col(end) < first) | (pl.col(start) > last))
        return rows

    @cached_property
    def felt_bounds(self) -> dict[tuple[str, ...], float]:
        """The bounds of the check `felt` in seconds, by the key of the fault; of several with one key the largest."""
        bounds: dict[tuple[str, ...], float] = {}
        for plan in self._history.plans:
            if plan.felt_s is not None:
                bounds[_key(plan)] = max(plan.felt_s, bounds.get(_key(plan), 0.0))
        return bounds

    def felt(self, window: Window) -> pl.DataFrame:
        """Return the deliveries due in an injected fault's window, each with its second (see `felt.due_in`)."""
        assert window.inject_ns is not None
        end_ns, lead_ns = self.felt_end_ns(window), round(self._history.bounds.latency_ms * 1e6)
        return due_in(self._samples, inject_ns=window.inject_ns, end_ns=end_ns, lead_ns=lead_ns)

    def felt_end_ns(self, window: Window) -> int:
        """Return the end of the window, or of what is felt of it: the strike of the next fault after the heal."""
        bounds = self._history.bounds
        end_ns, lead_ns = window.end_ns(bounds.recovery_s), round(bounds.latency_ms * 1e6)
        if window.heal_ns is None:
            return end_ns
        place = bisect_left(self._strikes, window.heal_ns + lead_ns)
        return min(end_ns, self._strikes[place] - lead_ns) if place < len(self._strikes) else end_ns

    @cached_property
    def _strikes(self) -> list[int]:
        return sorted(window.inject_ns for window in self._paired if window.inject_ns is not None)

    def results(self) -> tuple[FaultResult, ...]:
        """Return the faults as the verdict lists them: injected ones by time, then those that were never injected."""
        return tuple(self._result(window) for window in (*self.all, *self.missing))

    def _with_recovery(self, window: Window) -> Window:
        if not window.healed or window.heal_ns is None:
            return replace(window, evidence=(*window.evidence, "not proven healed"))
        bounds, heal_ns = self._history.bounds, window.heal_ns
        lead_ns = round(bounds.latency_ms * 1e6)
        cap_ns = round(bounds.recovery_s * SECOND)
        place = (pl.col("due") - heal_ns) // SECOND
        late = self._samples.filter(pl.col("due").is_between(heal_ns, heal_ns + cap_ns, closed="left"))
        seconds = late.group_by(second=place).agg(p99=nearest_rank(pl.col("latency_ns"), 0.99)).sort("second")
        told = False
        for second, p99_ns in seconds.iter_rows():
            start = heal_ns + second * SECOND
            if any(self._active(other, start, start + SECOND, lead_ns) for other in self._paired if other != window):
                continue
            told = True
            if p99_ns <= lead_ns:
                return replace(window, recovery_s=float(second))
        text = f"not recovered within {bounds.recovery_s:g} s" if told else "nothing was due by which to tell recovery"
        return replace(window, evidence=(*window.evidence, text))

    @staticmethod
    def _active(other: Window, start: int, end: int, lead_ns: int) -> bool:
        """Return True if another fault is active, from its injection to its healing, at some time from start to end."""
        assert other.inject_ns is not None
        until = other.heal_ns if other.heal_ns is not None and other.healed else FOREVER
        return other.inject_ns - lead_ns < end and start < until

    def _result(self, window: Window) -> FaultResult:
        start = self._history.start_ns

        def at_s(t: int | None) -> float | None:
            return None if t is None else round((t - start) / SECOND, 3)

        return FaultResult(
            name=printable(window.name),
            target=printable(window.target),
            injected_at_s=at_s(window.inject_ns),
            healed_at_s=at_s(window.heal_ns),
            effective=window.effective,
            healed=window.healed,
            evidence=printable("; ".join(window.evidence)),
            recovery_s=window.recovery_s,
            recovery=self._felt(window),
        )

    def _felt(self, window: Window) -> Recovery:
        if window.inject_ns is None:
            return Recovery()
        bounds = self._history.bounds
        span_s = (self.felt_end_ns(window) - window.inject_ns) / SECOND
        back = window.recovery_s is not None
        return recovery_of(self.felt(window), span_s=span_s, bound_ns=round(bounds.latency_ms * 1e6), back=back)
