"""machine: the run was as planned, and the machine was fit for it.

Guarantee: the generator kept its schedule, every planned send was made, planned faults came when planned, and no other
program took the cores.
Anomaly: a stopped runner, a generator that is late itself, a machine that is busy with others.
Unknown when any of these fails. This check never says `invalid`.

    {"e":"machine","t":12000000000,"process":"swarm-7","span_s":1,"stalls_s":[0.9]}    it woke 0.9 s too late
    {"e":"sends","t":60000000000,"process":"swarm-7","planned":500,"unsent":89}
    {"e":"fault","fault":"f1","phase":"inject","t":26000000000,..}                      planned 16 s earlier

Decisions. Only our own runs are judged, because others do not record these facts. If the machine, the generator or the
runner was unfit, what is tardy (see Finding) in other checks is unknown too: the machine may have made it late. What is
lost stays lost. Sends that were never made excuse nothing by themselves: a chat system that does not answer holds back
its senders, on a fit machine too. The check looks at the steady phase. It looks at the use of the cores and the
lateness of the generator outside fault windows.
"""

from __future__ import annotations

from typing import Final

from chaos.verdict.bulk.condensed import Condensed
from chaos.verdict.finding import Finding, count, nothing
from chaos.verdict.history.history import History
from chaos.verdict.relations.base import SECOND
from chaos.verdict.relations.busy import RUNNER, began_ns, is_full
from chaos.verdict.relations.facts import facts_of
from chaos.verdict.relations.windows import Window
from load.history.control import Machine

NAME = "machine"
RANK = 905
MAX_TOLD: Final = 4

LATE_PART: Final = 4
"""A generator is late beyond this part of the latency bound: late at both ends, it then takes half of the bound."""
LATE_SHARE: Final = 0.01
"""Largest share of the time in which a generator may be late. More than that can decide a p99."""
FULL_SHARE: Final = 0.1
"""Largest share of the seconds that may be full because of other programs, such as a short backup or build."""
LATE_FAULT_S: Final = 5.0
"""A fault may come this late: as long as it usually waits for its target to be healthy (Fault.arm_timeout_s)."""
STILL_S: Final = 2.0
"""The runner may stand still this long. The shortest holds of the experiments that ship are 1 s: twice that makes
another fault of one."""


def check(history: History) -> Finding:
    """Judge; anomalies are the reasons for doubt."""
    if not history.own or not (history.machine or history.sends or history.meta.manifest):
        return nothing(NAME)
    doubts = _unfit(history) + _sends(history)
    if doubts:
        return Finding(name=NAME, verdict="unknown", detail=_told(doubts), anomalies=len(doubts))
    planned = sum(sends.planned for sends in history.sends)
    theirs = _share([line for line in _calm(history) if line.cores])
    detail = f"{count(planned, 'planned send')} made, others took {100 * theirs:.0f} % of the cores"
    return Finding(name=NAME, verdict="valid", detail=detail)


def excuse(history: History) -> str:
    """Return why what is tardy may be the machine's fault; empty if the run is not ours or nothing says so."""
    return _told(_unfit(history)) if history.own else ""


def quick(bulk: Condensed) -> Finding:
    """Return the finding; the rest of the history has all that this check reads."""
    return check(bulk.rest)


def _unfit(history: History) -> list[str]:
    return _measured(history) + _faults(history) + _runner(history) + _generator(history) + _cores(history)


def _told(doubts: list[str]) -> str:
    more = f"; and {len(doubts) - MAX_TOLD} more" if len(doubts) > MAX_TOLD else ""
    return "; ".join(doubts[:MAX_TOLD]) + more


def _measured(history: History) -> list[str]:
    """Return the measurements that are missing. Older runs, without a manifest, did not have to measure."""
    if not history.meta.manifest:
        return []
    lines = _steady(history)
    swarm = any(line.process != RUNNER for line in lines)
    cores = any(line.cores for line in lines)
    missing = [
        what for what, there in (("the generator's lateness", swarm), ("who used the cores", cores)) if not there
    ]
    return [f"not measured in the steady phase: {' and '.join(missing)}"] if missing else []


