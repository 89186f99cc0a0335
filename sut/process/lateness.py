"""How late the event loop of this process was of late: what a machine costs that has too little time for us.

A process that waits half a second for a core finds its timers due and its answers unread, and so do the others on its
machine. A fixed time limit then ends what would have succeeded, and to do it again costs the time that is short. So
limits on others' answers grow with the own lateness (`slack_s`): who is late itself does not call others dead.

A loop that was late once was stopped for a moment. It counts only if it is late again at once.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final
from weakref import WeakKeyDictionary

from sut.process.metrics.instruments import loop_was_late

SAMPLE_S: Final = 0.1
HALVED_S: Final = 5.0
"""Age in seconds at which an observation counts half."""
SLACK_TIMES: Final = 3.0
"""A question waits for a core here, there, and here again."""
MAX_SLACK_S: Final = 3.0


class Recent:
    """The largest of the values noted, each counting half after HALVED_S. Times in seconds of one clock."""

    __slots__ = ("_at_s", "_value")

    def __init__(self) -> None:
        self._value = self._at_s = 0.0

    def note(self, value: float, now_s: float) -> None:
        if value > self.at(now_s):
            self._value, self._at_s = value, now_s

    def at(self, now_s: float) -> float:
        """Return the largest value as it counts now."""
        return float(self._value * 0.5 ** ((now_s - self._at_s) / HALVED_S)) if self._value else 0.0


class Lateness:
    """How late one loop was of late."""

    __slots__ = ("_before_s", "_recent")

    def __init__(self) -> None:
        self._recent = Recent()
        self._before_s = 0.0

    def note(self, late_s: float, now_s: float) -> None:
        """Note how late a timer of SAMPLE_S was."""
        self._recent.note(min(late_s, self._before_s), now_s)
        self._before_s = late_s

    def slack_s(self, now_s: float) -> float:
        """Return the seconds to add to a time limit."""
        return min(MAX_SLACK_S, SLACK_TIMES * self._recent.at(now_s))


def limit_s(usual_s: float, took_s: float) -> float:
    """Return how long to wait for an answer that usually comes within `usual_s`, if others took `took_s` lately.

    That is twice the time that they took, up to MAX_SLACK_S more than usual.
    """
    return min(max(usual_s, 2 * took_s), usual_s + MAX_SLACK_S)


_OF_LOOP: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, Lateness]] = WeakKeyDictionary()


def slack_s() -> float:
    """Return the seconds that a time limit on an answer of others needs more at the moment, in the running loop.

    The first call begins to measure.
    """
    loop = asyncio.get_running_loop()
    lateness = _OF_LOOP.get(loop)
    if lateness is None:
        lateness = _OF_LOOP[loop] = Lateness()
        _sample(loop, lateness, time.monotonic() + SAMPLE_S)
    return lateness.slack_s(time.monotonic())


def _sample(loop: asyncio.AbstractEventLoop, lateness: Lateness, due_s: float) -> None:
    def due() -> None:
        now_s = time.monotonic()
        late_s = max(0.0, now_s - due_s)
        lateness.note(late_s, now_s)
        loop_was_late(late_s)
        _sample(loop, lateness, now_s + SAMPLE_S)

    loop.call_later(max(0.0, due_s - time.monotonic()), due)
