"""One device's read-back: every conversation page by page, then SYNC and what it has news of, on some connections.

After a broken connection the next one continues where it ended, so each message is written to the history once. A
page's statement that there is no more may be outdated. So the read-back counts as complete only after a SYNC that was
not STALE found nothing new.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final, TypeVar

from load.device import body as bodies
from load.history.events import Event, message_id
from load.history.writer import HistoryWriter
from load.readback.wire import Closed, Wire
from sut.protocol.frames import (
    MAX_FETCH,
    MAX_SYNC_CURSORS,
    SYNCED_MORE,
    SYNCED_STALE,
    Close,
    Error,
    Fetch,
    Page,
    Sync,
    Synced,
    Welcome,
    decode_server,
    encode,
)

ANSWER_S: Final = 5.0
MAX_STALE: Final = 20
"""How often a SYNC is repeated, STALE_WAIT_S later, because a sequencer did not answer."""
STALE_WAIT_S: Final = 0.5
_I64: Final = (1 << 63) - 1

F = TypeVar("F", Welcome, Synced, Page)


class Unreadable(Exception):
    """The service refuses for good what this user may read according to the history."""

    def __init__(self, conv: int, text: str) -> None:
        super().__init__(text)
        self.conv = conv


class AskAgain(Exception):
    """The request failed and may be repeated on a new connection."""


class Reader:
    """One device's read-back, over as many connections as necessary."""

    def __init__(
        self, device: int, expected: Iterable[int], history: HistoryWriter, *, quiet: Iterable[int] = ()
    ) -> None:
        """`expected`: the conversations to read. `quiet`: those that are read only if SYNC has news of them."""
        self.device = device
        self._quiet = frozenset(quiet)
        self._history = history
        self._after = dict.fromkeys(expected, 0)
        """Conversation -> number up to which it was read; finished ones are removed."""
        self._done: dict[int, int] = {}
        """Conversation -> the head up to which it was read."""
        self._refused: set[int] = set()
        self._req = 0
        self.rows = 0

    async def read(self, connection: Wire) -> None:
        """Continue where the last connection ended. Raises Unreadable, AskAgain, Closed, FrameError."""
        await self._answer(connection, Welcome, None)
        while True:
            while self._after:
                await self._conversation_of_ours(connection, next(iter(self._after)))
            for conv in set(await self._ahead(connection)) - self._refused:
                self._after.setdefault(conv, self._done.pop(conv, 0))
            if not self._after:
                break
        for conv, head in self._done.items():
            self._history.append(Event.FINAL_DONE, device=self.device, conv=conv, seq=head)
        for conv in self._quiet - self._done.keys() - self._refused:
            self._history.append(Event.FINAL_DONE, device=self.device, conv=conv, seq=0)
        self._done.clear()
        self._quiet = frozenset()

    async def _conversation_of_ours(self, connection: Wire, conv: int) -> None:
        try:
            await self._conversation(connection, conv)
        except Closed as closed:
            if closed.code == Close.FOREIGN:
                raise Unreadable(conv, "the service says the user never was a member") from None
            raise

    def forget(self, conv: int) -> None:
        """Give up a conversation that cannot be read."""
        self._after.pop(conv, None)
        self._refused.add(conv)

    async def _ahead(self, connection: Wire) -> list[int]:
        """Return the conversations with messages beyond what was read. Raises AskAgain if the answer stays STALE."""
        found: dict[int, None] = {}
        after_conv = asked_again = 0
        stale = False
        cursors = sorted(self._done.items())
        while True:
            known = [(conv, seq) for conv, seq in cursors if conv > after_conv][:MAX_SYNC_CURSORS]
            req = self._next_req()
            connection.send(encode(Sync(req, after_conv, tuple(known))))
            synced = await self._answer(connection, Synced, req)
            found.update((entry.conv, None) for entry in synced.entries if entry.seq > self._done.get(entry.conv, 0))
            stale = stale or bool(synced.flags & SYNCED_STALE)
            if synced.flags & SYNCED_MORE and synced.entries:
                after_conv = synced.entries[-1].conv
            elif len(known) == MAX_SYNC_CURSORS:
                after_conv = known[-1][0]
            elif stale:
                asked_again += 1
                if asked_again > MAX_STALE:
                    raise AskAgain("a part of the system is away")
                after_conv, stale = 0, False
                await asyncio.sleep(STALE_WAIT_S)
            else:
                return list(found)

    async def _conversation(self, connection: Wire, conv: int) -> None:
        """Read one conversation to its head. Raises Unreadable, AskAgain."""
        waits = 0
        while True:
            after = self._after[conv]
            req = self._next_req()
            connection.send(encode(Fetch(req, conv, after, MAX_FETCH)))
            page = await self._answer(connection, Page, req)
            for message in page.messages:
                if not message.flags:
                    self._history.append(
                        Event.FINAL,
                        device=self.device,
                        conv=conv,
                        msg=message_id(message.device, message.client_seq) & _I64,
                        seq=message.seq,
                        hash_=bodies.digest(message.body),
                    )
                    self.rows += 1
            if page.through >= page.head:
                del self._after[conv]
                self._done[conv] = page.head
                return
            if page.through > after:
                self._after[conv] = page.through
            elif waits < MAX_STALE:  # numbered, but not stored yet
                waits += 1
                await asyncio.sleep(STALE_WAIT_S)
            else:
                raise Unreadable(conv, f"a page after {after} ends at {page.through}, below the head {page.head}")

    def _next_req(self) -> int:
        self._req += 1
        return self._req

    async def _answer(self, connection: Wire, kind: type[F], req: int | None) -> F:
        """Return the next frame of this kind that answers the last request. Raises AskAgain."""
        try:
            async with asyncio.timeout(ANSWER_S):
                while True:
                    data = await connection.recv()
                    frame = decode_server(data)
                    if isinstance(frame, kind) and (req is None or getattr(frame, "req", None) == req):
                        return frame
                    if isinstance(frame, Error) and frame.req == req:
                        raise AskAgain(f"error {frame.code}")
        except TimeoutError:
            raise AskAgain(f"no {kind.__name__} in {ANSWER_S:g} s") from None