def _steady(history: History) -> list[Machine]:
    """What was measured in times that overlap the steady phase."""
    start, end = history.phase("steady"), history.phase("quiesce")
    if start is None:
        return []
    return [line for line in history.machine if line.t > start and (end is None or began_ns(line) < end)]


def _calm(history: History) -> list[Machine]:
    """The lines of the steady phase that no fault window overlaps."""
    spans = facts_of(history).windows.spans()
    return [
        line
        for line in _steady(history)
        if not any(first <= line.t and began_ns(line) <= last for first, last in spans)
    ]


def _faults(history: History) -> list[str]:
    """Faults that struck at another time than planned."""
    steady = history.phase("steady")
    if steady is None:
        return []
    began = {(window.key, place): window.inject_ns for place, window in _numbered(history)}
    doubts, seen = [], dict.fromkeys((key for key, _ in began), 0)
    for plan in sorted(history.plans, key=lambda plan: plan.at_s):
        key = (plan.fault,) if plan.fault else (plan.name, plan.target)
        place = seen.get(key, 0)
        seen[key] = place + 1
        inject_ns = began.get((key, place))
        if inject_ns is None:
            continue  # never injected: for `vacuity`
        late_s = (inject_ns - steady) / SECOND - plan.at_s
        if late_s > LATE_FAULT_S:
            doubts.append(f"{plan.name} on {plan.target} struck {late_s:.1f} s later than planned")
    return doubts


def _numbered(history: History) -> list[tuple[int, Window]]:
    """The windows, each with its place among those of the same key."""
    seen: dict[tuple[str, ...], int] = {}
    found = []
    for window in facts_of(history).windows.all:
        place = seen.get(window.key, 0)
        seen[window.key] = place + 1
        found.append((place, window))
    return found


def _sends(history: History) -> list[str]:
    planned = sum(sends.planned for sends in history.sends)
    unsent = sum(sends.unsent for sends in history.sends)
    return [f"{unsent:,} of {count(planned, 'planned send')} never made"] if unsent else []


def _runner(history: History) -> list[str]:
    """The runner stood still."""
    stalls = [stall for line in _steady(history) if line.process == RUNNER for stall in line.stalls_s]
    longest_s = max(stalls, default=0.0)
    return [f"the runner stood still for {longest_s:.1f} s"] if longest_s > STILL_S else []


def _generator(history: History) -> list[str]:
    """Processes of the swarm that were late themselves."""
    bound_s = history.bounds.latency_ms / 1e3 / LATE_PART
    measured: dict[str, float] = {}
    late: dict[str, float] = {}
    for line in _calm(history):
        if line.process != RUNNER:
            measured[line.process] = measured.get(line.process, 0.0) + line.span_s
            late_s = sum(stall for stall in line.stalls_s if stall > bound_s)
            late[line.process] = late.get(line.process, 0.0) + late_s
    doubts = []
    for process, late_s in late.items():
        if late_s > LATE_SHARE * measured[process]:
            share = 100 * late_s / measured[process]
            doubts.append(f"{process} was itself late by more than {1e3 * bound_s:g} ms in {share:.1f} % of the time")
    return doubts


def _cores(history: History) -> list[str]:
    """Others took the cores."""
    lines = [line for line in _calm(history) if line.cores]
    full = [line for line in lines if is_full(line)]
    if len(full) <= FULL_SHARE * len(lines):
        return []
    share, stolen = 100 * _share(lines), 100 * sum(line.steal_s for line in lines) / _room_s(lines)
    return [
        f"the machine was busy with others: they took {share:.0f} % of the cores (stolen by its host: {stolen:.0f} %), "
        f"and {len(full)} of {count(len(lines), 'second')} were full"
    ]


def _share(lines: list[Machine]) -> float:
    """Share of the cores' time that other programs and the machine's host took."""
    return sum(line.others_s + line.steal_s for line in lines) / _room_s(lines) if lines else 0.0


def _room_s(lines: list[Machine]) -> float:
    return sum(line.cores * line.span_s for line in lines)
