"""The base of the variants that spoil a registry. No variant itself."""

from __future__ import annotations

from typing import Any

from sut.ports import Registry


class PassingOn:
    """Passes every call to the registry behind it. A variant overrides what it does worse."""

    def __init__(self, inner: Registry) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)
