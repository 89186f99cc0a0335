"""The checks, one file each: a pure function from a history to a finding. A check never raises on a well-formed
history, however odd: what it cannot judge is unknown, what is not there is nothing to check.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from chaos.verdict.checks import (
    acked_lost,
    catch_up,
    causal,
    duplicates,
    gaps_forks,
    indeterminate,
    latency,
    leaks,
    liveness,
    order,
    phantoms,
    presence,
    push,
    receipts,
    session,
    vacuity,
)
from chaos.verdict.finding import Finding
from chaos.verdict.history.history import History

Check = Callable[[History], Finding]
_MODULES: Final = (
    acked_lost, indeterminate, duplicates, order, gaps_forks, phantoms, leaks, causal, session, catch_up, liveness,
    push, presence, receipts, latency, vacuity,
)  # fmt: skip
CHECKS: Final[dict[str, Check]] = {module.NAME: module.check for module in _MODULES}
"""All checks by name, in the order of the report."""
