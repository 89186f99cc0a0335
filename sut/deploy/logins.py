"""Logins at servers; the users of the Redis nodes and Sentinels that a system runs itself, and their rights.

For our own servers the topology holds one secret, and each user's password is derived from it. The servers get only
hashes of the passwords. Without a login, nothing is allowed. For somebody else's servers, see access.py.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

from sut.deploy.access import Access, Address, ClientTls

RedisUser = Literal["service", "operator", "replica", "sentinel"]

REPLICA: Final[RedisUser] = "replica"
"""The user as which a replica logs in to its master."""

_NODE: Final[dict[RedisUser, str]] = {
    "service": (
        "~* -@all +ping +role +info +time +evalsha +eval +get +set +del +exists +expire +ttl +incr +wait"
        " +hget +hset +hdel +hgetall +lrange +ltrim +rpush +sadd +srem +smembers"
        " +zadd +zcard +zrange +zrangebyscore +zrem +asking +cluster|slots"
    ),
    "operator": "~* allchannels +@all",
    "replica": "-@all +ping +replconf +psync +sync",
    "sentinel": (
        "allchannels -@all +multi +exec +slaveof +replicaof +ping +info +role +publish +subscribe +config|rewrite"
        " +client|setname +client|kill +script|kill"
    ),
}
"""The rights of each user at a data node. The services have the commands of our scripts and health checks: none that
configures, writes a file, reads all keys or empties the server. The Sentinels have what Redis's documentation lists."""
_SENTINEL: Final[dict[RedisUser, str]] = {
    "service": "-@all +ping +sentinel|master",
    "operator": "~* allchannels +@all",
    "sentinel": "allchannels -@all +ping +info +publish +subscribe +sentinel +client|setname",
}
"""The rights of each user at a Sentinel."""


class Login(NamedTuple):
    """What a client shows at a server, and expects of it."""

    user: str
    """"" with a password: a Redis with one password for all. "" without one: nothing but TLS."""
    password: str
    tls: ClientTls | None = None
    mechanism: str = ""
    """Kafka's kind of login (SASL)."""

    def __repr__(self) -> str:
        """Name the user only: this may end up in a log."""
        return f"Login({self.user!r})"


def redis_login(key: str, user: RedisUser) -> Login | None:
    """Return the login of a user whose password is derived from `key` (hex); None without a key: there are no users."""
    if not key:
        return None
    return Login(user, hmac.new(bytes.fromhex(key), f"redis/{user}".encode(), hashlib.sha256).hexdigest())


def login_of(ways: Mapping[str, Access], kind: str, names: Mapping[Address, str]) -> Login | None:
    """Return the login at somebody else's servers of this kind; None where they take anybody, without TLS.

    `names`: the address of a link's proxy -> the host of the server behind it.
    """
    way = ways.get(kind)
    if way is None or not (way.password or way.secured):
        return None
    return Login(way.user, way.password, ClientTls(way, names) if way.secured else None, way.mechanism)


def node_users(key: str) -> str:
    """Return the ACL file of a data node."""
    return _acl(key, _NODE)


def sentinel_users(key: str) -> str:
    """Return the ACL file of a Sentinel."""
    return _acl(key, _SENTINEL)


def _acl(key: str, users: dict[RedisUser, str]) -> str:
    lines = ["user default off resetpass"]
    for user, rules in users.items():
        login = redis_login(key, user)
        assert login is not None, "servers without a key have no users"
        lines.append(f"user {user} on #{hashlib.sha256(login.password.encode()).hexdigest()} {rules}")
    return "\n".join(lines) + "\n"
