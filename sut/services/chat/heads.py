"""Asks a sequencer for heads: the questions of one turn of the event loop go to it in one frame.

After a gateway dies, or while many devices connect, SYNCs come by the dozen, and each asks every sequencer. A question
of its own costs both ends several times what its content does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from sut.ports import Unavailable
from sut.protocol.peer import AllHeads, Heads, ReadAllHeads, ReadHeads
from sut.services.covered import Way

MOST: Final = 200
"""Questions in one frame: a sequencer answers them in a few milliseconds."""

_Asked = tuple[ReadHeads, asyncio.Future[Heads]]


class HeadQuestions:
    """The questions to one sequencer. Belongs to the running event loop."""

    def __init__(self, way: Way, *, timeout_s: float) -> None:
        """`timeout_s`: for an answer, as in PeerLink.ask."""
        self._way = way
        self._timeout_s = timeout_s
        self._waiting: list[_Asked] = []
        self._under_way: set[asyncio.Task[None]] = set()

    async def ask(self, question: ReadHeads) -> Heads:
        """Return the answer to one question. Raises Unavailable."""
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._send)
        answer: asyncio.Future[Heads] = loop.create_future()
        self._waiting.append((question, answer))
        return await answer

    def _send(self) -> None:
        waiting, self._waiting = self._waiting, []
        for start in range(0, len(waiting), MOST):
            task = asyncio.create_task(self._together(waiting[start : start + MOST]))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def _together(self, asked: Sequence[_Asked]) -> None:
        try:
            answers = await self._answers([question for question, _ in asked])
        except Unavailable as error:
            for _, answer in asked:
                if not answer.done():
                    answer.set_exception(Unavailable(*error.args))  # a shared one would collect all tracebacks
            return
        except BaseException:
            for _, answer in asked:
                answer.cancel()
            raise
        for (_, answer), heads in zip(asked, answers, strict=True):
            if not answer.done():
                answer.set_result(heads)

    async def _answers(self, questions: Sequence[ReadHeads]) -> Sequence[Heads]:
        if len(questions) == 1:
            heads = await self._way.ask(questions[0], self._timeout_s)
            assert isinstance(heads, Heads)
            return (heads,)
        answer = await self._way.ask(ReadAllHeads(tuple(questions)), self._timeout_s)
        assert isinstance(answer, AllHeads)
        return answer.answers
