"""When the machine itself was in the way: others took the cores, or a process of the swarm woke too late."""

from __future__ import annotations

from typing import Final

from chaos.verdict.history.history import History
from chaos.verdict.relations.base import SECOND
from load.history.control import Machine

RUNNER: Final = "runner"
FULL: Final = 0.9
"""Share of the cores' time from which a second counts as full: processes wait for a core."""
THEIRS: Final = 0.1
"""Share of the cores' time from which other programs have a part in a full second. The daemons of a quiet machine need
less than 0.03 (2 cores, 2026-11-30)."""


def is_full(line: Machine) -> bool:
    """Return True if the cores were full in this time, and others had a part in it."""
    room_s = line.cores * line.span_s
    theirs_s = line.others_s + line.steal_s
    return theirs_s + line.own_s >= FULL * room_s and theirs_s >= THEIRS * room_s


def began_ns(line: Machine) -> float:
    """Return when the time of the line began."""
    return line.t - line.span_s * SECOND


def full_spans(history: History) -> list[tuple[float, float]]:
    """Return the times (ns) that were full, each with the second after it: what waited then goes on waiting."""
    spans: list[tuple[float, float]] = []
    for line in sorted((line for line in history.machine if line.cores and is_full(line)), key=began_ns):
        start, end = began_ns(line), float(line.t + SECOND)
        if spans and start <= spans[-1][1]:
            start, end = spans[-1][0], max(end, spans.pop()[1])
        spans.append((start, end))
    return spans


def lost_s(history: History, start_ns: float, end_ns: float) -> float:
    """Return the seconds between the two times in which the cores were full, and the swarm's longest stall.

    So much of what was late then may be the machine's doing.
    """
    lines = [line for line in history.machine if line.t > start_ns and began_ns(line) < end_ns]
    full_ns = sum(min(line.t, end_ns) - max(began_ns(line), start_ns) for line in lines if line.cores and is_full(line))
    stalls_s = [stall for line in lines if line.process != RUNNER for stall in line.stalls_s]
    return full_ns / SECOND + max(stalls_s, default=0.0)
