"""Measures whether this machine is fit for a run: how late a process wakes, and who uses the cores.

Written into the history as `machine` lines, about one a second; the check `machine` says what they mean.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final

import psutil

from load.history.control import STALL_S, Machine
from load.history.writer import now_ns

NAP_S: Final = 0.05
SPAN_S: Final = 1.0
"""Shortest time that one line covers."""


class Stalls:
    """Collects how late a process woke from short sleeps, and writes it about once a second."""

    def __init__(self, process: str, write: Callable[[Machine], None]) -> None:
        self._process = process
        self._write = write
        self._began_s = time.monotonic()
        self._stalls: list[float] = []

    def woke(self, late_s: float) -> bool:
        """Note a wake-up, that much too late. Returns False once nothing can be written any more."""
        now_s = time.monotonic()
        if late_s > STALL_S:
            self._stalls.append(round(late_s, 4))
        if now_s - self._began_s < SPAN_S:
            return True
        span_s = round(now_s - self._began_s, 3)
        try:
            self._write(Machine(t=now_ns(), process=self._process, span_s=span_s, stalls_s=tuple(self._stalls)))
        except OSError:
            return False  # a full disk is told by those who write the history
        self._began_s, self._stalls = now_s, []
        return True


class Beat:
    """Tells how late this process wakes from short sleeps, as a send that is due wakes it."""

    def __init__(self, process: str, write: Callable[[Machine], None], sleep: Callable[[float], None]) -> None:
        self._process = process
        self._write = write
        self._sleep = sleep

    def run(self, until: Callable[[], bool] = lambda: False) -> None:
        """Measure, until that is so, nothing can be written any more, or the thread (or greenlet) ends."""
        stalls, goes_on = Stalls(self._process, self._write), True
        while goes_on and not until():
            before_s = time.monotonic()
            self._sleep(NAP_S)
            goes_on = stalls.woke(time.monotonic() - before_s - NAP_S)


class Cores:
    """Tells who used the cores between two looks."""

    def __init__(self) -> None:
        self._at_s = time.monotonic()
        self._whole = psutil.cpu_times()
        self._used: dict[int, float] = {}
        self._first = True

    def look(self, process: str, used: Mapping[int, float]) -> Machine | None:
        """The time since the last look; `used`: CPU seconds that each process of the run has used so far, by pid.

        What a process used that is gone by now is taken for somebody else's. None at the first look.
        """
        now_s, whole = time.monotonic(), psutil.cpu_times()
        own_s = sum(max(0.0, cpu_s - self._used.get(pid, 0.0)) for pid, cpu_s in used.items())
        busy_s = _busy_s(whole) - _busy_s(self._whole)
        steal_s = getattr(whole, "steal", 0.0) - getattr(self._whole, "steal", 0.0)
        span_s, first = now_s - self._at_s, self._first
        self._at_s, self._whole, self._used, self._first = now_s, whole, dict(used), False
        if first:
            return None
        return Machine(
            t=now_ns(),
            process=process,
            span_s=round(span_s, 3),
            cores=psutil.cpu_count() or 1,
            own_s=round(own_s, 3),
            others_s=round(max(0.0, busy_s - own_s), 3),
            steal_s=round(max(0.0, steal_s), 3),
        )


def _busy_s(times: object) -> float:
    """CPU seconds that somebody on this machine used; the time of guests is in `user`."""
    return sum(float(getattr(times, name, 0.0)) for name in ("user", "nice", "system", "irq", "softirq"))
