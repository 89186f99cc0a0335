"""What the system does with three times the load that it carries: it should carry its maximum, and refuse the rest.

First the rate rises step by step until the system does not follow; its maximum is the most messages a second that were
displayed. Then comes a calm time at half of that, then the overload, and 30 s after that the calm time again. Each
device is the client machine of our own devices, which repeats what is refused, later. All runs on this machine.

A point is a multiple of the maximum. The bench says `invalid` where the promise of docs/system.md is broken.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec

from chaos.bench.benches import Bench, Crowd, Judgement, Others, Request, running
from chaos.errors import HarnessError
from load.bench.crowd import Plan
from load.bench.flood import Span, Told
from sut.deploy.system import System

TIMES: Final = (3,)
USERS: Final = 500
FIRST_PER_S: Final = 100.0
RISE: Final = 1.4
STEP_S: Final = 6.0
MAX_STEPS: Final = 16
FOLLOWS: Final = 0.85
"""The share of what was due that a system which carries a rate has displayed by the end of the step."""
CALM: Final = 0.5
CALM_S: Final = 10.0
DURATION_S: Final = 20.0
AFTER_S: Final = 30.0

GOODPUT: Final = 0.9
BOUND_MS: Final = 1000.0
AS_BEFORE: Final = 1.5
AS_BEFORE_MS: Final = 100.0
"""p99 after it may be above the one before by the larger of this and the ratio: two calm times differ as much."""
CROWD_LATE_MS: Final = 1000.0
"""With a crowd as late as this nothing is known: the machine had no time for it."""
OTHERS: Final = 0.2
"""The share of all cores that others may take. More changes the maximum from one second to the next."""
LEAST: Final = 100
"""Messages of a point below which nothing is known."""


class _Flood:
    """A running crowd: call `span` for each time."""

    def __init__(self, crowd: Crowd, system: System, request: Request) -> None:
        self._crowd = crowd
        self._others = Others(system, crowd)
        self._request = request
        self.others = 0.0
        """The share of the cores that others had in the last span."""

    def span(self, rate_per_s: float, duration_s: float) -> Told:
        """Send at this rate for this time. Raises HarnessError."""
        span = Span(rate_per_s=rate_per_s, duration_s=duration_s)
        self._others.share()
        told = msgspec.json.decode(self._crowd.ask(msgspec.json.encode(span).decode()), type=Told)
        self.others = self._others.share()
        self._request.say(
            f"{rate_per_s:,.0f}/s for {duration_s:g} s: {per_s(told):,.0f}/s displayed, p99 {told.p99_ms:,.0f} ms,"
            f" {told.refused:,} refused"
        )
        return told


def run(request: Request) -> Sequence[Mapping[str, float]]:
    """Return a row for the maximum, and for each multiple the rows before, in and after it. Raises HarnessError."""
    with running(request) as system:
        topology = system.topology
        plan = Plan(api_url=topology.api_url, api_key=topology.api_key, users=USERS)
        log = request.directory / "logs" / "crowd.log"
        crowd = Crowd("flood", plan, log=log, module="load.bench.flood")
        try:
            crowd.wait_until_ready()
            flood = _Flood(crowd, system, request)
            highest, others = _maximum(flood)
            rows = [row(1, highest, per_s(highest), others=others)]
            for times in request.points or TIMES:
                rows += _point(flood, times, per_s(highest), request.duration_s or DURATION_S)
            return rows
        finally:
            crowd.close()


def _maximum(flood: _Flood) -> tuple[Told, float]:
    """Return the step with the most messages displayed, and the share of others in it. Raises HarnessError."""
    steps: list[tuple[Told, float]] = []
    rate = FIRST_PER_S
    while len(steps) < MAX_STEPS and (not steps or follows(steps[-1][0])):
        steps.append((flood.span(rate, STEP_S), flood.others))
        rate *= RISE
    best = max(steps, key=lambda step: per_s(step[0]))
    if not best[0].shown:
        raise HarnessError("the crowd displayed nothing")
    return best


def _point(flood: _Flood, times: int, highest_per_s: float, duration_s: float) -> Iterator[Mapping[str, float]]:
    flood.span(0.0, STEP_S)
    calm = CALM * highest_per_s
    yield row(CALM, flood.span(calm, CALM_S), highest_per_s, others=flood.others)
    yield row(times, flood.span(times * highest_per_s, duration_s), highest_per_s, others=flood.others)
    flood.span(calm, AFTER_S)
    yield row(CALM, flood.span(calm, CALM_S), highest_per_s, others=flood.others)


def per_s(told: Told) -> float:
    """Return the messages displayed a second."""
    return told.shown / told.duration_s


def follows(told: Told) -> bool:
    """Return True if the system displayed nearly all that was due, in time."""
    return told.shown >= FOLLOWS * told.wanted and told.p99_ms <= BOUND_MS


def row(times: float, told: Told, highest_per_s: float, *, others: float) -> Mapping[str, float]:
    """Return the figures of one time; `highest_per_s`: the maximum. `others`: their share of the cores."""
    return {
        "times the maximum": times,
        "due/s": told.wanted / told.duration_s,
        "displayed/s": per_s(told),
        "of the maximum": per_s(told) / highest_per_s,
        "p50 ms": told.p50_ms,
        "p99 ms": told.p99_ms,
        "max ms": told.max_ms,
        "ack p99 ms": told.ack_p99_ms,
        "with waits p99 ms": told.felt_p99_ms,
        "refused/s": told.refused / told.duration_s,
        "sent again/s": told.again / told.duration_s,
        "not written": told.withheld,
        "refused for good": told.refused_for_good,
        "given up": told.given_up,
        "violations": told.violations,
        "displayed": told.shown,
        "crowd late ms": told.late_ms,
        "others' share of the cores": others,
    }


def judge(rows: Sequence[Mapping[str, float]]) -> Judgement:
    """Return what the rows say: `unknown` where the crowd was late or did little, else whether the promise holds."""
    if late := [one for one in rows if one["crowd late ms"] > CROWD_LATE_MS]:
        return Judgement(
            "unknown", f"the crowd itself was {late[0]['crowd late ms']:,.0f} ms late: the machine is full"
        )
    if taken := [one for one in rows if one["others' share of the cores"] > OTHERS]:
        share = 100 * taken[0]["others' share of the cores"]
        return Judgement("unknown", f"others took {share:.0f} % of the cores, so the maximum is no measure")
    if any(one["displayed"] < LEAST for one in rows):
        return Judgement("unknown", f"fewer than {LEAST} messages were displayed")
    broken = [text for one in rows for text in _never(one)]
    for before, during, after in zip(rows[1::3], rows[2::3], rows[3::3], strict=True):
        broken += _broken(before, during, after)
    return Judgement("invalid", "; ".join(broken)) if broken else Judgement("valid", "it degrades as promised")


def _never(one: Mapping[str, float]) -> Iterator[str]:
    for name in ("refused for good", "given up", "violations"):
        if one[name]:
            yield f"{one[name]:g} {name} at {one['times the maximum']:g} times the maximum"


def _broken(before: Mapping[str, float], during: Mapping[str, float], after: Mapping[str, float]) -> Iterator[str]:
    times = during["times the maximum"]
    if during["of the maximum"] < GOODPUT:
        yield f"at {times:g} times the maximum {100 * during['of the maximum']:.0f} % of it are carried"
    if during["p99 ms"] >= BOUND_MS:
        yield f"at {times:g} times the maximum p99 of what is taken is {during['p99 ms']:,.0f} ms"
    if after["p99 ms"] > max(AS_BEFORE * before["p99 ms"], before["p99 ms"] + AS_BEFORE_MS):
        yield f"{AFTER_S:g} s later p99 is {after['p99 ms']:,.0f} ms, before {before['p99 ms']:,.0f} ms"
    if after["displayed/s"] < GOODPUT * before["displayed/s"]:
        yield f"{AFTER_S:g} s later {after['displayed/s']:,.0f}/s are displayed, before {before['displayed/s']:,.0f}/s"


BENCH: Final = Bench(summary="more than the system carries", run=run, judge=judge, profiles=("embedded", "cluster"))
