"""Redis and Sentinel as an operator sees them: the master, its replicas, and the possible failovers.

Blocking and read-only; for probes and the supervisor, not for the services. Every call opens its own connection, asks,
and closes it within its deadline. It raises Unavailable when there is no complete answer. `login`: None for a server
without users.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple, cast

from redis.exceptions import ResponseError

from sut.adapters.redis.client import Address, asking
from sut.deploy.logins import Login
from sut.ports import Unavailable

_AWAY: Final = frozenset({"s_down", "o_down", "disconnected"})
"""Flags of a server that Sentinel believes down or cannot reach."""


class RedisRole(NamedTuple):
    """The role that a data node reports."""

    role: str
    """The role as Redis names it: "master" or "slave"."""
    master: Address | None
    """The master of a replica; None for a master."""
    linked: bool
    """A replica: True while it is connected to its master and in sync. A master: always True."""
    replicas: tuple[Address, ...]
    """The connected replicas of a master."""


class SentinelView(NamedTuple):
    """The master as one Sentinel reports it."""

    master: Address
    """During a failover: the promoted replica, as soon as it is master."""
    flags: frozenset[str]
    """Flags of the old master: "master", and in a failover "s_down", "o_down", "failover_in_progress"."""
    replicas: int
    """The number of replicas that it could promote now: connected and in sync."""
    sentinels: int
    """The number of other Sentinels that it is connected to."""
    tilt: bool = False
    """True in TILT: it was not run for 2 s, or its clock was set. It then starts no failover for 30 s (tilt.py)."""


def ping(address: Address, timeout_s: float, login: Login | None = None) -> None:
    """Send PING to a node or Sentinel. Raises Unavailable."""
    with asking(address, timeout_s, login=login) as ask:
        ask("PING")


def role(address: Address, timeout_s: float, login: Login | None = None) -> RedisRole:
    """Return a data node's role. Raises Unavailable."""
    with asking(address, timeout_s, login=login) as ask:
        answer = ask("ROLE")
        if answer[0] == "master":
            replicas = tuple((str(host), int(port)) for host, port, _offset in answer[2])
            return RedisRole("master", None, True, replicas)
        return RedisRole(str(answer[0]), (str(answer[1]), int(answer[2])), answer[3] == "connected", ())


def sentinel_view(address: Address, master_name: str, timeout_s: float, login: Login | None = None) -> SentinelView:
    """Return one Sentinel's view. Raises Unavailable, also when it does not know the master."""
    with asking(address, timeout_s, login=login) as ask:
        master = ask("SENTINEL GET-MASTER-ADDR-BY-NAME", master_name)
        if master is None:
            raise Unavailable(f"{address[0]}:{address[1]}: knows no master {master_name!r}")
        state = _table(ask("SENTINEL MASTER", master_name))
        replicas = map(_table, ask("SENTINEL REPLICAS", master_name))
        others = map(_table, ask("SENTINEL SENTINELS", master_name))
        return SentinelView(
            master=(str(master[0]), int(master[1])),
            flags=_flags(state),
            replicas=sum(not _flags(one) & _AWAY and one["master-link-status"] == "ok" for one in replicas),
            sentinels=sum(not _flags(one) & _AWAY for one in others),
            tilt="sentinel_tilt:1" in str(ask("INFO", "sentinel")).split(),
        )


def quorum(address: Address, master_name: str, timeout_s: float, login: Login | None = None) -> str:
    """Return "OK ..." if the Sentinels that this one reaches suffice for a failover, else its reason.

    Raises Unavailable when it does not answer.
    """
    with asking(address, timeout_s, login=login) as ask:
        try:
            return str(ask("SENTINEL CKQUORUM", master_name))
        except ResponseError as error:
            return str(error)


class SentinelMembers(NamedTuple):
    """The servers that a Sentinel knows, by the addresses that it tells clients."""

    nodes: tuple[Address, ...]
    """The master, then its replicas that are not down."""
    sentinels: tuple[Address, ...]
    """The other Sentinels that are not down."""


def sentinel_members(
    address: Address, master_name: str, timeout_s: float, login: Login | None = None
) -> SentinelMembers:
    """Return the members of this master's group. Raises Unavailable, also when the Sentinel watches another one."""
    with asking(address, timeout_s, login=login) as ask:
        master = ask("SENTINEL GET-MASTER-ADDR-BY-NAME", master_name)
        if master is None:
            known = ", ".join(_table(one)["name"] for one in ask("SENTINEL MASTERS")) or "none"
            raise Unavailable(f"{address[0]}:{address[1]}: knows no master {master_name!r}; it watches {known}")
        replicas = map(_table, ask("SENTINEL REPLICAS", master_name))
        others = map(_table, ask("SENTINEL SENTINELS", master_name))
        return SentinelMembers(
            nodes=((str(master[0]), int(master[1])), *_there(replicas)), sentinels=tuple(_there(others))
        )


def leased(address: Address, timeout_s: float, login: Login | None = None) -> tuple[str, ...]:
    """Return the gateways that hold a lease in this Redis now (registry.py). Raises Unavailable."""
    with asking(address, timeout_s, login=login) as ask:
        return tuple(sorted(node for node in map(str, ask("SMEMBERS", "nodes")) if ask("EXISTS", f"lease:{node}")))


def _table(flat: object) -> Mapping[str, str]:
    """Convert Sentinel's flat answer (name, value, name, value) to a mapping."""
    items = cast("list[str]", flat)
    return dict(zip(items[::2], items[1::2], strict=True))


def _there(tables: Iterable[Mapping[str, str]]) -> list[Address]:
    """Return the addresses of the servers that are not down."""
    return [(one["ip"], int(one["port"])) for one in tables if not _flags(one) & _AWAY]


def _flags(table: Mapping[str, str]) -> frozenset[str]:
    return frozenset(table["flags"].split(","))
