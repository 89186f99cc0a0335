# mypy: disable-error-code="no-untyped-call"
"""The base class of Locust users of one's own: one user is one device of the chat system.

    class MyUser(ChatUser):
        @task
        def greet(self):
            self.send(self.conversations[0], "hello")

A Locust file with such a class is run as any other one (docs/your-own-user.md). Each method that waits blocks the
user's own greenlet only. Behind it is the same device as everywhere: it reconnects and retries by itself, and all that
it does is in the history, which is judged when the test is stopped.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, ClassVar, Final, NamedTuple, TypeVar

import gevent
from gevent.event import Event
from gevent.pool import Group
from locust import User, between
from locust.env import Environment
from locust.exception import StopUser

from load.device.body import MAX_TEXT, text
from load.device.device import unheard
from load.drive.conductor import LOCUST
from load.drive.session import Session
from load.history.writer import HistoryError
from sut.protocol.device.events import Acked, ClientEvent, GaveUp, Nacked, OutboxFull, Show
from sut.protocol.frames import Nack

MAX_INBOX: Final = 1000
"""Messages kept for a user who does not take them; the oldest are dropped first."""
LOOK_S: Final = 0.1
_REASONS: Final = {int(code): code.name for code in Nack}
T = TypeVar("T")


class ChatError(Exception):
    """What a user wanted did not happen. Locust counts it as the task's failure, unless the task catches it."""


class Refused(ChatError):
    """The system refused the message for good: it is in no conversation, and never will be."""


class NoAnswer(ChatError):
    """The system did not answer in time: whether the message arrived is not known."""


class NothingReceived(ChatError):
    """No such message was displayed in time."""


class NotConnected(ChatError):
    """The device is not online."""


class Conversation(NamedTuple):
    """A conversation of the system."""

    id: int
    kind: str
    """Either "direct" or "group"."""
    members: tuple[int, ...]
    """The ids of all users in it, this one included."""


class Message(NamedTuple):
    """A message of somebody else, as it was displayed."""

    conversation: Conversation
    number: int
    """Its place in the conversation, from 1."""
    sender: int
    """The id of the user who sent it."""
    text: str
    """Empty if no task sent it."""


class _Answer(NamedTuple):
    """What came of a send."""

    number: int = 0
    error: ChatError | None = None


