"""Chooses the gateway to connect to: service discovery, asked rarely and shared by all devices of a process.

A thousand devices that lost their gateway must not make a thousand requests to the API. The list is valid for FRESH_S;
one device asks, the others wait for the answer. Without the API the last list serves. A gateway that refused or did not
answer is avoided for a while if there is another. A device behind a narrow link (a cell) may fail where others do not,
so what failed from there is avoided there only.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import Final

from load.drive.api import ApiClient, ApiError

FRESH_S: Final = 1.0
AVOID_S: Final = 3.0
"""Seconds that a failed gateway is avoided: less than a lease, after which discovery no longer lists it."""


class NoGateway(Exception):
    """There is no gateway to try now; the text gives the reason."""


class Gateways:
    """The known gateways of one process."""

    def __init__(self, api: ApiClient, *, rng: random.Random, clock: Callable[[], float] = time.monotonic) -> None:
        self._api = api
        self._clock = clock
        self._lock = threading.Lock()
        self._urls: tuple[str, ...] = ()
        self._reason = "discovery lists no gateway"
        self._asked_at = float("-inf")
        self._avoid: dict[tuple[str, int | None], float] = {}
        self._turn = int(rng.random() * 1000)

    def pick(self, cell: int | None = None) -> str:
        """Return the WebSocket URL to try next from this cell; asks first if the list is old. Raises NoGateway."""
        with self._lock:
            if self.stale:
                self.ask()
            return self.choose(cell)

    @property
    def stale(self) -> bool:
        """True if the list is older than FRESH_S: `ask` should come before `choose`."""
        return self._clock() - self._asked_at >= FRESH_S

    def ask(self) -> None:
        """Ask the API for the list, and wait for it. Without an answer the last list stays."""
        try:
            self._urls, self._reason = self._api.gateways(), "discovery lists no gateway"
        except ApiError as error:
            self._reason = str(error)
        self._asked_at = self._clock()

    def choose(self, cell: int | None = None) -> str:
        """Return the WebSocket URL to try next from this cell, by the list as it is. Raises NoGateway."""
        now = self._clock()
        good = [url for url in self._urls if self._avoid.get((url, cell), now) <= now] or self._urls
        if not good:
            raise NoGateway(self._reason)
        self._turn += 1
        return good[self._turn % len(good)]

    def failed(self, url: str, cell: int | None = None) -> None:
        """Avoid this gateway from this cell for AVOID_S, because a connection to it could not be made."""
        self._avoid[url, cell] = self._clock() + AVOID_S
