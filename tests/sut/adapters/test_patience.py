"""A time limit that does not count a stall of the own process."""

import asyncio
import socket
import threading
import time

import pytest

from sut.adapters.shared.patience import patience


async def test_it_ends_what_takes_too_long() -> None:
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        async with patience(0.2):
            await asyncio.sleep(5)
    assert 0.19 < time.monotonic() - began < 1.0


async def test_what_is_done_in_time_is_left_alone() -> None:
    async with patience(0.2):
        await asyncio.sleep(0.05)
    await asyncio.sleep(0.3)  # no late effect


async def test_an_answer_that_came_during_a_stall_counts() -> None:
    near, far = socket.socketpair()
    with near, far:
        near.setblocking(False)
        answer = threading.Timer(0.1, far.sendall, [b"here"])
        answer.start()
        async with patience(0.2):
            asyncio.get_running_loop().call_soon(time.sleep, 0.5)
            assert await asyncio.get_running_loop().sock_recv(near, 10) == b"here"
            for _ in range(5):  # it goes through some hands
                await asyncio.sleep(0)
        answer.join()


async def test_a_cancelled_caller_is_cancelled() -> None:
    async def wait() -> None:
        async with patience(10):
            await asyncio.sleep(10)

    task = asyncio.create_task(wait())
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
