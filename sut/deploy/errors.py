"""What can go wrong around a system's processes. Each text is the one line that a person reads."""

from __future__ import annotations

from sut.ports import SutError


class DeployError(SutError):
    """A system could not be built, started, found or stopped."""


class LinkError(DeployError):
    """The link proxies did not do what was asked; what they do now is unknown unless the text says so."""
