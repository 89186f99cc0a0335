"""What is asked together is one question, and nobody gets an answer to an older one."""

import asyncio
from collections.abc import Sequence

import pytest

from sut.adapters.shared.gathering import Gathering
from sut.ports import Unavailable


class Backend:
    def __init__(self) -> None:
        self.questions: list[tuple[int, ...]] = []
        self.value = "first"
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def ask(self, keys: Sequence[int]) -> dict[int, str]:
        self.questions.append(tuple(keys))
        value = self.value
        await self.may_answer.wait()
        if 13 in keys:
            raise Unavailable("no")
        return {key: f"{value} {key}" for key in keys if key < 100}


async def test_askers_of_one_moment_share_questions_of_bounded_size() -> None:
    backend = Backend()
    gathering = Gathering(backend.ask, most=3)
    answers = await asyncio.gather(*(gathering.ask(key) for key in (1, 2, 1, 3, 4, 100)))
    assert answers == ["first 1", "first 2", "first 1", "first 3", "first 4", None]
    assert backend.questions == [(1, 2, 3), (4, 100)]


async def test_who_asks_while_a_question_is_under_way_gets_an_answer_to_a_newer_one() -> None:
    backend = Backend()
    backend.may_answer.clear()
    gathering = Gathering(backend.ask, most=3)
    early = asyncio.create_task(gathering.ask(1))
    await asyncio.sleep(0.01)
    backend.value = "second"
    late = asyncio.create_task(gathering.ask(1))
    await asyncio.sleep(0.01)
    backend.may_answer.set()
    assert (await early, await late) == ("first 1", "second 1")


async def test_an_error_goes_to_all_who_asked_and_to_nobody_else() -> None:
    gathering = Gathering(Backend().ask, most=2)
    answers = await asyncio.gather(*(gathering.ask(key) for key in (12, 13, 14)), return_exceptions=True)
    assert isinstance(answers[0], Unavailable)
    assert isinstance(answers[1], Unavailable)
    assert answers[2] == "first 14"


async def test_an_asker_who_gives_up_takes_nothing_from_the_others() -> None:
    backend = Backend()
    backend.may_answer.clear()
    gathering = Gathering(backend.ask, most=2)
    one, other = (asyncio.create_task(gathering.ask(1)) for _ in range(2))
    await asyncio.sleep(0.01)
    one.cancel()
    backend.may_answer.set()
    assert await other == "first 1"
    with pytest.raises(asyncio.CancelledError):
        await one
