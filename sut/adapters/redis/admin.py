"""Redis and Sentinel as an operator sees them: who is master, who follows, who could take over. Blocking, read-only.

For probes and for the supervisor, not for the services. Every call opens a connection of its own, asks, and closes it
within its deadline; it raises Unavailable when there is no whole answer. `login`: None for a server without users.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple, cast

from redis.exceptions import ResponseError

from sut.adapters.redis.client import Address, asking
from sut.deploy.logins import Login
from sut.ports import Unavailable

_AWAY: Final = frozenset({"s_down", "o_down", "disconnected"})
"""Flags under which Sentinel does not count on somebody."""


class RedisRole(NamedTuple):
    """What a data node says of itself."""

    role: str
    """"master" or "slave"."""
    master: Address | None
    """Whom it follows; None for a master."""
    linked: bool
    """A replica: whether it is in step with its master. A master: true."""
    replicas: tuple[Address, ...]
    """A master's replicas that are connected."""


class SentinelView(NamedTuple):
    """What one Sentinel says of the master it watches."""

    master: Address
    """During a failover the promoted replica, as soon as it is one."""
    flags: frozenset[str]
    """Of the master it had: "master", and "s_down", "o_down", "failover_in_progress" in a failover."""
    replicas: int
    """Those it could promote now: connected and in step."""
    sentinels: int
    """Other Sentinels it is connected to."""
    tilt: bool = False
    """It was not run for 2 s, or its clock was set, and so starts no failover for 30 s after that (tilt.py)."""


def ping(address: Address, timeout_s: float, login: Login | None = None) -> None:
    """Have a node or Sentinel answer. Raises Unavailable."""
    with asking(address, timeout_s, login=login) as ask:
        ask("PING")


def role(address: Address, timeout_s: float, login: Login | None = None) -> RedisRole:
    """A data node's role. Raises Unavailable."""
    with asking(address, timeout_s, login=login) as ask:
        answer = ask("ROLE")
        if answer[0] == "master":
            replicas = tuple((str(host), int(port)) for host, port, _offset in answer[2])
            return RedisRole("master", None, True, replicas)
        return RedisRole(str(answer[0]), (str(answer[1]), int(answer[2])), answer[3] == "connected", ())


def sentinel_view(address: Address, master_name: str, timeout_s: float, login: Login | None = None) -> SentinelView:
    """One Sentinel's view. Raises Unavailable, also when it does not know the master."""
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
    """What one Sentinel says of whether those it reaches suffice for a failover: "OK ..." or why not.

    Raises Unavailable when it does not answer.
    """
    with asking(address, timeout_s, login=login) as ask:
        try:
            return str(ask("SENTINEL CKQUORUM", master_name))
        except ResponseError as error:
            return str(error)


class SentinelMembers(NamedTuple):
    """Who a Sentinel knows, each by the address it names to clients."""

    nodes: tuple[Address, ...]
    """The master, then its replicas that are there."""
    sentinels: tuple[Address, ...]
    """The other Sentinels that are there."""


def sentinel_members(
    address: Address, master_name: str, timeout_s: float, login: Login | None = None
) -> SentinelMembers:
    """Who belongs to this master. Raises Unavailable, also when the Sentinel watches another one."""
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
    """The gateways that hold a lease in the registry on this Redis now (redis_registry.py). Raises Unavailable."""
    with asking(address, timeout_s, login=login) as ask:
        return tuple(sorted(node for node in map(str, ask("SMEMBERS", "nodes")) if ask("EXISTS", f"lease:{node}")))


def _table(flat: object) -> Mapping[str, str]:
    """Sentinel's answers: name, value, name, value."""
    items = cast("list[str]", flat)
    return dict(zip(items[::2], items[1::2], strict=True))


def _there(tables: Iterable[Mapping[str, str]]) -> list[Address]:
    """The addresses of those that are not down."""
    return [(one["ip"], int(one["port"])) for one in tables if not _flags(one) & _AWAY]


def _flags(table: Mapping[str, str]) -> frozenset[str]:
    return frozenset(table["flags"].split(","))
