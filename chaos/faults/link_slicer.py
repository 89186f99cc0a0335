"""Everything over a link comes in small pieces, each a little later: no read ever returns a whole frame.

Breaks: whoever takes one read for one message; whoever waits for a whole frame under one deadline.
Proven: the proxy says that the toxic is in force, the far end answers at once past it, and over the link an answer
comes in more pieces than before, after the delays between them.
Undone: the toxics are taken off. Healed when the proxy has none and an answer over the link comes as soon as before.
"""

from __future__ import annotations

from types import MappingProxyType

from chaos.faults.mechanisms.link_toxic import LinkToxic
from sut.deploy.probes.question import Answer


class LinkSlicer(LinkToxic):
    """Toxiproxy's slicer on one link."""

    name = "link_slicer"
    toxic = "slicer"
    ask_s = 2.0
    options = MappingProxyType({"size": 12.0, "delay_ms": 1.0})  # a fifth of the shortest answer, so it shows

    def add(self) -> None:
        """In both directions."""
        size, delay_us = round(self.chosen["size"]), round(self.chosen["delay_ms"] * 1000)
        self.world.links.slicer(self.target, size=size, delay_us=delay_us)

    def bites(self, answer: Answer) -> bool:
        """It comes in more pieces, and so much later. A reader that is late finds some of them joined."""
        pieces = len(answer.pieces)
        late_s = (pieces - 1) * self.chosen["delay_ms"] / 1000
        return answer.how == "whole" and pieces > len(self._before.pieces) and answer.took_s >= late_s
