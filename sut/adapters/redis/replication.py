"""Cuts the replication of a Redis at its master, so that the replica misses later writes. Blocking; for faults.

Redis replicates so fast that a replica on the same machine hardly ever lags, and a failover there loses nothing. So a
test without this fault is too kind to everything that relies on Redis. A proxy between the two does not last, because
Sentinel points the replica back at the master's own address. So the master is told to refuse replicas, and its present
link is dropped.
"""

from __future__ import annotations

from typing import Final

from sut.adapters.redis.client import Address, asking
from sut.deploy.logins import Login
from sut.ports import Unavailable

TIMEOUT_S: Final = 1.0


def cut_replication(address: Address, login: Login | None = None, replica_user: str = "default") -> bool:
    """Refuse replicas and drop the connected ones. Clients notice nothing. False: the server did not answer.

    `replica_user`: the user as which replicas log in.
    """
    try:
        with asking(address, TIMEOUT_S, login=login) as ask:
            ask("ACL", "SETUSER", replica_user, "-psync", "-sync")
            ask("CLIENT", "KILL", "TYPE", "replica")
    except Unavailable:
        return False
    return True


def allow_replication(address: Address, login: Login | None = None, replica_user: str = "default") -> None:
    """Accept replicas again. Harmless when none was refused. A Redis that is down lost the setting when it died."""
    try:
        with asking(address, TIMEOUT_S, login=login) as ask:
            ask("ACL", "SETUSER", replica_user, "+psync", "+sync")
    except Unavailable:
        return


def takes_writes(address: Address, timeout_s: float, login: Login | None = None, *, tag: str = "") -> bool:
    """Return True if the server accepts a write now. The key written has no meaning, and expires after a second.

    `tag`: of the key, where the server has only some of the slots.
    """
    try:
        with asking(address, timeout_s, login=login) as ask:
            return bool(ask("SET", "petrel:write-probe" + (tag and f"{{{tag}}}"), "1", "PX", "1000") == "OK")
    except Unavailable:
        return False
