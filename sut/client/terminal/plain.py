"""The client without a screen: lines in, lines out; for scripts, tests and simple terminals.

    * connected to 127.0.0.1:40001        the connection
    * ...                                 a notice
    [bob] alice: hello                    a numbered line of a conversation, of others or of this person
    [bob] alice: hello (edited)           the same line after an edit;  (deleted): after a deletion
    ! ...                                 a command that cannot be executed, or a message that was not sent

At the end of the input it waits until every message has its sequence number, and says what it waits for.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from concurrent.futures import CancelledError
from typing import Final, TextIO

from sut.client.actions import Actions
from sut.client.chat import Chat
from sut.client.core import LineChanged, Said, StatusChanged, Update
from sut.client.errors import ClientError, UserMistake
from sut.client.model import Line, LineKind
from sut.client.service.link import Status
from sut.client.terminal import slash

SETTLE_S: Final = 60.0
AT_ONCE_S: Final = 1.0
"""The wait for the last messages, in seconds, after which the person is told what it waits for."""
MAX_QUEUED: Final = 1_000
"""The number of typed lines that are read ahead."""
MAX_LINE: Final = 1 << 20
"""The longest line in bytes. A longer one is dropped."""


class Plain:
    """Prints the updates of a chat, and executes the typed lines."""

    def __init__(self, output: TextIO) -> None:
        self._output = output
        self._printed: dict[int, str] = {}
        self._status = ""
        self.chat: Chat | None = None

    def show(self, update: Update) -> None:
        """Print one update; the chat's listener."""
        match update:
            case LineChanged(line, _):
                self._line(line)
            case StatusChanged(status):
                self._connection(status)
            case Said(text):
                self._print(*(f"* {part}" for part in text.splitlines()))
            case _:
                pass

    async def run(self, chat: Chat, typed: asyncio.Queue[str | None]) -> None:
        """Run until the input ends or /quit. Raises ClientError when the client cannot go on, or a message stays
        unsent.
        """
        self.chat = chat
        actions = Actions(chat)
        running = asyncio.create_task(chat.run())
        talking = asyncio.create_task(self._talk(chat, actions, typed))
        try:
            await asyncio.wait((running, talking), return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                running.result()
            talking.result()
        finally:
            for task in (running, talking):
                task.cancel()
            await asyncio.gather(running, talking, return_exceptions=True)

    async def _talk(self, chat: Chat, actions: Actions, typed: asyncio.Queue[str | None]) -> None:
        conv = 0
        while (line := await typed.get()) is not None:
            try:
                result = await slash.do(actions, chat.core, conv, line)
            except UserMistake as mistake:
                self._print(f"! {mistake}")
                continue
            await actions.look(result.conv)
            if result.conv != conv:
                conv = result.conv
                self._print(f"* in {chat.core.title(chat.core.conversations[conv])}")
            if result.said:
                self._print(*(f"* {part}" for part in result.said.splitlines()))
            if result.quit:
                break
        await self._leave(actions)

    async def _leave(self, actions: Actions) -> None:
        """Wait until everything is sent, and say what it waits for. Raises ClientError after SETTLE_S."""
        if await actions.settled(AT_ONCE_S):
            return
        self._print(f"* waiting up to {SETTLE_S:.0f} s, {actions.unsettled()}")
        if not await actions.settled(SETTLE_S):
            unsent = f"not everything was sent within {SETTLE_S:.0f} s, {actions.unsettled()}"
            raise ClientError(f"{unsent}; it is kept and goes out next time")

    def _line(self, line: Line) -> None:
        assert self.chat is not None
        core = self.chat.core
        if line.failed:
            text = f"! not sent: {line.text} ({line.failed})"
        elif not line.seq:
            return
        else:
            mark = " (deleted)" if line.deleted else " (edited)" if line.edited else ""
            said = line.text.replace("\n", " / ")
            title = core.title(core.conversations[line.conv])
            text = f"[{title}] {core.called(line.user)}: {said}{mark}"
            if line.kind is LineKind.EARLIER or not line.user:
                text = f"[{title}] * {line.text}"
            elif line.kind is LineKind.NOTICE:
                text = f"[{title}] {core.called(line.user)} {line.text}"
            elif line.kind is LineKind.SEALED:
                text = f"[{title}] {core.called(line.user)} sent {line.text}"
        if self._printed.get(line.row) != text:
            self._printed[line.row] = text
            self._print(text)

    def _connection(self, status: Status) -> None:
        text = {"online": f"* connected to {status.gateway}", "waiting": f"* not connected: {status.reason}"}.get(
            status.state, ""
        )
        if text and text != self._status:
            self._status = text
            self._print(text)

    def _print(self, *lines: str) -> None:
        with contextlib.suppress(BrokenPipeError):
            for line in lines:
                print(line, file=self._output, flush=True)


def read_lines(fd: int) -> asyncio.Queue[str | None]:
    """Return a queue of the lines of a file as they arrive, with None at the end. Call it in the loop that reads the
    queue.

    A separate daemon thread reads the file, so any kind of file can be awaited. The thread holds no lock of a Python
    file object, so the program can end without waiting for it.
    """
    queue: asyncio.Queue[str | None] = asyncio.Queue(MAX_QUEUED)
    loop = asyncio.get_running_loop()

    def put(line: str | None) -> None:
        asyncio.run_coroutine_threadsafe(queue.put(line), loop).result()

    def read() -> None:
        rest = b""
        with contextlib.suppress(RuntimeError, OSError, CancelledError):  # the loop or the file was closed
            while data := os.read(fd, 64 * 1024):
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    put(line.decode(errors="replace"))
                if len(rest) > MAX_LINE:
                    rest = b""
            if rest:
                put(rest.decode(errors="replace"))
            put(None)

    threading.Thread(target=read, name="typed", daemon=True).start()
    return queue
