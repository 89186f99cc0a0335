"""Sends the pushes of one provider: takes them from the lane, asks the provider, and tells the lane the answer.

An adapter limits the time of its attempts. A fault in a library may still wait past its deadline or a cancellation.
Then the attempt is abandoned, and the adapter starts again with new connections. So no push can hold its place in the
lane for longer than `limit_s`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import Final

from sut.adapters.shared.patience import patience
from sut.ports import Push, PushAnswer, PushProvider, RegisteredDevice, Unavailable, Verdict
from sut.process.metrics.instruments import Hop
from sut.services.push.directory import Directory
from sut.services.push.lane import Due, Lane

log = logging.getLogger("push")
RETRY_S: Final = 0.5
LOG_EVERY_S: Final = 1.0
LIMIT_S: Final = 3.0
"""The time limit of one attempt in seconds. It is above the adapters' own deadline."""
RENEW_S: Final = 1.0
"""Seconds that a provider may take to drop its connections."""


class Sender:
    """Sends the pushes of one lane to its provider."""

    def __init__(
        self, name: str, *, lane: Lane, provider: PushProvider, directory: Directory, limit_s: float = LIMIT_S
    ) -> None:
        """`limit_s`: for one attempt, in seconds, whatever the provider does."""
        self._name = name
        self._limit_s = limit_s
        self._lane = lane
        self._provider = provider
        self._directory = directory
        self._something = asyncio.Event()
        self._told_s = 0.0
        self._hop = Hop("push")
        self._left: set[asyncio.Task[PushAnswer]] = set()
        """Attempts that were abandoned."""
        self.renewed = 0
        """How often the provider had to start with new connections."""

    def poke(self) -> None:
        """Wake up `run`: the lane may have a push."""
        self._something.set()

    async def run(self) -> None:
        """Send the lane's pushes, for ever."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._something.clear()
                now_s = time.monotonic()
                while (due := self._lane.take(now_s)) is not None:
                    group.create_task(self._one(due))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._lane.wait_s(now_s)):
                        await self._something.wait()

    async def _one(self, due: Due) -> None:
        device = due.device
        assert device.push is not None
        began_s = time.monotonic()
        answer = await self._attempt(device.push.token, Push(due.conv, due.flying))
        self._hop.took(time.monotonic() - began_s)
        if answer.verdict not in (Verdict.ACCEPTED, Verdict.UNREGISTERED):
            self._hop.failed()
        if answer.verdict == Verdict.UNREGISTERED:
            if await self._replaced(device):
                answer = PushAnswer(Verdict.LATER, reason="the device has another token by now")
        elif answer.verdict != Verdict.ACCEPTED and time.monotonic() - self._told_s > LOG_EVERY_S:
            self._told_s = time.monotonic()
            log.warning("%s: %s: %s", self._name, answer.verdict.name.lower(), answer.reason)
        self._lane.answer(due, answer, time.monotonic())
        self._something.set()

    async def _attempt(self, token: str, push: Push) -> PushAnswer:
        attempt = asyncio.create_task(self._provider.push(token, push), name="push attempt")
        try:
            async with patience(self._limit_s):
                await asyncio.wait({attempt})
        except TimeoutError:
            self._leave(attempt)
            self.renewed += 1
            log.error("%s: an attempt did not end within %g s: reconnecting", self._name, self._limit_s)
            renewal = asyncio.create_task(self._provider.renew(), name="push renewal")
            await asyncio.wait({renewal}, timeout=RENEW_S)
            if not renewal.done():
                renewal.cancel()
            return PushAnswer(Verdict.LATER, reason=f"no end within {self._limit_s:g} s")
        except asyncio.CancelledError:
            self._leave(attempt)
            raise
        return attempt.result()

    def _leave(self, attempt: asyncio.Task[PushAnswer]) -> None:
        """Cancel the attempt without waiting for it."""
        self._left.add(attempt)
        attempt.add_done_callback(self._left.discard)
        attempt.cancel()

    async def _replaced(self, device: RegisteredDevice) -> bool:
        """Retire the dead token. Returns True if the device has another one now, which the lane's next try uses.

        The push is answered after that: otherwise a restart would push to the dead token again.
        """
        while True:
            try:
                await self._directory.retire(device)
                now = (await self._directory.devices_of([device.user]))[device.user]
            except Unavailable as error:
                log.warning("%s: a dead token waits to be retired: %s", self._name, error)
                await asyncio.sleep(RETRY_S)
            else:
                return self._lane.readdress(now, dead=device)
