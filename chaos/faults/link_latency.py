"""A link becomes slow: everything over it arrives, in order, `latency_ms` later in each direction.

Breaks: calls that wait for one another add up; deadlines that were chosen for a fast network are missed although
nobody is down; whoever takes slow for dead makes it worse.
Proven: the proxy says that the toxic is in force, the far end answers at once past it, and over the link an answer
takes at least one delay there and one back.
Undone: the toxics are taken off. Healed when the proxy has none and an answer over the link comes as soon as before.
"""

from __future__ import annotations

from types import MappingProxyType

from chaos.faults.mechanisms.link_toxic import LinkToxic
from sut.deploy.probes.question import Answer


class LinkLatency(LinkToxic):
    """Toxiproxy's latency on one link."""

    name = "link_latency"
    toxic = "latency"
    ask_s = 2.0
    options = MappingProxyType({"latency_ms": 150.0, "jitter_ms": 0.0})

    def add(self) -> None:
        """In both directions."""
        latency_ms, jitter_ms = round(self.chosen["latency_ms"]), round(self.chosen["jitter_ms"])
        self.world.links.latency(self.target, latency_ms=latency_ms, jitter_ms=jitter_ms)

    def bites(self, answer: Answer) -> bool:
        """It comes, two delays late."""
        least_s = 2 * (self.chosen["latency_ms"] - self.chosen["jitter_ms"]) / 1000
        return answer.how == "whole" and answer.took_s >= least_s
