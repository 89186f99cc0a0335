"""Moves a slot of a Redis Cluster from one master to another, as resharding does. Blocking; for faults.

While the slot is on its way, its old master answers ASK for keys that have left; afterwards, MOVED. No key is ever in
two places: MIGRATE moves each as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from sut.adapters.redis.client import Address, asking
from sut.adapters.redis.cluster.admin import keys_in, owner, view
from sut.deploy.logins import Login
from sut.ports import Unavailable

__all__ = ["Unavailable", "bring_home", "carry", "settle"]

TIMEOUT_S: Final = 3.0
_AT_ONCE: Final = 100
_MIGRATE_MS: Final = 2_000


def carry(slot: int, target: Address, login: Login | None) -> None:
    """Begin to move the slot, and move its keys: from then on its master answers each command with ASK.

    Also goes on with such a move. Does nothing if the target has the slot. Raises Unavailable.
    """
    ids = _masters(target, login)
    source = owner(target, slot, TIMEOUT_S, login)
    if source == target:
        return
    if source is None or source not in ids:
        raise Unavailable(f"slot {slot} has no living master")
    with asking(target, TIMEOUT_S, login=login) as ask:
        ask("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[source])
    with asking(source, TIMEOUT_S, login=login, each=True) as ask:
        ask("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[target])
        _carry_keys(ask, slot, target, login)


def settle(slot: int, target: Address, login: Login | None) -> None:
    """Tell all masters, the target first, that it has the slot now. Its keys are there. Raises Unavailable."""
    ids = _masters(target, login)
    for said in (("NODE", ids[target]), ("STABLE",)):
        for address in (target, *(ids.keys() - {target})):
            with asking(address, TIMEOUT_S, login=login) as ask:
                ask("CLUSTER", "SETSLOT", slot, *said)


def bring_home(slot: int, home: Address, login: Login | None) -> None:
    """Move the slot to this node, or to its master if it is a replica, from any state of a move. Raises Unavailable.

    A move away that stopped halfway is ended first: then no client sees a key as missing.
    """
    members = {member.id: member for member in view(home, TIMEOUT_S, login).members}
    here = next(member for member in members.values() if "myself" in member.flags)
    target = members[here.follows].address if here.follows in members else home
    for other in _masters(target, login).keys() - {target}:
        if owner(target, slot, TIMEOUT_S, login) == target and keys_in(other, slot, TIMEOUT_S, login):
            carry(slot, other, login)
            settle(slot, other, login)
    carry(slot, target, login)
    settle(slot, target, login)


def _masters(address: Address, login: Login | None) -> Mapping[Address, str]:
    """Return the id of each living master by its address."""
    members = view(address, TIMEOUT_S, login).members
    return {member.address: member.id for member in members if member.serves}


def _carry_keys(ask: Callable[..., Any], slot: int, target: Address, login: Login | None) -> None:
    auth = ("AUTH2", login.user, login.password) if login is not None else ()
    while keys := ask("CLUSTER", "GETKEYSINSLOT", slot, _AT_ONCE):
        said = ask("MIGRATE", *target, "", 0, _MIGRATE_MS, *auth, "KEYS", *keys)
        if str(said) not in ("OK", "NOKEY"):  # NOKEY: they have expired meanwhile
            raise Unavailable(f"slot {slot}: {said}")
