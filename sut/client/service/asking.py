"""Requests to the service for whose answer a person waits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from sut.client.device.accounts import NoKeys
from sut.client.errors import ApiProblem, UserMistake

ATTEMPTS: Final = 4
RETRY_S: Final = 0.4

T = TypeVar("T")


async def asked(call: Callable[[], Awaitable[T]]) -> T:
    """Call the service, at most ATTEMPTS times while the outcome is unknown. Raises UserMistake."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return await call()
        except ApiProblem as problem:
            if problem.definite or attempt == ATTEMPTS or isinstance(problem, NoKeys):
                raise UserMistake(str(problem)) from None
        await asyncio.sleep(RETRY_S * attempt)
    raise AssertionError("unreachable")
