"""Known bad: each coming and going is told to all contacts at once, on every gateway, whether anybody looks or not.

Nothing it tells is wrong. It costs: a user with two hundred contacts who loses the network for a second makes four
hundred events, and a gateway that dies makes them for each of its users. `petrel bench presence` counts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sut.gateway.presence import Client, GatewayPresence
from sut.protocol.frames import encode
from sut.protocol.peer import Changed
from sut.protocol.signals import PresenceNews, Seen
from sut.services.sequencer.emitter import Notification
from sut.services.sequencer.signals import Signals

if TYPE_CHECKING:
    from sut.deploy.topology import Topology


def presence_class(tell_chats: Callable[[Changed], None]) -> type[GatewayPresence]:
    """A gateway's presence that tells of each change at once and does not care who watches."""

    class EagerPresence(GatewayPresence):
        """Undamped and unasked."""

        def opened(self, client: Client) -> None:
            """Tell all contacts if the user was not here."""
            if self.keeper.opened(client.user):
                tell_chats(Changed(client.user, 1))

        def left(self, client: Client) -> None:
            """Tell all contacts if the user is not here any more."""
            if self.keeper.left(client.user):
                tell_chats(Changed(client.user, 0))

        def watch(self, client: Client, users: tuple[int, ...]) -> None:
            """Everybody is told anyway."""

    return EagerPresence


class EagerSignals(Signals):
    """Sends each change to whoever shares a conversation with the user."""

    def changed(self, frame: Changed) -> None:
        """To all contacts, as far as their conversations are in this sequencer's memory."""
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


def signals_class(_topology: Topology) -> type[Signals]:
    """The sequencers'."""
    return EagerSignals
