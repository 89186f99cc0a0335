"""The console for people: as wide as their terminal, and in a pipe or a file wide enough for one line per row."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from types import TracebackType
from typing import IO, Any, Final, Self, TypeVar, cast

from rich.console import Console
from rich.live import Live
from rich.table import Column, Table

PIPE_WIDTH: Final = 400
"""More than the longest row of a table: lines that are searched or kept must not be folded."""
MIN_WIDTH: Final = 20
"""Minimum width of lines, also on a terminal that reports fewer or 0 columns."""

T = TypeVar("T")


class _Stream:
    """A stream that goes silent when its terminal is gone (EIO), so that the run can still end in good order."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        return self._while_there(lambda: self._stream.write(text), len(text))

    def flush(self) -> None:
        self._while_there(self._stream.flush, None)

    def _while_there(self, act: Callable[[], T], otherwise: T) -> T:
        try:
            return act()
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            _to_nowhere(self._stream)
            return otherwise


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Be silent once the reader has gone; rich would end the process with 1, which means invalid here."""
        self.quiet = True
        _to_nowhere(self.file)


def _to_nowhere(stream: IO[str]) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def for_people(*, stderr: bool = False) -> Console:
    """Return a console on standard output or standard error. A COLUMNS above 0 sets the width everywhere."""
    columns = os.environ.get("COLUMNS", "")
    wanted = int(columns) if columns.isascii() and columns.isdecimal() else 0
    environ = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    stream = cast("IO[str]", _Stream(sys.stderr if stderr else sys.stdout))
    made = _Console(file=stream, width=wanted or None, _environ=environ)
    if not wanted and not made.is_terminal:
        made.width = PIPE_WIDTH
    made.width = max(made.width, MIN_WIDTH)
    return made


class Redrawn:
    """A context in which something is redrawn repeatedly. `live` is None without a terminal."""

    def __init__(self, console: Console, **how: Any) -> None:
        self.console = console
        self.live = Live(console=console, transient=True, **how) if console.is_interactive else None

    def __enter__(self) -> Self:
        if self.live is not None:
            self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.live is not None:
            self.live.stop()


def plain_table(first: str, *others: str, title: str | None = None) -> Table:
    """Return a table without lines; its first column is never folded."""
    return Table(
        Column(first, no_wrap=True),
        *others,
        title=title,
        title_justify="left",
        box=None,
        pad_edge=False,
        padding=(0, 2, 0, 0),
    )
