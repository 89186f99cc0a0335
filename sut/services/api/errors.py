"""The error of a request to the HTTP API."""

from __future__ import annotations


class ProblemError(Exception):
    """A request fails with this status and this one-line text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
