"""What can keep a person from chatting, as one line each."""

from __future__ import annotations

import os
import re


class ClientError(Exception):
    """The client cannot go on; the text is one line for the person."""


class UserMistake(ClientError):
    """What was typed cannot be done as it was said; nothing has changed."""


class Replaced(ClientError):
    """The same device goes on in another program; this one has to let go of everything at once."""


class ApiProblem(Exception):
    """The HTTP API did not do as asked; one line. `definite`: it had no effect and asking again will not help."""

    def __init__(self, text: str, *, status: int = 0, definite: bool = False) -> None:
        super().__init__(text)
        self.status = status
        self.definite = definite


def sentence(error: Exception) -> str:
    """What a person reads of an error of the network: "Connection refused", without a number in brackets."""
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return re.sub(r"\[Errno -?\d+\] ", "", str(error)) or type(error).__name__
