"""What adapters share: questions that wait for answers, and the end of a connection."""

import asyncio
import time

import pytest

from chaos.targets import target
from chaos.targets.target import Answers, end_tasks, hang_up


async def test_an_answer_goes_to_its_question_once() -> None:
    answers = Answers[int, str]()
    first, second = answers.expect(1), answers.expect(2)
    answers.settle(2, "two")
    answers.settle(2, "again")
    answers.settle(3, "nobody asked")
    assert await second == "two"
    assert not first.done()


async def test_the_end_of_a_connection_fails_all_who_wait_and_nobody_else() -> None:
    answers = Answers[int, str]()
    taken_back, given_up, waiting = (answers.expect(key) for key in range(3))
    answers.forget(0)
    given_up.cancel()
    answers.end()
    with pytest.raises(ConnectionError, match="the connection ended"):
        await waiting
    assert not taken_back.done()
    assert answers.expect(1) is not given_up, "the next connection begins anew"


async def test_tasks_have_ended_on_return_and_none_is_no_task() -> None:
    ended = asyncio.Event()

    async def read() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    task = asyncio.create_task(read())
    await asyncio.sleep(0)
    await end_tasks(None, task)
    assert ended.is_set()
    assert task.cancelled()


async def test_a_silent_server_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent:
        async def close(self) -> None:
            await asyncio.sleep(60)

    monkeypatch.setattr(target, "HANG_UP_S", 0.05)
    began_s = time.monotonic()
    await hang_up(Silent())
    await hang_up(None)
    assert time.monotonic() - began_s < 30
