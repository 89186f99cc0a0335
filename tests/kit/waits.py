"""Waiting for a condition in a test: until it holds, or until the scaled deadline (tests/kit/pace.py) has passed."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from sut.ports import Unavailable
from tests.kit import pace

T = TypeVar("T")

TIMEOUT_S = 15.0
"""For what comes at once on a quiet machine."""
LOOK_S = 0.02


class Deadline:
    """A deadline `seconds` from now on two quiet cores; later when the machine is busy by then.

    `told` gives what the failure adds for its reader, such as what a screen shows.
    """

    def __init__(self, seconds: float, told: Callable[[], str] | None = None) -> None:
        self._seconds = seconds
        self._told = told
        self._began_s = time.monotonic()

    def check(self) -> None:
        """Raise AssertionError when it has passed."""
        waited_s = time.monotonic() - self._began_s
        if waited_s > self._seconds and waited_s > (allowed_s := pace.scaled(self._seconds)):
            told = f":\n{self._told()}" if self._told is not None else ""
            raise AssertionError(f"not within {self._seconds:g} s ({allowed_s:.1f} s at this machine's pace){told}")


def wait_until(
    condition: Callable[[], object],
    timeout_s: float = TIMEOUT_S,
    *,
    told: Callable[[], str] | None = None,
    sleep: Callable[[float], object] = time.sleep,
) -> None:
    """Return when the condition holds. AssertionError when it does not within `timeout_s`, scaled.

    `sleep` is gevent's where greenlets must go on meanwhile.
    """
    deadline = Deadline(timeout_s, told)
    while not condition():
        deadline.check()
        sleep(LOOK_S)


async def until(
    condition: Callable[[], object],
    timeout_s: float = TIMEOUT_S,
    *,
    told: Callable[[], str] | None = None,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> float:
    """The seconds until the condition held, in a coroutine. AssertionError when not within `timeout_s`, scaled."""
    began_s = time.monotonic()
    deadline = Deadline(timeout_s, told)
    while not condition():
        deadline.check()
        await sleep(LOOK_S)
    return time.monotonic() - began_s


async def answered(ask: Callable[[], Awaitable[T]], timeout_s: float = TIMEOUT_S) -> T:
    """What `ask` returns; asked again while the store is Unavailable, as callers do. AssertionError if it stays so."""
    deadline = Deadline(timeout_s)
    while True:
        try:
            return await ask()
        except Unavailable:
            deadline.check()
