"""The exceptions that ports raise."""

from __future__ import annotations


class SutError(Exception):
    """Root of the chat system's errors. `definite`: the operation certainly had no effect."""

    definite = False


class Unavailable(SutError):
    """A backend did not answer in time or refused; a write may or may not have happened."""
