"""Known bad: each coming and going is told to all contacts at once, whether they look or not: correct, but a storm.

Nothing that it tells is wrong, but it costs. A user with two hundred contacts who loses the network for a second causes
four hundred events. A gateway that dies causes them for each of its users. The bench counts them.
"""

from __future__ import annotations

from sut.deploy.topology import Topology
from sut.gateway.pieces import GatewayPieces
from sut.gateway.presence import Client, GatewayPresence
from sut.protocol.frames import encode
from sut.protocol.peer import Changed
from sut.protocol.signals import PresenceNews, Seen
from sut.services.sequencer.notification import Notification
from sut.services.sequencer.pieces import SequencerPieces
from sut.services.sequencer.signals import Signals

MEASURED_BY = "presence"


class EagerPresence(GatewayPresence):
    """Reports each change at once, whether or not anybody watches."""

    def opened(self, client: Client) -> None:
        """Tell all contacts if the user was not here."""
        if self.keeper.opened(client.user):
            self._tell_chats(Changed(client.user, 1))

    def left(self, client: Client) -> None:
        """Tell all contacts if the user is not here any more."""
        if self.keeper.left(client.user):
            self._tell_chats(Changed(client.user, 0))

    def watch(self, client: Client, users: tuple[int, ...]) -> None:
        """Ignore the request: all contacts are told in any case."""


class EagerSignals(Signals):
    """Sends each change to all users who share a conversation with the user."""

    def changed(self, frame: Changed) -> None:
        """Tell all contacts whose conversations are in this sequencer's memory."""
        contacts = {
            user
            for worker in self._workers.values()
            for live in worker.all_live()
            if live.state.is_member(frame.user)
            for user in live.state.members()
        }
        contacts.discard(frame.user)
        if contacts:
            word = encode(PresenceNews((Seen(frame.user, frame.state, 0),)))
            self._emitter.offer(Notification(word, tuple(contacts), 0, signal=True))


def gateway(_topology: Topology) -> GatewayPieces:
    return GatewayPieces(presence=EagerPresence)


def sequencer(_topology: Topology) -> SequencerPieces:
    return SequencerPieces(signals=EagerSignals)
