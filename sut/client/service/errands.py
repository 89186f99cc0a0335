"""Requests to the API that run in the background: one at a time, each repeated until it succeeds.

A failed errand goes to the end of the queue and waits, longer after each failure, without delaying the others. An
errand that is not needed any more is dropped.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from typing import Final

from sut.client.core import Errand
from sut.client.errors import ApiProblem
from sut.protocol.device.reconnect import full_jitter

BASE_S: Final = 0.5
CAP_S: Final = 5.0
LONG_CAP_S: Final = 60.0
"""The longest wait in seconds after LONG_AFTER failures, for example for keys that nobody has published."""
LONG_AFTER: Final = 12
REST_S: Final = 1.0
"""The shortest time in seconds between two successful runs of the same errand."""


class Errands:
    """The queue of errands. `do` executes one and raises ApiProblem; `needed` returns False if it can be dropped."""

    def __init__(
        self,
        *,
        do: Callable[[Errand], Awaitable[None]],
        needed: Callable[[Errand], bool],
        clock: Callable[[], float],
        rng: random.Random,
    ) -> None:
        self._do = do
        self._needed = needed
        self._clock = clock
        self._rng = rng
        self._due: dict[Errand, float] = {}
        self._failures: dict[Errand, int] = {}
        self._done_at: dict[Errand, float] = {}
        self._wake = asyncio.Event()

    def want(self, errand: Errand) -> None:
        """Queue an errand. Does not wait; has no effect if it is queued already."""
        if errand not in self._due:
            self._due[errand] = max(self._clock(), self._done_at.get(errand, float("-inf")) + REST_S)
            self._wake.set()

    @property
    def waiting(self) -> list[Errand]:
        """The errands in the queue."""
        return list(self._due)

    async def run(self) -> None:
        """Execute errands until cancelled."""
        while True:
            errand = min(self._due, key=self._due.__getitem__, default=None)
            wait_s = None if errand is None else self._due[errand] - self._clock()
            if errand is None or (wait_s is not None and wait_s > 0):
                self._wake.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait_s):
                        await self._wake.wait()
                continue
            await self._one(errand)

    async def _one(self, errand: Errand) -> None:
        if not self._needed(errand):
            self._forget(errand)
            return
        try:
            await self._do(errand)
        except ApiProblem:
            failures = self._failures.get(errand, 0)
            self._failures[errand] = failures + 1
            cap_s = CAP_S if failures < LONG_AFTER else LONG_CAP_S
            rest_s = BASE_S + full_jitter(self._rng, base_s=BASE_S, cap_s=cap_s, attempt=failures)
            self._due[errand] = self._clock() + rest_s
        else:
            self._forget(errand)
            now = self._clock()
            self._done_at = {one: at for one, at in self._done_at.items() if now - at < REST_S}
            self._done_at[errand] = now

    def _forget(self, errand: Errand) -> None:
        self._due.pop(errand, None)
        self._failures.pop(errand, None)
