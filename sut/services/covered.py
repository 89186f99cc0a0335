"""The way to a sequencer, and to its understudy while there is no link to it, or while it recovers.

The understudy works on the partitions of a sequencer whose process is gone (sequencer/understudy.py), until the new
process is as far. On a busy cluster that took 5 s, in which devices that were told of a message asked for it in vain.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final, Protocol

import msgspec

from sut.deploy.topology import Topology
from sut.ports import Unavailable
from sut.process.peer import PeerLink
from sut.protocol.peer import HEAD_RECOVERING, HotPage, PeerFrame, Poke, ReadAllHeads, ReadBefore, ReadHeads, ReadHot

TAKEOVER_S: Final = 30.0
"""Time after a link has come up in which the understudy may still work on the partitions."""


class Way(Protocol):
    """What PeerLink and Covered have in common."""

    @property
    def target(self) -> str:
        """Name of the sequencer."""

    @property
    def life(self) -> object:
        """Something that changes when the way does, and when the process at its end may have changed."""

    def send(self, frame: PeerFrame) -> bool:
        """Send a one-way frame. False: it was not taken."""

    async def ask(self, frame: PeerFrame, timeout_s: float) -> PeerFrame:
        """Send a question and return its answer. Raises what PeerLink.ask does."""


class Covered:
    """The link to a sequencer, with its understudy's behind it."""

    def __init__(self, link: PeerLink, understudy: PeerLink, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._link = link
        self._understudy = understudy
        self._clock = clock
        self._life, self._up_since_s = 0, clock()
        self.target = link.target

    @property
    def life(self) -> tuple[int, int]:
        """The lives of both links: it changes when either does."""
        return self._link.life, self._understudy.life

    def send(self, frame: PeerFrame) -> bool:
        """Send a one-way frame to the one that is linked; a Poke to both after a takeover. False: none took it."""
        if not self._link.up:
            return self._understudy.send(frame)
        if isinstance(frame, Poke) and self._is_new():
            self._understudy.send(frame)
        return self._link.send(frame)

    def _is_new(self) -> bool:
        """Return True while the process at the end of the link may be a new one that recovers."""
        if self._link.life != self._life:
            self._life, self._up_since_s = self._link.life, self._clock()
        return self._clock() - self._up_since_s < TAKEOVER_S

    async def ask(self, frame: PeerFrame, timeout_s: float) -> PeerFrame:
        """Return the answer of the one that is linked, or of the one that has the page. Raises Unavailable."""
        if self._link.up:
            answer = await self._link.ask(frame, timeout_s)
            if isinstance(frame, ReadHot | ReadBefore) and _recovers(answer):
                return await self._page_of_understudy(frame, timeout_s) or answer
            return answer
        if isinstance(frame, ReadHeads):
            frame = self._meant(frame)
        elif isinstance(frame, ReadAllHeads):
            frame = ReadAllHeads(tuple(map(self._meant, frame.asked)))
        return await self._understudy.ask(frame, timeout_s)

    async def _page_of_understudy(self, frame: ReadHot | ReadBefore, timeout_s: float) -> HotPage | None:
        """Return the understudy's page, if it has one for this user.

        That it has none proves nothing: the new process may be ahead already.
        """
        try:
            answer = await self._understudy.ask(frame, timeout_s)
        except Unavailable:
            return None
        return answer if isinstance(answer, HotPage) and answer.hit and answer.member else None

    def _meant(self, frame: ReadHeads) -> ReadHeads:
        return msgspec.structs.replace(frame, of=self.target)


def _recovers(answer: PeerFrame) -> bool:
    return isinstance(answer, HotPage) and not answer.hit and answer.head == HEAD_RECOVERING


def covered(topology: Topology, links: Mapping[str, PeerLink]) -> dict[int, Way]:
    """Return the way to the sequencer of each log partition, one object a sequencer. `links`: to all sequencers."""
    ways: dict[str, Way] = {}
    for sequencer in topology.of_kind("sequencer"):
        link, understudy = links[sequencer.name], topology.understudy_of(sequencer)
        ways[sequencer.name] = link if understudy is None else Covered(link, links[understudy.name])
    return {p: ways[topology.sequencer_of(p).name] for p in range(topology.settings.partitions)}
