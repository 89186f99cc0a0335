"""Numbers and outcomes as texts for people."""

from __future__ import annotations

from datetime import UTC, datetime

from chaos.verdict.model import Verdict

NONE = "-"
"""Printed if there is no value."""


def thousands(value: int) -> str:
    """Return 12345 as "12,345"."""
    return f"{value:,}"


def milliseconds(value: float | None) -> str:
    """Return a time in ms with three significant digits: 0.85, 12.3, 1,234."""
    if value is None:
        return NONE
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def seconds(value: float | None) -> str:
    """Return a time in s as "12.3 s"."""
    return NONE if value is None else f"{value:,.1f} s"


def felt(value: float | None) -> str:
    """Return how long people felt a fault as "4.0 s"; 0, which means not at all, as "not felt"."""
    return "not felt" if value == 0 else seconds(value)


def mebibytes(value: float | None) -> str:
    """Return bytes as "35 MiB"."""
    return NONE if value is None else f"{value / (1 << 20):,.0f} MiB"


def cores(value: float | None) -> str:
    """Return CPU use in cores as "0.37"."""
    return NONE if value is None else f"{value:.2f}"


def moment(t_ns: int) -> str:
    """Return date and time in UTC; empty if the history's clock does not tell the date."""
    if not 946_684_800 <= t_ns // 10**9 <= 4_102_444_800:  # 2000 to 2100
        return ""
    return datetime.fromtimestamp(t_ns // 10**9, tz=UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def why(verdict: Verdict) -> str:
    """Return the verdict's reason in one line: the first check that decided it, or the faults that were survived."""
    deciding = [check for check in verdict.checks if check.verdict == verdict.verdict]
    if verdict.verdict != "valid" and deciding:
        more = f" (and {len(deciding) - 1} more)" if len(deciding) > 1 else ""
        return f"{deciding[0].name}: {deciding[0].detail}{more}"
    bitten = sum(fault.effective for fault in verdict.faults)
    through = f" through {bitten} fault{'s' if bitten != 1 else ''}" if bitten else ""
    acked = thousands(verdict.counts.sends_acked)
    felt_s = [fault.recovery.felt_s for fault in verdict.faults if fault.recovery.felt_s]
    said = f" People felt {len(felt_s)} of them, for at most {max(felt_s):.0f} s." if felt_s else ""
    said = " Nobody felt them." if bitten and not felt_s else said
    return f"{acked} acknowledged messages, none lost{through}; all {len(deciding)} checks hold.{said}"
