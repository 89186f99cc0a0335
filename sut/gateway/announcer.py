"""Tells the sequencers the routes of this gateway's connections itself, while the registry cannot be told.

Without this nobody would find a device that connects while Redis is away or cut off from us, nor any device of ours
once our lease has run out. It costs nothing while the registry works. A sequencer whose link comes up meanwhile is told
all; one whose link comes up later is told that we announce nothing. All is said in parts,
a turn of the event loop for each, so that no turn grows with the number of devices and sequencers.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
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
        self._untold: deque[tuple[PeerConnection, list[Connection]]] = deque()
        """Chat services that are still to be told, each with at most MAX_BATCH connections."""
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
            self._untold.clear()
            for peer in self._linked():
                self.joined(peer)

    def joined(self, peer: PeerConnection) -> None:
        """Tell a peer all, if it is a sequencer."""
        if peer.node in self._sequencers:
            peer.send(Announce(self._node, self._incarnation, anew=True))
            if self.active:
                if not self._untold:
                    asyncio.get_running_loop().call_soon(self._tell_on)
                self._untold.extend((peer, part) for part in _parts(list(self._connections.values())))

    def _tell_on(self) -> None:
        """Tell one peer of the next connections, as far as they are still open."""
        if self._untold:
            peer, part = self._untold.popleft()
            self._tell(peer, [connection for connection in part if connection.number in self._connections])
        if self._untold:
            asyncio.get_running_loop().call_soon(self._tell_on)

    def add(self, connection: Connection) -> None:
        """Announce a new connection with the next tick."""
        if self.active:
            self._new[connection.number] = connection

    def remove(self, connection: Connection) -> None:
        """Take back the announcement of a connection that has ended."""
        if self.active:
            self._new.pop(connection.number, None)  # it may have been among all that a peer was told
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
            for part in _parts(new):
                self._tell(peer, part)

    def _tell(self, peer: PeerConnection, part: list[Connection]) -> None:
        there = tuple((c.user, c.device, c.number, c.epoch) for c in part)
        peer.send(Announce(self._node, self._incarnation, there))

    def _linked(self) -> list[PeerConnection]:
        return [peer for peer in self._peers() if peer.node in self._sequencers]


def _parts(connections: list[Connection]) -> Iterator[list[Connection]]:
    return (connections[start : start + MAX_BATCH] for start in range(0, len(connections), MAX_BATCH))
