"""Devices without a connection: how many dial in each tick, by the number of attempts that they have made.

A cohort is the devices that have made as many attempts. Each device of it draws its wait as a real one does: full
jitter below a bound that doubles, or a fixed wait. The draws are made for all of a cohort at once (multinomial), so a
hundred million devices cost as much as ten. The numbers stay whole.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

ATTEMPTS: Final = 8
"""Devices that have made more attempts are in the last cohort: their bound reached its cap long ago."""


class Waiting:
    """The devices that wait before their next attempt."""

    def __init__(self, *, base_s: float, cap_s: float, fixed_s: float, tick_s: float, rng: np.random.Generator) -> None:
        """`fixed_s`: each wait is that long; 0: full jitter."""
        self._base_s, self._cap_s, self._fixed_s = base_s, cap_s, fixed_s
        self._tick_s = tick_s
        self._rng = rng
        longest_s = max(cap_s, fixed_s, base_s)
        self._due = np.zeros((ATTEMPTS, math.ceil(longest_s / tick_s) + 2), dtype=np.int64)
        self._at = 0

    @property
    def total(self) -> int:
        """The devices that wait."""
        return int(self._due.sum())

    def add(self, devices: int, attempt: int, *, within_s: float = 0.0) -> None:
        """Let devices wait for this attempt (0: the first). `within_s`: the base that a DRAIN gave them."""
        if devices <= 0:
            return
        attempt = min(attempt, ATTEMPTS - 1)
        if self._fixed_s:
            self._put(devices, attempt, round(self._fixed_s / self._tick_s))
            return
        bound_s = within_s or min(self._cap_s, self._base_s * 2.0**attempt)
        ticks = max(1, round(bound_s / self._tick_s))
        ticks = min(ticks, self._due.shape[1] - 1)
        shares = self._rng.multinomial(devices, np.full(ticks, 1 / ticks))
        slots = (self._at + 1 + np.arange(ticks)) % self._due.shape[1]
        self._due[attempt, slots] += shares

    def _put(self, devices: int, attempt: int, ticks: int) -> None:
        slot = (self._at + min(max(1, ticks), self._due.shape[1] - 1)) % self._due.shape[1]
        self._due[attempt, slot] += devices

    def dial(self) -> np.ndarray:
        """Go to the next tick; return the devices that dial in it, by their attempt."""
        self._at = (self._at + 1) % self._due.shape[1]
        due = self._due[:, self._at].copy()
        self._due[:, self._at] = 0
        return due
