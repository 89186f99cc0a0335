"""The base class of the variants that damage a registry. It is no variant itself."""

from __future__ import annotations

from typing import Any

from sut.ports import Registry


class PassingOn:
    """Passes every call on to the inner registry. A variant overrides what it does wrong."""

    def __init__(self, inner: Registry) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)
