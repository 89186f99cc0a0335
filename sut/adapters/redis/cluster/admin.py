"""A Redis Cluster as an operator sees it: its nodes, their roles and their slots.

Blocking and read-only; for probes and faults. Every call opens its own connections and closes them. It raises
Unavailable when there is no complete answer. `login`: None for a server without users.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sut.adapters.redis.client import Address, asking
from sut.deploy.logins import Login
from sut.ports import Unavailable

__all__ = [
    "ClusterView",
    "Member",
    "SlotRange",
    "Unavailable",
    "fullest",
    "keys_in",
    "owner",
    "ranges",
    "size",
    "view",
]


class Member(NamedTuple):
    """A node of the cluster, as one node reports it (CLUSTER NODES)."""

    id: str
    address: Address
    flags: frozenset[str]
    """Of "myself", "master", "slave", "fail?", "fail" and others."""
    follows: str
    """The id of the master of a replica; "" for a master."""
    slots: int
    """Number of slots that it serves as master."""

    @property
    def serves(self) -> bool:
        """True for a master that is not taken for dead."""
        return "master" in self.flags and not self.flags & {"fail", "noaddr"}


class SlotRange(NamedTuple):
    """The slots from `first` to `last`, and the master that has them."""

    first: int
    last: int
    master: Address


class ClusterView(NamedTuple):
    """The cluster as one node reports it."""

    ok: bool
    """True if it takes commands: it reaches most masters, and all slots that must be served are."""
    covered: int
    """Number of slots with a master that is not suspected."""
    members: tuple[Member, ...]

    @property
    def masters(self) -> tuple[Member, ...]:
        """The masters that have slots."""
        return tuple(member for member in self.members if member.serves and member.slots)


def view(address: Address, timeout_s: float, login: Login | None = None) -> ClusterView:
    """Return what this node reports. Raises Unavailable."""
    with asking(address, timeout_s, login=login) as ask:
        info = dict(line.split(":", 1) for line in str(ask("CLUSTER", "INFO")).split("\r\n") if ":" in line)
        members = tuple(map(_member, str(ask("CLUSTER", "NODES")).splitlines()))
        return ClusterView(info["cluster_state"] == "ok", int(info["cluster_slots_ok"]), members)


def ranges(address: Address, timeout_s: float, login: Login | None = None) -> list[SlotRange]:
    """Return which master has which slots, as this node tells clients (CLUSTER SLOTS). Raises Unavailable."""
    with asking(address, timeout_s, login=login) as ask:
        return [
            SlotRange(int(first), int(last), (str(host), int(port)))
            for first, last, (host, port, *_), *_ in ask("CLUSTER", "SLOTS")
        ]


def owner(address: Address, slot: int, timeout_s: float, login: Login | None = None) -> Address | None:
    """Return the master that has the slot, as this node tells clients; None: none. Raises Unavailable."""
    found = ranges(address, timeout_s, login)
    return next((one.master for one in found if one.first <= slot <= one.last), None)


def keys_in(address: Address, slot: int, timeout_s: float, login: Login | None = None) -> int:
    """Return how many keys of the slot this node holds. Raises Unavailable."""
    with asking(address, timeout_s, login=login) as ask:
        return int(ask("CLUSTER", "COUNTKEYSINSLOT", slot))


def fullest(address: Address, slots: Sequence[int], timeout_s: float, login: Login | None = None) -> tuple[int, int]:
    """Return which of the slots has most keys at this node, and how many. Raises Unavailable."""
    with asking(address, timeout_s, login=login) as ask:
        counts = {slot: int(ask("CLUSTER", "COUNTKEYSINSLOT", slot)) for slot in slots}
        best = max(counts, key=lambda slot: counts[slot])
        return best, counts[best]


def size(address: Address, timeout_s: float, login: Login | None = None) -> int:
    """Return how many keys the node holds. Raises Unavailable."""
    with asking(address, timeout_s, login=login) as ask:
        return int(ask("DBSIZE"))


def _member(line: str) -> Member:
    name, at, flags, follows, _ping, _pong, _epoch, _link, *slots = line.split()
    host, _, port = at.partition("@")[0].rpartition(":")
    return Member(
        name, (host, int(port)), frozenset(flags.split(",")), "" if follows == "-" else follows, sum(map(_count, slots))
    )


def _count(slots: str) -> int:
    """Return the number of slots that a part of the line means; 0 for one that is on its way."""
    if slots.startswith("["):
        return 0
    first, _, last = slots.partition("-")
    return int(last or first) - int(first) + 1
