"""The errors of the client. Each text is one line for the person."""

from __future__ import annotations

import os
import re


class ClientError(Exception):
    """The client cannot go on; the text is one line for the person."""


class UserMistake(ClientError):
    """The person's command cannot be executed. Nothing has changed."""


class Replaced(ClientError):
    """Another program has taken over this device. This one must close its state at once."""


class ApiProblem(Exception):
    """A request to the HTTP API failed; the text is one line.

    `definite`: it had no effect, and a retry will not help.
    """

    def __init__(self, text: str, *, status: int = 0, definite: bool = False) -> None:
        super().__init__(text)
        self.status = status
        self.definite = definite


def sentence(error: Exception) -> str:
    """Return the text of a network error for the person, without an errno in brackets: "Connection refused"."""
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return re.sub(r"\[Errno -?\d+\] ", "", str(error)) or type(error).__name__
