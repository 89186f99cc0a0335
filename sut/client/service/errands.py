"""What has to be fetched from the API while the person goes on: one thing at a time, again and again until it is done.

A failed errand goes to the end of the line and waits, longer each time; others are not held up by it. One that nobody
needs any more is dropped.
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
"""The longest wait of one that failed LONG_AFTER times: keys that nobody has published, say."""
LONG_AFTER: Final = 12
REST_S: Final = 1.0
"""Between two of the same that both were done."""


class Errands:
    """The line of them. `do` does one and raises ApiProblem; `needed` says whether one still makes sense."""

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
        """Have it done. Does not wait; harmless when it is in line already."""
        if errand not in self._due:
            self._due[errand] = max(self._clock(), self._done_at.get(errand, float("-inf")) + REST_S)
            self._wake.set()

    @property
    def waiting(self) -> list[Errand]:
        """Those in line."""
        return list(self._due)

    async def run(self) -> None:
        """Until cancelled."""
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
