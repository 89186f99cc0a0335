"""Servers that the tests of a scope share (`scope` in tests/conftest.py). They end with the last of those tests."""

import contextlib
from typing import TypeVar

T = TypeVar("T")
_open = contextlib.ExitStack()


def keep(server: contextlib.AbstractContextManager[T]) -> T:
    """Start a server for all tests of the scope under way; returns what its block gets."""
    return _open.enter_context(server)


def end() -> None:
    """End what was kept: the tests after it have the machine for themselves."""
    _open.close()
