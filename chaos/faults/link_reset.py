"""Every connection of a link is ended at its first byte, the new ones too: a middlebox that has lost its state.

Breaks: what was on its way is lost, and the sender knows only that it may be; dialling again at once and for ever is a
loop, so there must be a backoff.
Proven: the proxy says that the toxic is in force, the far end answers at once past it, and over the link a question
ends with a broken connection.
Undone: the toxics are taken off. Healed when the proxy has none and an answer over the link comes as soon as before.
"""

from __future__ import annotations

from chaos.faults.mechanisms.link_toxic import LinkToxic
from sut.deploy.probes.question import Answer


class LinkReset(LinkToxic):
    """Toxiproxy's reset_peer on one link."""

    name = "link_reset"
    toxic = "reset_peer"

    def add(self) -> None:
        """In both directions."""
        self.world.links.reset(self.target)

    def bites(self, answer: Answer) -> bool:
        """The connection breaks."""
        return answer.how == "broken"
