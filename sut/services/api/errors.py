"""How a request of the HTTP API fails."""

from __future__ import annotations


class ProblemError(Exception):
    """A request that fails with this status and line."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
