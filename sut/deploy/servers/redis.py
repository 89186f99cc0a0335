"""Redis for the registry and presence: its data nodes, and the functions shared with sentinel.py and shard.py.

Redis keeps nothing on disk: the gateways rebuild the registry, and losing it costs latency, never a message. The
configuration does not say who is master: the supervisor asks the Sentinels at each start.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from sut.deploy.logins import REPLICA, node_users, redis_login
from sut.deploy.place import Place
from sut.deploy.topology import Service, ServiceKind, Topology

if TYPE_CHECKING:
    from sut.adapters.redis.admin import SentinelView

Address = tuple[str, int]

RESTART_S: Final = 8.5
"""A dead Redis stays away until Sentinel has seen it (4 s, adapters/redis/tilt.py) and failed over (1 to 3 s more)."""
SENTINEL_PATIENCE_S: Final = 10.0
"""Seconds that a dead Redis waits for a failover in progress; then it starts as Sentinel last said."""
SENTINEL_TIMEOUT_S: Final = 0.5
FIRST_START_S: Final = 0.5
"""A start this soon after the last end is the first start: no Sentinel can be asked yet."""

USERS: Final = "users.acl"
"""The file of users, beside the configuration: Sentinel has nodes rewrite that, and never this."""

_COMMON: Final = """\
bind {host}
port {port}
protected-mode no
daemonize no
set-proc-title no
dir "{directory}"
"""

_REDIS: Final = """\
save ""
appendonly no
repl-diskless-sync yes
repl-diskless-sync-delay 0
"""
COMPACT: Final = {"hash-max-ziplist-entries": "128", "hash-max-ziplist-value": "1024"}
"""Options that keep the hashes of the registry and presence compact (sut/adapters/redis/script.py), also when a user
has twenty devices. Later versions of Redis know these names too."""


def services(kind: ServiceKind, count: int, place: Place) -> tuple[Service, ...]:
    """Return the data nodes. The first one begins as master."""
    return servers(kind, count, place, restart_s=RESTART_S)


def servers(kind: ServiceKind, count: int, place: Place, *options: str, restart_s: float = 0.3) -> tuple[Service, ...]:
    """Return services that run redis-server with these options."""
    return tuple(
        Service(
            name=f"{kind}-{index + 1}",
            kind=kind,
            index=index,
            ports={"redis": place.port()},
            command=(str(place.redis_server), str(conf_path(place.directory, f"{kind}-{index + 1}")), *options),
            restart_delay_s=restart_s,
            gid=place.gid(),
        )
        for index in range(count)
    )


def conf_path(directory: Path, name: str) -> Path:
    """Return the configuration file of a redis or sentinel, in a topology's directory."""
    return directory / "data" / "redis" / name / "redis.conf"


def conf(topology: Topology, service: Service) -> str:
    """Return the configuration of a data node, the same for master and replica."""
    login = redis_login(topology.redis_key, REPLICA)
    to_follow = "" if login is None else f"masteruser {login.user}\nmasterauth {login.password}\n"
    compact = "".join(f"{name} {value}\n" for name, value in COMPACT.items())
    return common_conf(topology, service) + _REDIS + compact + to_follow


def common_conf(topology: Topology, service: Service) -> str:
    """Return the lines that data nodes and Sentinels have in common."""
    directory = conf_path(topology.path, service.name).parent
    text = _COMMON.format(host=service.host, port=service.ports["redis"], directory=_quoted(directory))
    return text + (f'aclfile "{_quoted(directory / USERS)}"\n' if topology.redis_key else "")


def _quoted(path: Path) -> str:
    return str(path).replace("\\", "\\\\").replace('"', '\\"')


def write_conf(topology: Topology, service: Service) -> None:
    """Write the configuration. Raises OSError."""
    write(topology, service, conf(topology, service), users(topology))


def users(topology: Topology) -> str:
    """Return the ACL file of a data node; "" where there are no users."""
    return node_users(topology.redis_key) if topology.redis_key else ""


def write(topology: Topology, service: Service, text: str, users: str) -> None:
    """Write this configuration and ACL file, readable by their owner only. Raises OSError."""
    path = conf_path(topology.path, service.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_private(path, text)
    write_private(path.with_name(USERS), users)


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read. Raises OSError."""
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(text)


def problem(topology: Topology, service: Service, timeout_s: float) -> str | None:
    """Return a data node's problem, None when it is healthy. Takes at most about `timeout_s`."""
    from sut.deploy.probes import probe  # redis-py takes 0.2 s to import: not before the first start

    role = probe.redis_role((service.host, service.ports["redis"]), timeout_s, topology.redis_login("operator"))
    if role is None:
        return "does not answer"
    return None if role.linked else "a replica that is not in sync with its master"


def start_arguments(topology: Topology, service: Service, waited_s: float) -> tuple[str, ...] | None:
    """Return the arguments that name the master to follow; None while the node has to wait for a failover.

    `waited_s`: seconds since it died. Asks the Sentinels, SENTINEL_TIMEOUT_S each.
    """
    views = []
    if waited_s > FIRST_START_S:
        from sut.deploy.probes import probe

        for sentinel in topology.of_kind("sentinel"):
            address = (sentinel.host, sentinel.ports["redis"])
            login = topology.sentinel_login("operator")
            view = probe.sentinel_view(address, topology.redis_master, SENTINEL_TIMEOUT_S, login)
            if view is not None:
                views.append(view)
    first = topology.of_kind("redis")[0]
    start = redis_start(
        (service.host, service.ports["redis"]),
        first_master=(first.host, first.ports["redis"]),
        views=views,
        waited_s=waited_s,
    )
    return None if start == "wait" else start.arguments


class RedisStart(NamedTuple):
    """The role in which a Redis starts."""

    follow: Address | None
    """The master to follow; None: it is the master."""

    @property
    def arguments(self) -> tuple[str, ...]:
        """The end of its command line, which overrides what Sentinel left in its configuration."""
        return ("--replicaof", *((self.follow[0], str(self.follow[1])) if self.follow else ("no", "one")))


def redis_start(
    own: Address, *, first_master: Address, views: Iterable[SentinelView], waited_s: float
) -> RedisStart | Literal["wait"]:
    """Return the role that most Sentinels report; that of the topology when none answers; "wait" during a failover.

    Without the wait, a master that returns in the middle of its own failover would be a second master until Sentinel
    sees it.
    """
    seen = list(views)
    if not seen:
        return RedisStart(None if own == first_master else first_master)
    master = Counter(view.master for view in seen).most_common(1)[0][0]
    if master != own:
        return RedisStart(master)
    failing_over = any(view.master != own or view.flags & {"o_down", "failover_in_progress"} for view in seen)
    return "wait" if failing_over and waited_s < SENTINEL_PATIENCE_S else RedisStart(None)
