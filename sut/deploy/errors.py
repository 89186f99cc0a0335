"""What can go wrong around a system's processes. Each text is the one line that a person reads."""

from __future__ import annotations

from typing import Final

from sut.ports import SutError

EXIT_USAGE: Final = 64
EXIT_CANNOT: Final = 70
"""Exit status of a process that could not do its job for a reason that a person can mend."""


class DeployError(SutError):
    """A system could not be built, started, found or stopped."""


class AlreadyRunningError(DeployError):
    """The directory has a running system."""


class LinkError(DeployError):
    """The link proxies did not do what was asked; what they do now is unknown unless the text says so."""


class PacketError(DeployError):
    """iptables did not do what was asked."""
