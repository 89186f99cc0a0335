"""A storm of repeats that stays after its cause is gone, and the load from which on it does.

One queue, first come first served, that carries 1 (all numbers are in units of what it carries). For `away_s` it serves
nothing. A message without an answer is repeated after `ack_timeout_s` and then by a backoff that doubles up to a cap;
each repeat is work like the first one. Answered late means that the repeats in the queue are work for nothing. If their
work alone fills the queue, it never becomes shorter: the storm stays.

With admission a message that would wait too long is refused before it reaches the queue, and comes again by a backoff.
Gateways refuse, and have cores of their own; so a refusal costs the queue nothing.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Final

import msgspec
import numpy as np

TICK_S: Final = 0.1
BEFORE_S: Final = 20.0
AFTER_S: Final = 300.0
"""Five times as long as a message is repeated: what has not ended by then does not end."""
HIGHEST: Final = 0.95
"""With more load than this a backlog takes minutes even without repeats."""
CALM_S: Final = 1.0
"""A wait below this is no storm."""
ADMITTED_S: Final = 0.8
"""With more work than this before it a message is refused (sut/gateway/admission.py)."""
STEPS: Final = 7


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """How devices repeat, and whether gateways refuse."""

    ack_timeout_s: float = 2.0
    backoff_base_s: float = 0.2
    backoff_cap_s: float = 5.0
    give_up_s: float = 60.0
    admission: bool = False


class Storm(msgspec.Struct, frozen=True, kw_only=True):
    """What one load led to."""

    load: float
    away_s: float
    stays: bool
    """True if the wait was still long at the end."""
    ended_after_s: float | None
    """Seconds from the end of the outage until waits are short again."""
    highest_wait_s: float
    wait_s: list[float]
    """The mean wait in each second."""
    answered: list[float]
    """New answers in each second, as a share of what the queue carries."""


def repeats_s(rules: Rules) -> list[float]:
    """Return when a message is repeated, in s after its first transmission; waits are the means of full jitter."""
    at_s, times = rules.ack_timeout_s, []
    attempt = 0
    while at_s < rules.give_up_s:
        times.append(at_s)
        at_s += rules.ack_timeout_s + min(rules.backoff_cap_s, rules.backoff_base_s * 2.0**attempt) / 2
        attempt += 1
    return times


def run(load: float, away_s: float, rules: Rules) -> Storm:
    """Return what an outage of `away_s` at this load leads to."""
    ticks = round((BEFORE_S + away_s + AFTER_S) / TICK_S)
    begin, end = round(BEFORE_S / TICK_S), round((BEFORE_S + away_s) / TICK_S)
    unanswered = np.zeros(ticks)
    later = np.zeros(ticks + round(rules.backoff_cap_s / TICK_S) + 1)
    repeats = [round(at_s / TICK_S) for at_s in repeats_s(rules)]
    queue: deque[tuple[int, float]] = deque()
    waiting = 0.0
    waits_s, answers = np.zeros(ticks), np.zeros(ticks)
    for tick in range(ticks):
        carried = 0.0 if begin <= tick < end else TICK_S
        unanswered[tick] = load * TICK_S + later[tick]
        for after in (0, *repeats):
            cohort = tick - after
            if cohort < 0 or unanswered[cohort] <= 1e-12:
                continue
            amount = float(unanswered[cohort])
            if rules.admission and waiting > ADMITTED_S:
                if after == 0:  # not passed on: it comes again as if it were new
                    later[tick + round(rules.backoff_cap_s / 2 / TICK_S)] += amount
                    unanswered[cohort] = 0.0
                continue
            queue.append((cohort, amount))
            waiting += amount
        while queue and carried > 1e-12:
            cohort, amount = queue.popleft()
            done = min(amount, carried)
            carried -= done
            waiting -= done
            fresh = min(done, float(unanswered[cohort]))
            unanswered[cohort] -= fresh
            answers[tick] += fresh
            if done < amount:
                queue.appendleft((cohort, amount - done))
        waits_s[tick] = waiting
    return _storm(load, away_s, waits_s, answers, end)


def _storm(load: float, away_s: float, waits_s: np.ndarray, answers: np.ndarray, end: int) -> Storm:
    per_s = round(1 / TICK_S)
    whole = len(waits_s) // per_s * per_s
    long = np.flatnonzero(waits_s[end:] > CALM_S)
    last = int(long[-1]) if long.size else -1
    behind = float(answers[-10 * per_s :].sum()) < 0.9 * load * 10
    stays = last >= len(waits_s) - end - per_s or behind
    return Storm(
        load=load,
        away_s=away_s,
        stays=stays,
        ended_after_s=None if stays else (last + 1) * TICK_S,
        highest_wait_s=float(waits_s.max()),
        wait_s=waits_s[:whole].reshape(-1, per_s).mean(axis=1).round(3).tolist(),
        answered=answers[:whole].reshape(-1, per_s).sum(axis=1).round(4).tolist(),
    )


def threshold(away_s: float, rules: Rules) -> float:
    """Return the lowest load whose storm stays, to within 1/128; inf if none up to HIGHEST does."""
    low, high = 0.0, HIGHEST
    if not run(high, away_s, rules).stays:
        return math.inf
    for _ in range(STEPS):
        middle = (low + high) / 2
        if run(middle, away_s, rules).stays:
            high = middle
        else:
            low = middle
    return high
