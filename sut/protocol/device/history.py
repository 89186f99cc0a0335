"""HISTORY: requests for older messages. Separate from the inbox: nothing here is shown, and no cursor moves.

A request is repeated, after a wait and on the next connection, until it is answered or has used up its attempts. Any
number of answers to one request gives one event.
"""

from __future__ import annotations

import math
from typing import Final

from sut.protocol.device.context import HISTORY_REQ, Context
from sut.protocol.device.events import HistoryFailed, HistoryPage
from sut.protocol.frames import DEFINITE_FROM, Error, History, Page

_LATEST: Final = HISTORY_REQ - 1


class HistoryBusy(Exception):
    """history() refused: `max_history` requests are open already. Definite: this one was not taken."""

    definite = True


class _Question:
    __slots__ = ("asked", "frame", "resting", "until")

    def __init__(self, frame: History) -> None:
        self.frame = frame
        self.asked = 0
        self.until = math.inf
        self.resting = False  # refused for now


class Histories:
    """The unanswered history requests of one device."""

    __slots__ = ("_context", "_last", "_open", "_questions")

    def __init__(self, context: Context, *, is_open: bool) -> None:
        self._context = context
        self._open = is_open
        self._last = 0
        self._questions: dict[int, _Question] = {}

    @property
    def asked(self) -> bool:
        """True while a request is open."""
        return bool(self._questions)

    def ask(self, conv: int, before: int, limit: int, now: float) -> int:
        """Ask for the newest `limit` messages before a sequence number. Returns the req of the event. Raises
        HistoryBusy.
        """
        if len(self._questions) >= self._context.settings.max_history:
            raise HistoryBusy(f"{len(self._questions)} questions for history are open")
        self._last = self._last % _LATEST + 1
        question = _Question(History(HISTORY_REQ | self._last, conv, before, limit))
        self._questions[question.frame.req] = question
        if self._open:
            self._send(question, now)
        return question.frame.req

    def open(self, now: float) -> None:
        """Send all open requests: WELCOME arrived."""
        self._open = True
        for question in list(self._questions.values()):
            self._send(question, now)

    def close(self) -> None:
        """Note that the connection ended."""
        self._open = False

    def answered(self, page: Page) -> None:
        """Take a PAGE whose req is a HISTORY's. A late one is ignored."""
        question = self._questions.pop(page.req, None)
        if question is None:
            return
        frame, last = question.frame, 0
        for message in page.messages:
            if not max(last + 1, page.through) <= message.seq < frame.before:
                self._context.violation(
                    f"history of conversation {page.conv} before {frame.before}, from {page.through}, has number"
                    f" {message.seq} after {last}"
                )
                self._context.events.append(HistoryFailed(frame.req, frame.conv, 0))
                return
            last = message.seq
        self._context.events.append(HistoryPage(frame.req, frame.conv, page.through, page.messages))

    def failed(self, frame: Error, now: float) -> None:
        """Take an ERROR whose req is a HISTORY's."""
        question = self._questions.get(frame.req)
        if question is None:
            return
        if frame.code >= DEFINITE_FROM:
            self._give_up(question, frame.code)
        else:
            question.until = now + self._context.back_off_s(question.asked)
            question.resting = True

    def due(self) -> float:
        """Return when tick() has work to do."""
        if not self._open:
            return math.inf
        due = self._context.due
        untils = (q.until if q.resting else due(q.until) for q in self._questions.values())
        return min(untils, default=math.inf)

    def tick(self, now: float) -> None:
        """Repeat the requests without an answer."""
        if not self._open:
            return
        for question in [question for question in self._questions.values() if question.until <= now]:
            if question.resting or self._context.overdue(question.until, now):
                self._send(question, now)

    def _send(self, question: _Question, now: float) -> None:
        settings = self._context.settings
        if question.asked >= settings.max_history_attempts:
            self._give_up(question, 0)
            return
        question.asked += 1
        question.until = now + self._context.limit_s(settings.fetch_timeout_s)
        question.resting = False
        self._context.ask(question.frame, now)

    def _give_up(self, question: _Question, code: int) -> None:
        frame = question.frame
        del self._questions[frame.req]
        self._context.events.append(HistoryFailed(frame.req, frame.conv, code))
