"""The console that people read: as wide as their terminal, and in a pipe or a file wide enough for one line a row."""

from __future__ import annotations

import os
from typing import Final

from rich.console import Console

PIPE_WIDTH: Final = 400
"""More than the longest row of a table: lines that are searched or kept must not be folded."""


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Whoever read it has gone: be silent, where rich would end the process with 1, which means invalid here."""
        self.quiet = True
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.file.fileno())
        os.close(nowhere)


def for_people(*, stderr: bool = False) -> Console:
    """On standard output, or standard error. COLUMNS counts everywhere."""
    made = _Console(stderr=stderr)
    return made if made.is_terminal or "COLUMNS" in os.environ else _Console(stderr=stderr, width=PIPE_WIDTH)