class ChatUser(User):
    """One person with one device. Inherit from it, and add tasks."""

    abstract = True
    host = "stormpetrel"
    """Locust's page shows it; --petrel-dir determines where the device connects."""
    wait_time = between(1, 5)
    lives_by: ClassVar = "tasks"

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self.id = 0
        """The id of this user, as in Conversation.members."""
        self.conversations: tuple[Conversation, ...] = ()
        """The conversations that this user is in. They exist when `on_start` is called."""
        self.inbox: deque[Message] = deque(maxlen=MAX_INBOX)
        """What was displayed and not taken by `receive` or `wait_for`, the oldest first. Messages of others only."""
        self._session: Session
        self._line: gevent.Greenlet | None = None  # keeps the device connected
        self._known: dict[int, Conversation] = {}
        self._answers: dict[int, _Answer | None] = {}  # client_seq of each send that a task waits for
        self._news = Event()
        self._ending = False

    def send(self, conversation: Conversation, message: str, *, timeout_s: float = 30.0) -> int:
        """Send a message and wait until the system has taken it. Returns its number in the conversation.

        Raises Refused, NoAnswer, NotConnected, and ValueError for what is no message or no conversation of this user.
        """
        conv, content = self._own(conversation), message.encode()
        if len(content) > MAX_TEXT:
            raise ValueError(f"a text of {len(content)} bytes; at most {MAX_TEXT} are allowed")
        if self._line is None:
            raise NotConnected("send after disconnect: call connect first")
        self._pause_at_the_end()
        try:
            sent = self._act(lambda device, now: device.say(conv, content, now))
        except OutboxFull:
            raise NoAnswer("too many messages wait for an answer: this one was not sent") from None
        self._answers[sent] = None
        try:
            answer = self._until(lambda: self._answers[sent], timeout_s)
        finally:
            del self._answers[sent]
        if answer is None:
            raise NoAnswer(f"no answer to a send within {timeout_s:g} s")
        if answer.error is not None:
            raise answer.error
        return answer.number

    def receive(self, *, timeout_s: float = 10.0) -> Message:
        """Wait for a message of somebody else, and take the oldest from the inbox. Raises NothingReceived."""
        return self.wait_for(lambda _: True, timeout_s=timeout_s)

    def wait_for(self, what: str | Callable[[Message], bool], *, timeout_s: float = 10.0) -> Message:
        """Wait for a message with this text in it, or for which `what` returns True, and take it from the inbox.

        The messages before it stay there. Raises NothingReceived.
        """
        wanted = what if callable(what) else lambda message: what in message.text
        found = self._until(lambda: next((one for one in self.inbox if wanted(one)), None), timeout_s)
        if found is None:
            raise NothingReceived(f"no such message within {timeout_s:g} s")
        self.inbox.remove(found)
        return found

    def read(self, conversation: Conversation) -> None:
        """Mark all that was displayed of a conversation as read. The authors get receipts."""
        conv = self._own(conversation)
        self._act(lambda device, now: device.read(conv, now))

    def typing(self, conversation: Conversation) -> None:
        """Press a key: the others see that this user is typing, until the next message or for 6 s."""
        conv = self._own(conversation)
        self._act(lambda device, now: device.type(conv, now))

    @property
    def online(self) -> bool:
        """True while the device is connected. It reconnects by itself."""
        return self._line is not None and self._session.device.online

    def disconnect(self) -> None:
        """Go offline on purpose, as a person who closes the app. Messages wait until `connect`."""
        if self._line is not None:
            self._line.kill()
            self._line = None

    def connect(self, *, timeout_s: float = 30.0) -> None:
        """Come online again, and wait for it. Raises NotConnected, and goes on trying."""
        if self._line is None:
            self._pause_at_the_end()
            self._line = gevent.spawn(self._session.run)
        if self._until(lambda: self.online or None, timeout_s) is None:
            raise NotConnected(f"not online within {timeout_s:g} s")

    def start(self, group: Group) -> gevent.Greenlet:
        """Locust's: start the user's greenlet."""
        self._group = group
        self._greenlet = group.spawn(_live, self)
        return self._greenlet

    def stop(self, force: bool = False) -> bool:
        """Locust's: stop the user's greenlet."""
        self._ending = True
        stopped: bool = super().stop(force=force)
        return stopped

    def _own(self, conversation: Conversation) -> int:
        conv = getattr(conversation, "id", None)
        if conv not in self._known:
            raise ValueError(f"{conversation!r} is no conversation of this user: take one of self.conversations")
        return int(conv)

    def _act(self, deed: Callable[[Any, float], T]) -> T:
        try:
            return self._session.act(deed)
        except HistoryError:  # reported; the test ends
            raise StopUser from None

    def _until(self, look: Callable[[], T | None], timeout_s: float) -> T | None:
        """Return the first value other than None; None after `timeout_s`."""
        deadline_s = time.monotonic() + timeout_s
        while (found := look()) is None:
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                self._pause_at_the_end()
                return None
            self._news.clear()
            self._news.wait(left_s)
        return found

    def _pause_at_the_end(self) -> None:
        """In a test that is being stopped, wait until Locust stops this user: nothing new begins, nothing fails."""
        while self._session.quiet:
            if self._ending:
                raise StopUser
            gevent.sleep(LOOK_S)

    def _told(self, event: ClientEvent) -> None:
        """The device's events; must not wait."""
        match event:
            case Acked(_, client_seq, seq):
                self._answered(client_seq, _Answer(seq))
            case Nacked(_, client_seq, code, definite=True):
                refusal = Refused(f"refused for good: NACK code {code}, {_REASONS.get(code)}")
                self._answered(client_seq, _Answer(error=refusal))
            case GaveUp(_, client_seq):
                self._answered(client_seq, _Answer(error=NoAnswer("the device gave up waiting for an answer")))
            case Show(message) if message.device != self.id:
                conv, seq, _, sender, _, _, body = message
                known = self._known.get(conv) or Conversation(conv, "group", ())
                self.inbox.append(Message(known, seq, sender, text(body)))
        self._news.set()

    def _answered(self, client_seq: int, answer: _Answer) -> None:
        if client_seq in self._answers:
            self._answers[client_seq] = answer

    def _begin(self, session: Session) -> None:
        """Take a device, connect it, and wait until everybody is there."""
        self._session, self.id = session, session.device.device
        self._known = {conv: Conversation(conv, one.kind, one.members)
                       for conv, one in LOCUST.conversations_of(self.id)}  # fmt: skip
        self.conversations = tuple(self._known.values())
        session.device.listener = self._told
        self._line = gevent.spawn(session.run)
        session.wait_until_begun()
        while not self.online:
            gevent.sleep(LOOK_S)

    def _end(self) -> None:
        self.disconnect()
        self._session.device.listener = unheard


def _live(user: ChatUser) -> None:
    """A user's greenlet: Locust finds its user in the greenlet's arguments."""
    session = LOCUST.wait_for_device()
    try:
        user._begin(session)
        with suppress(StopUser):  # `on_stop` wanted to send, and the test is over
            user.run()
    finally:
        user._end()
        LOCUST.give_back(session)
