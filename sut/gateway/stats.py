"""The counters of a gateway. It answers every Ping with them, for probes, the supervisor and dashboards."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import psutil


@dataclass(slots=True)
class Stats:
    """Counters since the start of the process."""

    handshakes: int = 0
    refused: int = 0  # requests answered with an HTTP error
    frames_in: int = 0
    indebted: int = 0
    """Times that a connection was not read for a while because it cost too much."""
    frames_out: int = 0
    bytes_out: int = 0
    forwarded: int = 0
    handed_again: int = 0  # frames of a chat service that died, handed to another one
    unforwarded: int = 0  # no chat service took it
    undeliverable: int = 0  # Deliver to a connection that is gone
    resyncs: int = 0  # BEATs that said RESYNC
    missed: int = 0  # Missed frames from sequencers
    closed: Counter[int] = field(default_factory=Counter)  # by close code; 1006: without a close frame
    passed_on: Counter[str] = field(default_factory=Counter)  # forwarded, by the kind of the frame

    def as_gauges(self) -> dict[str, float]:
        """Return the counters by name, and the resident memory of this process."""
        gauges = {name: float(getattr(self, name)) for name in self.__slots__ if name not in ("closed", "passed_on")}
        gauges |= {f"closed_{code}": float(count) for code, count in self.closed.items()}
        gauges |= {f"forwarded_{kind}": float(count) for kind, count in self.passed_on.items()}
        gauges["rss_bytes"] = float(psutil.Process().memory_info().rss)
        return gauges
