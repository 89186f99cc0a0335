"""What a gateway counts; answered to every Ping, so that probes, the supervisor and dashboards see it."""

from __future__ import annotations

from collections import Counter

import psutil


class Stats:
    """Counters since the start of the process."""

    __slots__ = (
        "bytes_out",
        "closed",
        "forwarded",
        "frames_in",
        "frames_out",
        "handshakes",
        "missed",
        "refused",
        "resyncs",
        "undeliverable",
        "unforwarded",
    )

    def __init__(self) -> None:
        self.handshakes = 0
        self.refused = 0  # requests answered with an HTTP error
        self.frames_in = 0
        self.frames_out = 0
        self.bytes_out = 0
        self.forwarded = 0
        self.unforwarded = 0  # no chat service took it
        self.undeliverable = 0  # Deliver to a connection that is gone
        self.resyncs = 0  # BEATs that said RESYNC
        self.missed = 0  # Missed frames from sequencers
        self.closed: Counter[int] = Counter()  # by close code; 1006: without a close frame

    def as_gauges(self) -> dict[str, float]:
        """By name, with the resident memory of this process."""
        gauges = {name: float(getattr(self, name)) for name in self.__slots__ if name != "closed"}
        gauges |= {f"closed_{code}": float(count) for code, count in self.closed.items()}
        gauges["rss_bytes"] = float(psutil.Process().memory_info().rss)
        return gauges
