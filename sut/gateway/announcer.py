"""Tells the sequencers the routes of this gateway's connections itself, while the registry cannot be told.

Without this nobody would find a device that connects while Redis is away or cut off from us, nor any device of ours
once our lease has run out. It costs nothing while the registry works. A sequencer whose link comes up meanwhile is told
all; one whose link comes up later is told that we announce nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from sut.gateway.connection import Connection
from sut.process.peer import PeerConnection
from sut.protocol.peer import Announce

MAX_BATCH: Final = 1_000
"""Routes in one frame, some 30 KB."""


class Announcer:
    """Announces `connections`, the open connections by number, to those links of `peers` that are sequencers'."""

    def __init__(
        self,
        *,
        node: str,
        incarnation: int,
        connections: Mapping[int, Connection],
        sequencers: Iterable[str],
        peers: Callable[[], Iterable[PeerConnection]],
        clock: Callable[[], float],
    ) -> None:
        self._node = node
        self._incarnation = incarnation
        self._connections = connections
        self._sequencers = frozenset(sequencers)
        self._peers = peers
        self._clock = clock
        self._new: dict[int, Connection] = {}
        self._gone: list[int] = []
        self.since_s = math.inf
        """Since when routes are announced; infinity: they are not."""

    @property
    def active(self) -> bool:
        """True while routes are announced."""
        return self.since_s < math.inf

    def begin(self) -> None:
        """Announce all routes from now on, until `end`. Calling it again changes nothing."""
        if not self.active:
            self.since_s = self._clock()
            for peer in self._linked():
                self.joined(peer)

    def end(self) -> None:
        """The registry has all our routes again."""
        if self.active:
            self.since_s = math.inf
            self._new.clear()
            self._gone.clear()
            for peer in self._linked():
                self.joined(peer)

    def joined(self, peer: PeerConnection) -> None:
        """Tell a peer all, if it is a sequencer."""
        if peer.node in self._sequencers:
            peer.send(Announce(self._node, self._incarnation, anew=True))
            if self.active:
                self._tell(peer, list(self._connections.values()))

    def add(self, connection: Connection) -> None:
        """Announce a new connection with the next tick."""
        if self.active:
            self._new[connection.number] = connection

    def remove(self, connection: Connection) -> None:
        """Take back the announcement of a connection that has ended."""
        if self.active and self._new.pop(connection.number, None) is None:
            self._gone.append(connection.number)

    def tick(self) -> None:
        """Announce what has changed. Called some ten times a second."""
        if not self._new and not self._gone:
            return
        new, gone = list(self._new.values()), tuple(self._gone)
        self._new.clear()
        self._gone.clear()
        for peer in self._linked():
            if gone:
                peer.send(Announce(self._node, self._incarnation, gone=gone))
            self._tell(peer, new)

    def _tell(self, peer: PeerConnection, connections: list[Connection]) -> None:
        for start in range(0, len(connections), MAX_BATCH):
            part = connections[start : start + MAX_BATCH]
            there = tuple((c.user, c.device, c.number, c.epoch) for c in part)
            peer.send(Announce(self._node, self._incarnation, there))

    def _linked(self) -> list[PeerConnection]:
        return [peer for peer in self._peers() if peer.node in self._sequencers]
