"""Names and limits that all relations share."""

from __future__ import annotations

from typing import Final

import polars as pl

FOREVER: Final = (1 << 63) - 1
"""Greater than every number and every time."""
EVER: Final = -FOREVER
"""Less than every time."""
SECOND: Final = 1_000_000_000
"""One second in ns."""
MESSAGE: Final = ["conv", "msg"]
PLACE: Final = ["conv", "msg", "seq"]


def in_stay(number: str = "seq", *, last: str = "last") -> pl.Expr:
    """Return a filter for rows whose number lies strictly between `first` and `last` of a stay (Facts.spans)."""
    return (pl.col("first") < pl.col(number)) & (pl.col(number) < pl.col(last))


def not_gone_by(limit: pl.Expr) -> pl.Expr:
    """Return a filter for rows whose message was not deleted (`gone` null), or deleted after the time `limit`."""
    return pl.col("gone").is_null() | (pl.col("gone") > limit)


def not_shown_by(limit: pl.Expr) -> pl.Expr:
    """Return a filter for rows that were never shown (`shown` null), or shown after the time `limit`."""
    return pl.col("shown").is_null() | (pl.col("shown") > limit)
