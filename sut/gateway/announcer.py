"""Tells the sequencers the routes of this gateway's connections itself, while the registry may not show them.

Without this nobody would find a device that connects while Redis is away or cut off from us, nor any device of ours
once our lease has run out, or after a failover. It costs nothing while the registry works. A sequencer that may see too
little in the registry asks for the routes itself. It alone is told them then.

A sequencer whose link comes up meanwhile is told all; one whose link comes up later is told that we announce nothing.
All is said in parts, a turn of the event loop for each, so that no turn grows with the number of devices and
sequencers. It ends some seconds late: a sequencer may have asked the registry before the registry knew our routes.
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
LINGER_S: Final = 2.0
"""Routes are announced for so long after there was a reason to."""
ASKED_S: Final = 5.0
"""Routes are announced for so long to who asked. While it needs them it asks more often."""


def _nothing() -> None:
    pass


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
        on_unsaid: Callable[[], None] = _nothing,
    ) -> None:
        """`on_unsaid`: called when a link did not take an announcement."""
        self._node = node
        self._incarnation = incarnation
        self._connections = connections
        self._sequencers = frozenset(sequencers)
        self._peers = peers
        self._clock = clock
        self._on_unsaid = on_unsaid
        self._new: dict[int, Connection] = {}
        self._gone: list[int] = []
        self._untold: deque[tuple[PeerConnection, list[Connection]]] = deque()
        """Sequencers that are still to be told, each with at most MAX_BATCH connections."""
        self._told: dict[PeerConnection, float] = {}
        """Sequencers that routes are announced to -> until when at least."""
        self._since_s = math.inf
        """Since when the registry may not show our routes; infinity: it shows them."""

    @property
    def active(self) -> bool:
        """True while routes are announced to anybody."""
        return bool(self._told)

    @property
    def to_all(self) -> bool:
        """True while every linked sequencer hears of each connection, so that none needs a route in the registry."""
        return self._since_s < math.inf

    def begin(self, since_s: float) -> None:
        """Announce all routes from now on, until `end`. Calling it again changes nothing.

        `since_s`: since when the registry may not have shown them. The sequencers send again what was missed since.
        """
        if not self.to_all:
            self._since_s = since_s
            for peer in self._linked():
                if peer in self._told:
                    self._say(peer, since_ms=self._since_ms())
                else:
                    self._tell_all(peer)

    def end(self) -> None:
        """The registry has all our routes again."""
        if self.to_all:
            self._since_s = math.inf
            until_s = self._clock() + LINGER_S
            self._told = {peer: max(until_s, asked_s) for peer, asked_s in self._told.items()}

    def asked(self, peer: PeerConnection) -> None:
        """Announce all routes to a sequencer that asks for them, for some seconds."""
        if peer.node in self._sequencers:
            self._tell_all(peer, for_s=ASKED_S)

    def joined(self, peer: PeerConnection) -> None:
        """Tell a peer all, or that nothing is announced, if it is a sequencer."""
        if peer.node in self._sequencers:
            if self.to_all:
                self._tell_all(peer)
            else:
                self._say(peer, anew=True)

    def left(self, peer: PeerConnection) -> None:
        """Forget a peer whose link is gone."""
        self._told.pop(peer, None)

    def _tell_all(self, peer: PeerConnection, *, for_s: float = LINGER_S) -> None:
        if peer not in self._told:
            self._say(peer, anew=True, since_ms=self._since_ms())
            if not self._untold:
                asyncio.get_running_loop().call_soon(self._tell_on)
            self._untold.extend((peer, part) for part in _parts(list(self._connections.values())))
        self._told[peer] = max(self._told.get(peer, 0.0), self._clock() + for_s)

    def _since_ms(self) -> int:
        return math.ceil(max(0.0, self._clock() - self._since_s) * 1000) + 1

    def _tell_on(self) -> None:
        """Tell one peer of the next connections, as far as they are still open."""
        if self._untold:
            peer, part = self._untold.popleft()
            if peer in self._told:
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
        """Announce what has changed, and end where it is time. Called some ten times a second."""
        if not self._told:
            self._new.clear()
            self._gone.clear()
            return
        new, gone = list(self._new.values()), tuple(self._gone)
        self._new.clear()
        self._gone.clear()
        for peer in self._told:
            if gone:
                self._say(peer, gone=gone)
            for part in _parts(new):
                self._tell(peer, part)
        if self.to_all or self._untold:
            return
        now_s = self._clock()
        for peer in [peer for peer, until_s in self._told.items() if until_s < now_s]:
            del self._told[peer]
            self._say(peer, anew=True)

    def _tell(self, peer: PeerConnection, part: list[Connection]) -> None:
        self._say(peer, there=tuple((c.user, c.device, c.number, c.epoch) for c in part))

    def _say(
        self,
        peer: PeerConnection,
        *,
        there: tuple[tuple[int, int, int, int], ...] = (),
        gone: tuple[int, ...] = (),
        anew: bool = False,
        since_ms: int = 0,
    ) -> None:
        if not peer.send(Announce(self._node, self._incarnation, there, gone, anew, since_ms)):
            self._on_unsaid()

    def _linked(self) -> list[PeerConnection]:
        return [peer for peer in self._peers() if peer.node in self._sequencers]


def _parts(connections: list[Connection]) -> Iterator[list[Connection]]:
    return (connections[start : start + MAX_BATCH] for start in range(0, len(connections), MAX_BATCH))
