"""Numbers and outcomes in words, as a person reads them."""

from __future__ import annotations

from datetime import UTC, datetime

from chaos.verdict.model import Verdict

NONE = "-"
"""Where there is no value."""


def thousands(value: int) -> str:
    """12,345."""
    return f"{value:,}"


def milliseconds(value: float | None) -> str:
    """Three digits that matter: 0.85, 12.3, 1,234."""
    if value is None:
        return NONE
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def seconds(value: float | None) -> str:
    """12.3 s."""
    return NONE if value is None else f"{value:,.1f} s"


def recovery(value: float | None) -> str:
    """Recovery is measured in whole seconds: 0 is a first second that was good already."""
    if value is None:
        return NONE
    return "under 1 s" if value == 0 else f"{value:,.0f} s"


def mebibytes(value: float | None) -> str:
    """35 MiB."""
    return NONE if value is None else f"{value / (1 << 20):,.0f} MiB"


def cores(value: float | None) -> str:
    """0.37: of one core."""
    return NONE if value is None else f"{value:.2f}"


def moment(t_ns: int) -> str:
    """Date and time in UTC; empty when the history's clock is not one that tells the date."""
    if not 946_684_800 <= t_ns // 10**9 <= 4_102_444_800:  # 2000 to 2100
        return ""
    return datetime.fromtimestamp(t_ns // 10**9, tz=UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def why(verdict: Verdict) -> str:
    """The verdict's reason in one line: the first check that decided it, or what was survived."""
    deciding = [check for check in verdict.checks if check.verdict == verdict.verdict]
    if verdict.verdict != "valid" and deciding:
        more = f" (and {len(deciding) - 1} more)" if len(deciding) > 1 else ""
        return f"{deciding[0].name}: {deciding[0].detail}{more}"
    bitten = sum(fault.effective for fault in verdict.faults)
    through = f" through {bitten} fault{'s' if bitten != 1 else ''}" if bitten else ""
    acked = thousands(verdict.counts.sends_acked)
    return f"{acked} acknowledged messages, none lost{through}; all {len(deciding)} checks hold."
