"""A link carries nothing more, and all that was held back arrives in the end: a stalled network, not a broken one.

Breaks: senders fill their buffers and must bound them; what arrives after the stall is old, and its sender may have
said it again meanwhile over another way.
Proven: the proxy says that a bandwidth of 0 is in force, the far end answers at once past it, and over the link a
question is not answered, while its connection stays open.
Undone: the toxics are taken off. Healed when the proxy has none and an answer over the link comes as soon as before.
"""

from __future__ import annotations

from chaos.faults.mechanisms.link_toxic import LinkToxic
from sut.deploy.probes.question import Answer


class LinkBandwidth(LinkToxic):
    """Toxiproxy's bandwidth toxic with rate 0 on one link."""

    name = "link_bandwidth"
    toxic = "bandwidth"

    def add(self) -> None:
        """In both directions."""
        self.world.links.bandwidth(self.target, kb_per_s=0)

    def bites(self, answer: Answer) -> bool:
        """It does not come."""
        return answer.how == "silence"
