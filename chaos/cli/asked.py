"""Checks of the options before anything is started. Each function raises UsageError."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chaos.errors import UsageError, no_such

if TYPE_CHECKING:
    from sut.deploy.servers.external import Servers


def check_profile(name: str) -> None:
    """Check that there is a profile of that name."""
    from sut.deploy.profiles import PROFILES

    if name not in PROFILES:
        raise UsageError(no_such("profile", name, PROFILES))


def check_variant(name: str | None) -> None:
    """Check that there is a variant of that name, if one is given."""
    from sut import variants

    if name is not None and "." not in name and name not in variants.VARIANTS:
        raise UsageError(no_such("variant", name, variants.VARIANTS))
    if name is not None:
        try:
            variants.find(name)
        except variants.UnknownVariant as error:
            raise UsageError(str(error)) from None


def check_redis(servers: Servers | None = None, profile: str = "embedded") -> None:
    """Check that there is a redis-server, ours or an external one. The error names the command that installs one.

    In containers it is that of an image.
    """
    from sut.deploy.errors import DeployError
    from sut.deploy.profiles import PROFILES
    from sut.deploy.servers import binaries

    if (servers is not None and servers.sentinels) or PROFILES[profile].containers:
        return
    try:
        binaries.find_redis_server(binaries.least_redis(PROFILES[profile].services))
    except DeployError as error:
        raise UsageError(str(error)) from None
