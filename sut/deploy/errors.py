"""The errors around a system's processes. Each text is one line for people."""

from __future__ import annotations

from typing import Final

from sut.ports import SutError

EXIT_USAGE: Final = 64
EXIT_CANNOT: Final = 70
"""Exit status of a process that failed for a reason that a person can fix."""


class DeployError(SutError):
    """A system could not be built, started, found or stopped."""


class AlreadyRunningError(DeployError):
    """The directory has a running system."""


class LinkError(DeployError):
    """The link proxies did not do what was asked. Their present state is unknown unless the text says it."""


class PacketError(DeployError):
    """iptables did not do what was asked."""


class ThrottleError(DeployError):
    """The kernel's control groups did not do what was asked, or cannot."""
