"""Large numbers with a word for their size."""

from __future__ import annotations

from typing import Final

_SIZES: Final = ((1e15, "quadrillion"), (1e12, "trillion"), (1e9, "billion"), (1e6, "million"))


def short(value: float) -> str:
    """Return a number with a word for its size: 231,481, 16.67 million, 3 trillion."""
    for size, word in _SIZES:
        if abs(value) >= size:
            return f"{value / size:.4g} {word}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
