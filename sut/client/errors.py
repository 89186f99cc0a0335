"""What can keep a person from chatting, as one line each."""

from __future__ import annotations


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
