"""The way to a sequencer, and to its understudy while there is no link to it.

The understudy works on the partitions of a sequencer whose process is gone (sequencer/understudy.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import msgspec

from sut.deploy.topology import Topology
from sut.process.peer import PeerLink
from sut.protocol.peer import PeerFrame, ReadAllHeads, ReadHeads


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

    def __init__(self, link: PeerLink, understudy: PeerLink) -> None:
        self._link = link
        self._understudy = understudy
        self.target = link.target

    @property
    def life(self) -> tuple[int, int]:
        """The lives of both links: it changes when either does."""
        return self._link.life, self._understudy.life

    def send(self, frame: PeerFrame) -> bool:
        """Send a one-way frame to the one that is linked. False: neither took it."""
        return (self._link if self._link.up else self._understudy).send(frame)

    async def ask(self, frame: PeerFrame, timeout_s: float) -> PeerFrame:
        """Return the answer of the one that is linked. Raises Unavailable."""
        if self._link.up:
            return await self._link.ask(frame, timeout_s)
        if isinstance(frame, ReadHeads):
            frame = self._meant(frame)
        elif isinstance(frame, ReadAllHeads):
            frame = ReadAllHeads(tuple(map(self._meant, frame.asked)))
        return await self._understudy.ask(frame, timeout_s)

    def _meant(self, frame: ReadHeads) -> ReadHeads:
        return msgspec.structs.replace(frame, of=self.target)


def covered(topology: Topology, links: Mapping[str, PeerLink]) -> dict[int, Way]:
    """Return the way to the sequencer of each log partition, one object a sequencer. `links`: to all sequencers."""
    ways: dict[str, Way] = {}
    for sequencer in topology.of_kind("sequencer"):
        link, understudy = links[sequencer.name], topology.understudy_of(sequencer)
        ways[sequencer.name] = link if understudy is None else Covered(link, links[understudy.name])
    return {p: ways[topology.sequencer_of(p).name] for p in range(topology.settings.partitions)}
