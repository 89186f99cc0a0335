"""One device's read-back: SYNC from 0, then every conversation page by page, on one connection or several.

What was read stays read: after a broken connection the next one goes on where it ended, so each message is written to
the history once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final, TypeVar

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from load import body as bodies
from load.history import Event, HistoryWriter, message_id
from sut.protocol.frames import (
    MAX_FETCH,
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
MAX_STALE: Final = 3
"""How often a SYNC is asked again because a sequencer was away. The history's memberships make up for the rest."""
_I64: Final = (1 << 63) - 1

F = TypeVar("F", Welcome, Synced, Page)


class Unreadable(Exception):
    """The service refuses, for good, what the history says this user may read."""

    def __init__(self, conv: int, text: str) -> None:
        super().__init__(text)
        self.conv = conv


class AskAgain(Exception):
    """The request failed and may be repeated on a new connection."""


class Reader:
    """One device's read-back, over as many connections as it takes."""

    def __init__(self, device: int, expected: Iterable[int], history: HistoryWriter) -> None:
        self.device = device
        self._history = history
        self._after = dict.fromkeys(expected, 0)
        """Conversation -> read up to here; those that are done are gone from it."""
        self._learned = False
        self._req = 0
        self.rows = 0

    async def read(self, connection: ClientConnection) -> None:
        """Go on where the last connection ended. Raises Unreadable, AskAgain, ConnectionClosed, FrameError."""
        await self._answer(connection, Welcome, None)
        if not self._learned:
            for conv in await self._conversations(connection):
                self._after.setdefault(conv, 0)
            self._learned = True
        while self._after:
            conv = next(iter(self._after))
            try:
                await self._conversation(connection, conv)
            except ConnectionClosed as closed:
                if closed.rcvd is not None and closed.rcvd.code == Close.FOREIGN:
                    raise Unreadable(conv, "the service says the user never was a member") from None
                raise

    def forget(self, conv: int) -> None:
        """This conversation cannot be read."""
        self._after.pop(conv, None)

    async def _conversations(self, connection: ClientConnection) -> list[int]:
        """All that the service offers to somebody who has seen nothing."""
        found: dict[int, None] = {}
        after_conv = stale = 0
        while True:
            req = self._next_req()
            await connection.send(encode(Sync(req, after_conv, ())))
            synced = await self._answer(connection, Synced, req)
            found.update((entry.conv, None) for entry in synced.entries)
            if synced.flags & SYNCED_MORE and synced.entries:
                after_conv = synced.entries[-1].conv
            elif synced.flags & SYNCED_STALE and stale < MAX_STALE:
                stale += 1
                after_conv = 0
                await asyncio.sleep(0.5)
            else:
                return list(found)

    async def _conversation(self, connection: ClientConnection, conv: int) -> None:
        """One conversation to its head."""
        while True:
            after = self._after[conv]
            req = self._next_req()
            await connection.send(encode(Fetch(req, conv, after, MAX_FETCH)))
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
                self._history.append(Event.FINAL_DONE, device=self.device, conv=conv, seq=page.head)
                del self._after[conv]
                return
            if page.through <= after:
                raise Unreadable(conv, f"a page after {after} ends at {page.through}, below the head {page.head}")
            self._after[conv] = page.through

    def _next_req(self) -> int:
        self._req += 1
        return self._req

    async def _answer(self, connection: ClientConnection, kind: type[F], req: int | None) -> F:
        """The next frame of this kind that is an answer to the last request."""
        try:
            async with asyncio.timeout(ANSWER_S):
                while True:
                    data = await connection.recv(decode=False)
                    frame = decode_server(data)
                    if isinstance(frame, kind) and (req is None or getattr(frame, "req", None) == req):
                        return frame
                    if isinstance(frame, Error) and frame.req == req:
                        raise AskAgain(f"error {frame.code}")
        except TimeoutError:
            raise AskAgain(f"no {kind.__name__} in {ANSWER_S:g} s") from None
