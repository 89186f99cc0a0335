"""What one thing costs, from a measurement of `petrel bench calibrate`: its rows, and the inputs of an estimate."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from chaos.errors import UsageError


def read(path: Path) -> Sequence[Mapping[str, Any]]:
    """Return the rows of a measurement of `petrel bench calibrate`. Raises UsageError."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    except ValueError:
        raise UsageError(f"{path}: not JSON") from None
    if not isinstance(told, dict) or told.get("bench") != "calibrate" or not told.get("rows"):
        raise UsageError(f"{path}: not the bench.json of petrel bench calibrate")
    rows: Sequence[Mapping[str, Any]] = told["rows"]
    return rows


def inputs(rows: Sequence[Mapping[str, Any]], source: str) -> dict[str, float]:
    """Return the inputs of `petrel estimate` that the measurement has. Raises UsageError.

    CPU of a message is that at full load, where a fleet is sized; bytes are those of the point with the most devices.
    """
    try:
        largest = max(rows, key=lambda row: float(row["devices"]))
        services = sum(largest[f"full: {kind} ms"] for kind in ("gateway", "chat", "sequencer"))
        found = {
            "message_cpu_ms": services,
            "partition_messages": 1000 / largest["full: sequencer ms"],
            "gateway_bytes": largest["gateway: B a device"],
            "route_bytes": largest["redis: B a device"],
        }
    except (KeyError, TypeError, ZeroDivisionError):
        raise UsageError(f"{source}: not a measurement of petrel bench calibrate") from None
    return {name: value for name, value in found.items() if value > 0}
