"""The messages that a device has to send: one queue per conversation, with one unsettled SEND at its head.

With at most one SEND of a conversation in flight, no retry and no reconnect can reorder two messages of a sender.
Different conversations proceed in parallel. A message keeps its client_seq through all retries, so the service can
recognise a repetition.

It leaves the queue by an ACK, a definite NACK, or its own arrival (an ACK may be lost with a connection). At the latest
it leaves `give_up_s` after its first transmission. That clock also runs while offline. A message that was never
transmitted only waits for its turn.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, NamedTuple

from sut.protocol.device.context import Context
from sut.protocol.device.dependencies import Shown
from sut.protocol.device.events import Acked, GaveUp, Nacked, OutboxFull, Outrun, Renumbered, Sent, SentAgain
from sut.protocol.device.retry import Retry
from sut.protocol.frames import MAX_BODY, Message, Nack, Refused, Send

REMEMBERED_ACKS: Final = 8
"""The number of own messages whose sequence numbers are remembered, to notice a second number for one of them."""


Compose = Callable[[float], bytes]
"""Makes a body at its first transmission, at this `now`, so that it can name what was shown by then.

Only such a body may name dependencies. A client that has encrypted its body earlier passes a Compose that returns it.
"""


class _Queued(NamedTuple):
    client_seq: int
    body: bytes | Compose
    names: bool


class Outbox:
    """The unsettled messages of one device."""

    __slots__ = (
        "_begun", "_context", "_draining", "_failures", "_memory", "_numbers", "_open", "_queues", "_retry", "_size",
        "_used", "doubted", "looked_at",
    )  # fmt: skip

    def __init__(self, context: Context, *, is_open: bool, memory: Shown | None = None) -> None:
        """`memory` is told which messages that may name dependencies got a sequence number, and which were dropped."""
        self._context = context
        self._memory = memory
        self._open = is_open
        self._draining = False
        self._queues: dict[int, list[_Queued]] = {}
        self._size = 0
        self._begun: dict[int, float] = {}  # conversation -> first transmission of its head, in order
        self._failures: dict[int, int] = {}  # conversation -> failed transmissions of its head, on this connection
        self._numbers: dict[int, tuple[int, int]] = {}  # client_seq -> (conversation, seq), the last REMEMBERED_ACKS
        self._retry = Retry(context.settings.repeat_fixed_s or context.settings.ack_timeout_s, context)
        self._used: set[int] = set()  # conversations with USED_UP_TO: a STALE head is no repetition
        self.doubted: dict[int, int | None] = {}
        """Conversation -> the SYNC chain after which the presence of its head is decided; None: start one."""
        self.looked_at = 0
        """The last SYNC chain with certain answers."""

    @property
    def empty(self) -> bool:
        """True if nothing is queued or unsettled."""
        return not self._size

    @property
    def untold(self) -> bool:
        """True if a queued message was never transmitted."""
        return self._size > len(self._begun)

    def put(self, conv: int, client_seq: int, body: bytes | Compose, *, now: float) -> None:
        """Queue a message; it leaves at once if it can. Raises OutboxFull, and ValueError for what no SEND can hold.

        A Compose must return a valid body: otherwise the ValueError is raised by the call that transmits it.
        """
        if isinstance(body, bytes):
            _check(body)
        if not 0 <= conv < 1 << 64:
            raise ValueError(f"conversation {conv} is not a u64")
        if self._size >= self._context.settings.max_outbox:
            raise OutboxFull(f"{self._size} messages wait already")
        self._queues.setdefault(conv, []).append(_Queued(client_seq, body, names=not isinstance(body, bytes)))
        self._size += 1
        self.send_next(conv, now)

    def open(self, now: float) -> None:
        """Repeat every SEND that was in flight, and start every idle queue: WELCOME arrived."""
        self._open = True
        for conv in self._queues:
            self._transmit(conv, now)

    def close(self) -> None:
        """Note that the connection ended. Messages in flight wait for the next one."""
        self._open = self._draining = False
        self._retry.clear()
        self._failures.clear()

    def drain(self) -> None:
        """Send nothing new on this connection: the gateway is leaving. Messages in flight are still retried."""
        self._draining = True

    def send_next(self, conv: int, now: float) -> None:
        """Transmit the head of this queue if it is waiting for its turn."""
        if self._open and not self._draining and conv in self._queues and conv not in self._begun:
            self._transmit(conv, now)

    def settled(self, conv: int, client_seq: int, seq: int) -> bytes | None:
        """Note that an own message has a sequence number, by ACK or by arrival. Returns its body if it was unsettled.

        The caller shows it, then calls send_next(). Any other case is a repetition (None) or a Violation.
        """
        head = self._head(conv, client_seq)
        if head is not None:
            self._drop_head(conv, acked=True)
            self._context.events.append(Acked(conv, client_seq, seq))
        known = self._numbers.get(client_seq)
        if known is None:
            self._numbers[client_seq] = (conv, seq)
            if len(self._numbers) > REMEMBERED_ACKS:
                del self._numbers[next(iter(self._numbers))]
            if head is None and any(item.client_seq == client_seq for item in self._queues.get(conv, ())):
                self._context.violation(f"message {client_seq} to conversation {conv} has a number before it was sent")
        elif known != (conv, seq):
            self._context.violation(
                f"message {client_seq} was number {known[1]} of conversation {known[0]} "
                f"and is now number {seq} of conversation {conv}"
            )
        return head.body if head and isinstance(head.body, bytes) else None

    def measure(self, conv: int, client_seq: int, now: float) -> None:
        """Note that the ACK of this message comes now. Call it before `settled`."""
        if self._head(conv, client_seq) is not None:
            self._retry.measure(conv, now)

    def refused(self, frame: Refused, now: float) -> None:
        """Take a NACK. One for a settled message is a late repetition, and is ignored."""
        conv, client_seq, code = frame
        if code == Nack.USED_UP_TO:
            self._context.used_up_to(client_seq)
            self._used.add(conv)
            return
        if self._head(conv, client_seq) is None:
            return
        if code == Nack.REUSED:
            self._taken(conv, Nack.REUSED, now)
            return
        if code == Nack.STALE and conv in self._used:
            self._retry.forget(conv)
            self.doubted.setdefault(conv, None)
            return
        self._context.events.append(Nacked(conv, client_seq, code, frame.definite))
        if frame.definite:
            self._drop_head(conv)
            self.send_next(conv, now)
        elif conv in self._retry.flights:
            self._rest(conv, now, at_least_s=frame.retry_after_s)

    def arrived(self, message: Message) -> None:
        """Take an own message that came back. It counts as its ACK if its key names the same message here."""
        conv, seq, _, _, _, client_seq, body = message
        queue = self._queues.get(conv, [])
        item = next((item for item in queue if item.client_seq == client_seq), None)
        sent = conv in self._begun and item is queue[0]
        if item is None or not isinstance(item.body, bytes) or (sent and item.body == body):
            self.settled(conv, client_seq, seq)
        elif sent:
            self.doubted.setdefault(conv, 0)  # no SYNC needed: another message has the key
        elif item.body == body:  # an earlier run sent it
            queue.remove(item)
            if not queue:
                del self._queues[conv]
            self._size -= 1
            self._context.events.append(Acked(conv, client_seq, seq))

    def looked(self, chain: int) -> None:
        """Note a SYNC chain with certain answers."""
        self.looked_at = chain

    def not_there(self, conv: int, now: float) -> None:
        """Handle the head of this queue as lost: it did not come back, or another message has its key."""
        if self.doubted.pop(conv, None) is not None and conv in self._begun:
            self._taken(conv, Nack.STALE, now)

    def _taken(self, conv: int, code: Nack, now: float) -> None:
        """Send all messages of this queue under new keys, or refuse its head: another message has the head's key."""
        head = self._queues[conv][0]
        self._context.used_up_to(head.client_seq)
        self._context.events.append(Outrun(head.client_seq, head.client_seq))
        if not self._context.settings.renumber:
            self._context.events.append(Nacked(conv, head.client_seq, code, definite=True))
            self._drop_head(conv)
            self.send_next(conv, now)
            return
        queue = self._queues[conv]
        for place, item in enumerate(queue):
            queue[place] = item._replace(client_seq=self._context.take_client_seq())
            self._context.events.append(Renumbered(conv, item.client_seq, queue[place].client_seq))
        del self._begun[conv]
        self._retry.forget(conv)
        self.send_next(conv, now)

    def due(self) -> float:
        """Return when tick() has work to do."""
        for begun_at in self._begun.values():
            return min(begun_at + self._context.settings.give_up_s, self._retry.due())
        return math.inf

    def tick(self, now: float) -> None:
        """Give up old messages, repeat those without an answer, and send those whose rest is over."""
        give_up_s = self._context.settings.give_up_s
        given_up = []
        for conv, begun_at in self._begun.items():
            if begun_at + give_up_s > now:
                break
            given_up.append(conv)
        for conv in given_up:
            self._context.events.append(GaveUp(conv, self._queues[conv][0].client_seq))
            self._drop_head(conv)
            self.send_next(conv, now)
        for conv in self._retry.pop_expired(now):
            if conv in self._failures and not self._context.settings.repeat_fixed_s:
                self._rest(conv, now)
            else:
                self._failures[conv] = 1
                self._transmit(conv, now)
        for conv in self._retry.pop_rested(now):
            self._transmit(conv, now)

    def _head(self, conv: int, client_seq: int) -> _Queued | None:
        if conv in self._begun:
            head = self._queues[conv][0]
            if head.client_seq == client_seq:
                return head
        return None

    def _transmit(self, conv: int, now: float) -> None:
        head = self._queues[conv][0]
        body = head.body
        if not isinstance(body, bytes):
            body = body(now)
            _check(body)
            self._queues[conv][0] = head._replace(body=body)
        self._context.ask(Send(conv, head.client_seq, body), now)
        self._retry.launch(conv, now)
        if conv in self._begun:
            self._context.events.append(SentAgain(conv, head.client_seq))
        else:
            self._begun[conv] = now
            self._context.events.append(Sent(conv, head.client_seq))

    def _rest(self, conv: int, now: float, *, at_least_s: float = 0.0) -> None:
        """Wait before the next transmission: at random, and beyond `at_least_s`, which a busy service asks for."""
        failures = self._failures.get(conv, 0)
        self._failures[conv] = failures + 1
        wait_s = self._context.back_off_s(failures, base_s=max(at_least_s, self._context.settings.retry_base_s))
        self._retry.rest(conv, now + (self._context.settings.repeat_fixed_s or at_least_s + wait_s))

    def _drop_head(self, conv: int, *, acked: bool = False) -> None:
        queue = self._queues[conv]
        head = queue.pop(0)
        if self._memory is not None and head.names:
            self._memory.settled(conv, acked=acked)
        if not queue:
            del self._queues[conv]
        self._size -= 1
        del self._begun[conv]
        self._failures.pop(conv, None)
        self.doubted.pop(conv, None)
        self._retry.forget(conv)


def _check(body: bytes) -> None:
    if not 0 < len(body) <= MAX_BODY:
        raise ValueError(f"a body of {len(body)} bytes; 1 to {MAX_BODY} are allowed")
