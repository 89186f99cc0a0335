"""Questions for heads go to a sequencer together, and each gets its own answer."""

import asyncio
from collections.abc import Sequence
from typing import cast

import pytest

from sut.ports import Unavailable
from sut.process.peer import PeerConnection
from sut.protocol.peer import ANSWER, AllHeads, Heads, PeerFrame, ReadAllHeads, ReadHeads
from sut.services.chat.heads import MOST, HeadQuestions
from sut.services.sequencer.process import Answers


class Sequencer:
    """The way to a sequencer that has no conversation in memory; `away`: it does not answer."""

    target = "one"
    life = 1

    def __init__(self) -> None:
        self.asked: list[PeerFrame] = []
        self.away = False

    def send(self, _frame: PeerFrame) -> bool:
        return False

    async def ask(self, frame: PeerFrame, timeout_s: float) -> PeerFrame:
        self.asked.append(frame)
        await asyncio.sleep(0)
        if self.away:
            raise Unavailable("one: link is down")
        if isinstance(frame, ReadHeads):
            return heads(frame)
        assert isinstance(frame, ReadAllHeads)
        return AllHeads(tuple(map(heads, frame.asked)))


def heads(question: ReadHeads) -> Heads:
    return Heads(tuple(conv * 10 + question.user for conv in question.convs))


async def ask_all(questions: HeadQuestions, count: int) -> Sequence[Heads | BaseException]:
    asking = (questions.ask(ReadHeads(user, (user, user + 1))) for user in range(count))
    return await asyncio.gather(*asking, return_exceptions=True)


async def test_the_questions_of_one_turn_go_in_one_frame() -> None:
    way = Sequencer()
    questions = HeadQuestions(way, timeout_s=0.5)
    assert await ask_all(questions, 5) == [heads(ReadHeads(user, (user, user + 1))) for user in range(5)]
    assert [type(frame) for frame in way.asked] == [ReadAllHeads]
    assert await ask_all(questions, 1) == [heads(ReadHeads(0, (0, 1)))]
    assert way.asked[1:] == [ReadHeads(0, (0, 1))]


async def test_a_frame_has_a_bound() -> None:
    way = Sequencer()
    assert len(await ask_all(HeadQuestions(way, timeout_s=0.5), MOST + 1)) == MOST + 1
    assert [len(frame.asked) for frame in way.asked if isinstance(frame, ReadAllHeads)] == [MOST]


@pytest.mark.parametrize("count", [1, 3])
async def test_without_an_answer_each_is_told_so(count: int) -> None:
    way = Sequencer()
    way.away = True
    answers = await ask_all(HeadQuestions(way, timeout_s=0.5), count)
    assert [type(answer) for answer in answers] == [Unavailable] * count
    assert len(set(map(id, answers))) == count, "each has an error of its own"


async def test_one_who_waits_no_more_costs_the_others_nothing() -> None:
    questions = HeadQuestions(Sequencer(), timeout_s=0.5)
    one = asyncio.create_task(questions.ask(ReadHeads(1, (2,))))
    other = asyncio.create_task(questions.ask(ReadHeads(3, (4,))))
    await asyncio.sleep(0)
    one.cancel()
    assert await other == heads(ReadHeads(3, (4,)))


class Asker:
    """The link of a chat service."""

    def __init__(self) -> None:
        self.heard: list[tuple[PeerFrame, int]] = []

    def send(self, frame: PeerFrame, correlation: int = 0) -> bool:
        self.heard.append((frame, correlation))
        return True


def test_a_sequencer_answers_them_as_it_answers_each() -> None:
    asker, answers = Asker(), Answers({}, {"one": (0, 1)}, name="one")
    asked = (ReadHeads(1, (5, 6)), ReadHeads(2, ()), ReadHeads(3, (7,), of="two"))
    for number, question in enumerate((*asked, ReadAllHeads(asked)), 1):
        answers.on_frame(cast("PeerConnection", asker), number, question)
    *single, (together, correlation) = asker.heard
    assert together == AllHeads(tuple(cast("Heads", frame) for frame, _ in single))
    assert correlation == 4 | ANSWER
