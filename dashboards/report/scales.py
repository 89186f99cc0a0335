"""Axes: the pixel of a value, and the round numbers beside the axis. Pure arithmetic."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol


class Scale(Protocol):
    """Maps values to pixels."""

    def __call__(self, value: float) -> float:
        """Return the pixel of a value; values outside the domain are clamped to its ends."""

    def ticks(self) -> list[float]:
        """Return round values inside the domain, rising."""


@dataclass(frozen=True, kw_only=True)
class Linear:
    """Equal differences, equal distances. `low` < `high`; `start` and `stop` are pixels, in either direction."""

    low: float
    high: float
    start: float
    stop: float
    wanted: int = 5
    """Approximate number of ticks."""

    def __call__(self, value: float) -> float:
        """Return the pixel of a value."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return self.start + share * (self.stop - self.start)

    def ticks(self) -> list[float]:
        """Return multiples of 1, 2 or 5 times a power of ten."""
        step = nice_step((self.high - self.low) / self.wanted)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [round(n * step, 10) for n in range(first, last + 1)]


@dataclass(frozen=True, kw_only=True)
class Log:
    """Equal ratios, equal distances. 0 < `low` < `high`."""

    low: float
    high: float
    start: float
    stop: float

    def __call__(self, value: float) -> float:
        """Return the pixel of a value."""
        share = math.log(min(max(value, self.low), self.high) / self.low) / math.log(self.high / self.low)
        return self.start + share * (self.stop - self.start)

    def ticks(self) -> list[float]:
        """Return powers of ten; with 2 and 5 times them if the domain is under two decades."""
        factors = (1, 2, 5) if self.high / self.low < 100 else (1,)
        decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        values = [factor * 10.0**decade for decade in decades for factor in factors]
        return [value for value in values if self.low * (1 - 1e-9) <= value <= self.high * (1 + 1e-9)]


def nice_step(rough: float) -> float:
    """Return the smallest of 1, 2, 5 times a power of ten that is not below `rough` (> 0)."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))


def linear_from_zero(highest: float, *, start: float, stop: float, wanted: int = 4) -> Linear:
    """Return an axis from 0 to the round number at or above `highest`; never empty."""
    top = highest if highest > 0 and math.isfinite(highest) else 1.0
    step = nice_step(top / wanted)
    return Linear(low=0, high=step * math.ceil(top / step - 1e-9), start=start, stop=stop, wanted=wanted)


def log_around(lowest: float, highest: float, *, start: float, stop: float) -> Log:
    """Return an axis around positive values, at least one decade.

    It begins and ends at 1, 2 or 5 times a power of ten.
    """
    low = 1 / nice_step(1 / lowest) if lowest > 0 else 1.0
    return Log(low=low, high=max(nice_step(highest) if highest > 0 else low, low * 10), start=start, stop=stop)


def short(value: float) -> str:
    """Return a number as printed beside an axis or in a read-out: 0.25, 12.3, 950, 12,000, 3.4M."""
    if abs(value) >= 1e6:
        return f"{value / 1e6:.3g}M"
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"
