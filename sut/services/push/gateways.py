"""The gateways' own answers about connections, for cases in which the registry may be wrong or outdated.

A device's route may be in the registry although its gateway is dead, until the lease ends. It may be missing although
the device is connected, when the registry lost it or its gateway cannot reach the registry. The gateway knows its
connections, and says whether the registry knows them too.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Final

from sut.ports import Route, Unavailable
from sut.process.peer import PeerLink
from sut.protocol.peer import AskConnected, Connected
from sut.services.waiting import until_tick

ANSWER_S: Final = 0.5
AT_ONCE: Final = 2_000
"""The number of devices in one question."""
LISTEN_S: Final = 0.25
"""Seconds between two questions to each gateway: does the registry know its devices, and which of them are silent?"""


class Life(Enum):
    """The state of the process that a route leads to."""

    ALIVE = 1
    DEAD = 2
    """The address refuses connections, or another incarnation answers there."""
    SILENT = 3


class Gateways:
    """Links to all gateways, which the caller starts and closes."""

    def __init__(self, links: Mapping[str, PeerLink]) -> None:
        self._links = links
        self.unsure: set[str] = set()
        """Gateways that, by their last answer, cannot report their connections to the registry."""
        self._silent: dict[str, dict[int, float]] = {}

    async def listen(self) -> None:
        """Keep `unsure` up to date, for ever."""
        while True:
            await self.ask(dict.fromkeys(self._links, ()))
            await until_tick(LISTEN_S)

    @property
    def all_linked(self) -> bool:
        """True if each gateway is linked or its process is certainly not there."""
        return all(link.up or link.refused for link in self._links.values())

    def life(self, route: Route) -> Life:
        """Return the state of the gateway incarnation that this route leads to."""
        link = self._links.get(route.node)
        if link is None:
            return Life.SILENT
        if link.up:
            return Life.ALIVE if link.peer_incarnation == route.incarnation else Life.DEAD
        return Life.DEAD if link.refused else Life.SILENT

    def silent_since(self, route: Route) -> float | None:
        """Return when the device of this route was told what it has not answered yet (time.monotonic); None if it
        answers.
        """
        return self._silent.get(route.node, {}).get(route.device)

    def silent(self) -> dict[int, float]:
        """Return device -> since when it is silent, for all devices that are silent at some gateway."""
        return {device: since for of_node in self._silent.values() for device, since in of_node.items()}

    async def ask_all(self, devices: Iterable[int]) -> tuple[set[int], set[str]]:
        """Return which of these devices are connected to any gateway, and the gateways that did not answer."""
        asked = tuple(devices)
        return await self.ask(dict.fromkeys(self._links, asked))

    async def ask(self, by_node: Mapping[str, Iterable[int]]) -> tuple[set[int], set[str]]:
        """Return which devices are connected to the gateway asked about them, and the gateways that did not answer."""
        found: set[int] = set()
        silent: set[str] = set()

        async def ask(node: str, devices: tuple[int, ...]) -> None:
            link = self._links.get(node)
            if link is None or (not link.up and link.refused):
                self.unsure.discard(node)
                self._silent.pop(node, None)
                return
            for start in range(0, max(1, len(devices)), AT_ONCE):
                try:
                    answer = await link.ask(AskConnected(devices[start : start + AT_ONCE]), ANSWER_S)
                except Unavailable:
                    silent.add(node)
                    return
                if isinstance(answer, Connected):
                    found.update(answer.devices)
                    (self.unsure.discard if answer.sure else self.unsure.add)(node)
                    now_s = time.monotonic()
                    self._silent[node] = {device: now_s - ms / 1000 for device, ms in answer.silent}

        await asyncio.gather(*(ask(node, tuple(devices)) for node, devices in by_node.items()))
        return found, silent
