"""Exact percentiles by nearest rank: the p99 of n samples is the one at place ceil(0.99 n) of the sorted samples."""

from __future__ import annotations

import math

import polars as pl

from chaos.verdict.model import Percentiles


def nearest_rank(values: pl.Expr, fraction: float) -> pl.Expr:
    """Return the percentile of a group, as an expression; null without values."""
    place = (values.len() * fraction - 1e-9).ceil().cast(pl.Int64) - 1
    return values.sort().get(place.clip(0), null_on_oob=True)


def p99_ns(latency_ns: pl.Series) -> int | None:
    """Return the p99 as it is, in ns; None without samples."""
    return int(latency_ns.sort()[_place(len(latency_ns), 0.99)]) if len(latency_ns) else None


def summarise(latency_ns: pl.Series) -> Percentiles:
    """Return the percentiles, in ms, of latencies in ns."""
    ordered = latency_ns.sort()
    if not len(ordered):
        return Percentiles()

    def at(fraction: float) -> float:
        return round(int(ordered[_place(len(ordered), fraction)]) / 1e6, 3)

    return Percentiles(p50=at(0.5), p99=at(0.99), p999=at(0.999), max=at(1.0), n=len(ordered))


def _place(number: int, fraction: float) -> int:
    return max(0, math.ceil(number * fraction - 1e-9) - 1)
