"""All anti-patterns, in the order in which they are told: the small ones first, then those with whole systems."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from chaos.bench.antipatterns import clocks, indexed, log_first, presence, repeated, routing, rules, systems, waiting
from chaos.bench.antipatterns.pattern import Pattern, Place, Result, measured
from chaos.errors import UsageError, no_such

PATTERNS: Final[dict[str, Pattern]] = {
    pattern.name: pattern
    for pattern in (
        waiting.PATTERN, routing.PATTERN, indexed.PATTERN, log_first.PATTERN, repeated.PATTERN, clocks.PATTERN,
        rules.PATTERN, *systems.PATTERNS, presence.PATTERN,
    )
}  # fmt: skip


def chosen(names: Sequence[str]) -> list[Pattern]:
    """Return the named patterns, all if none is named. Raises UsageError."""
    for name in names:
        if name not in PATTERNS:
            raise UsageError(no_such("anti-pattern", name, PATTERNS))
    return [PATTERNS[name] for name in names or PATTERNS]


def measure_all(patterns: Sequence[Pattern], directory: Path, say: Callable[[str], None]) -> list[Result]:
    """Measure each pattern in a directory of its own. Raises HarnessError."""
    return [measured(pattern, Place(directory=directory / pattern.name, say=say)) for pattern in patterns]
