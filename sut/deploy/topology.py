"""A topology as data: the services, replicas, links and addresses that make up one running system.

`petrel up` builds one from a profile, allocates every port and writes it to DIR/topology.json. Each process is started
as `python -m sut.deploy.supervise.launch DIR/topology.json NAME` (or as a foreign server's own command) and finds all
it needs there. Faults address services and links by the names used here. Pure data: nothing here opens a socket.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from sut.deploy import access
from sut.deploy.kinds import KINDS
from sut.deploy.logins import Login, RedisUser, login_of, redis_login

T = TypeVar("T")
PRIVATE: Final = 0o077
"""Umask of all processes of a system: nobody but their user reads a directory or file that they make."""
CELL: Final = "cell-"
"""Begin of the name of a cell; its number from 1 follows."""
ServiceKind = str
"""A key of sut.deploy.kinds.KINDS."""


class TopologyError(ValueError):
    """A topology file cannot be used; the text names the file and the field."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers that the whole system shares. Times in seconds."""

    partitions: int = 8
    heartbeat_s: float = 30.0
    handshake_timeout_s: float = 5.0
    lease_ttl_s: float = 6.0
    drain_base_s: float = 1.0
    """Base of the reconnect back-off that DRAIN hands to devices."""
    presence_period_s: float = 1.0
    """Interval at which a gateway looks up the users that its devices watch."""
    presence_grace_s: float = 3.0
    """Seconds that a user must be away before it is told: a connection that flaps is no news."""
    group_cap: int = 500
    send_buffer: int = 256 * 1024
    """Bytes that a gateway holds for a device that does not read, before it ends the connection as SLOW."""
    token_ttl_s: float = 86_400.0
    retention_days: float = 0.0
    """Days that messages are kept at least, see docs/system.md; 0: for ever."""
    push: bool = True
    """True if the system has the push service, and stand-ins for its providers."""
    receipts: bool = True
    """True if authors get receipts: one for each author, reader and moment."""
    user_connections: int = 64
    """Devices of one user that one gateway serves at once."""
    user_frames_per_s: int = 10_000
    """Frames in one second of all of a user's devices at one gateway; one device may send 2,000."""
    device_cpu_share: float = 0.05
    """CPU seconds that a device's connection may cost in a second, see sut/gateway/budget.py; 0.05: some 50 SENDs."""
    address_connections: int = 50_000
    """Sockets of one client address (IPv6: of one /64) at one gateway. A swarm is one address."""
    address_handshakes_per_s: int = 5_000
    """New sockets of one client address in one second at one gateway."""
    trace_every: int = 16
    """One message in this many leaves stamps of its steps and times, see sut/process/trace.py; 0: none does."""
    devices: int = 0
    """Devices that are expected: there are gateways enough for them, also while one is away. 0: as the profile says."""
    clocks: tuple[ServiceKind, ...] = ()
    """The kinds of services whose processes have wall clocks of their own, which a fault can move (clock.py)."""
    cells: tuple[int, ...] = ()
    """KB/s, in each direction of a connection, of each cell: a slow way on which devices may reach every gateway."""

    @property
    def presence_ttl_s(self) -> float:
        """Seconds that a gateway's report on a user counts: the next heartbeat makes up for a lost one."""
        return 2.5 * self.heartbeat_s


class Tls(msgspec.Struct, frozen=True, kw_only=True):
    """The PEM files of gateways and the API for TLS towards clients. Links between our own processes have none."""

    certificate: str
    """The certificate, followed by those between it and the authority."""
    key: str
    ca: str
    """The authority's certificate, for clients; it signed `certificate`."""


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """One process: its kind, addresses and command."""

    name: str
    kind: ServiceKind
    host: str = "127.0.0.1"
    ports: dict[str, int] = {}
    """Role -> port. The roles of our own processes are in kinds.py; redis and sentinel have "redis", shard has "redis"
    and "bus", toxiproxy "api", kafka "client", "replication" and "controller", cassandra "cql" and "storage"."""
    index: int = 0
    """Position among its kind, from 0. A sequencer owns partitions p with p % (number of sequencers) == index."""
    command: tuple[str, ...] = ()
    """The command of a foreign server; ours are started by sut.deploy.supervise.launch."""
    restart_delay_s: float = 0.3
    """Seconds that the supervisor waits before it restarts the process."""
    gid: int = 0
    """The process's own group, by which the kernel can tell its packets from all others. 0: inherited."""
    volume: str = ""
    """The service of kind "volume" in whose mount namespace the process runs; its disk can be filled."""
    external: bool = False
    """A foreign server: probed and dialed, never started, stopped or killed."""
    metrics_host: str = "127.0.0.1"
    """Where its port "metrics" listens. Whoever reaches that port reads them: it has no password."""
    public_host: str = ""
    """The host that clients dial, if not `host`: required when that is "::" or 0.0.0.0 (every address)."""
    image: str = ""
    """The image of its container. "": a process of this machine."""
    zones: dict[str, str] = {}
    """In a container: its address in each of its zones; `host` is the first."""
    environment: dict[str, str] = {}
    """Environment variables beyond the inherited ones and the marks of the run."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"no kind of service {self.kind!r}; there are {', '.join(KINDS)}")

    def authority(self, role: str) -> str:
        """Return HOST:PORT for clients, in the form of a URL."""
        host = self.public_host or self.host
        return f"[{host}]:{self.ports[role]}" if ":" in host else f"{host}:{self.ports[role]}"


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """A connection from one service to another through a Toxiproxy listener."""

    source: str
    target: str
    port: str
    """Role of the target's port, as in Service.ports."""
    listen: int
    """The proxy's listening port, which `source` dials."""
    host: str = "127.0.0.1"
    """The proxy's address."""
    kb_per_s: int = 0
    """KB/s that it always carries at most, in each direction of a connection. 0: no limit."""

    @property
    def name(self) -> str:
        """The name in faults, reports and the proxy."""
        return f"{self.source}->{self.target}"

    @property
    def address(self) -> tuple[str, int]:
        """The address of the proxy's listener."""
        return self.host, self.listen

    @property
    def from_devices(self) -> bool:
        """True if devices dial it: its source is a cell, which is no process of the system."""
        return self.source.startswith(CELL)


class Topology(msgspec.Struct, frozen=True, kw_only=True):
    """The complete description of one running system."""

    run_id: str
    profile: str
    dir: str
    """An absolute path: logs/, data/ (SQLite files) and state.json (pids) are in it."""
    services: tuple[Service, ...]
    links: tuple[Link, ...] = ()
    settings: Settings = Settings()
    log: str = "sqlite"
    """Backend of the log, a name in sut.adapters.backends."""
    store: str = "sqlite"
    """Backend of the store."""
    registry: str = "redis"
    """Backend of registry and presence: "redis" under Sentinel, or "redis-cluster"."""
    variant: str | None = None
    """The known-bad design that runs, a name that sut.variants.find accepts."""
    variant_dir: str = ""
    """Directory from which a variant with a dotted path is imported."""
    token_key: str
    """HMAC key of device tokens, hex, 32 bytes."""
    api_key: str
    """The operator's key: its holder may register devices."""
    peer_key: str = ""
    """Secret that our own processes prove to each other, hex, 32 bytes; "" (made by hand): they ask for none."""
    redis_key: str = ""
    """Secret of the passwords at our Redis and Sentinels, hex, 32 bytes; "": servers without users, as others' are."""
    conversation_key: str = ""
    """Secret of the ids of conversations, hex, 32 bytes, for the life of the data; "": ids are hashes without a key."""
    secrets: str = ""
    """File that says how to log in at external servers (access.py); "": no file."""
    secret_variables: tuple[str, ...] = ()
    """Names of the environment variables that say so, too. Each process of ours needs them."""
    redis_master: str = "petrel"
    """The name by which Sentinel knows the master."""
    tls: Tls | None = None
    """None: clients connect in plain text, or a proxy in front ends their TLS."""
    log_id: str = ""
    """The log whose offsets are the store's write timestamps; another log needs another keyspace. "": the run's own."""
    topic: str = "petrel"
    """Name of the log's topic, if it is on Kafka."""
    keyspace: str = "petrel"
    """Name of the store's keyspace, if it is on Cassandra."""
    zones: dict[str, str] = {}
    """The networks of a system in containers: zone -> subnet. Empty: all are processes of this machine."""
    user: str = ""
    """UID:GID of the processes in containers."""

    def service(self, name: str) -> Service:
        """Return the service of that name. Raises TopologyError."""
        for service in self.services:
            if service.name == name:
                return service
        raise TopologyError(f"no service {name!r}; there are {', '.join(s.name for s in self.services)}")

    def of_kind(self, kind: ServiceKind) -> tuple[Service, ...]:
        """Return all services of a kind, by index."""
        return tuple(sorted((s for s in self.services if s.kind == kind), key=lambda s: s.index))

    def dial(self, source: str, target: str, port: str = "peer") -> tuple[str, int]:
        """Return the address that `source` dials to reach `target`: the link's proxy, else the service itself."""
        for link in self.links:
            if link.source == source and link.target == target and link.port == port:
                return link.address
        service = self.service(target)
        return service.host, service.ports[port]

    def cells(self) -> dict[str, tuple[Link, ...]]:
        """Return the links of each cell, one to every gateway, by the cell's name."""
        found: dict[str, tuple[Link, ...]] = {}
        for link in self.links:
            if link.from_devices:
                found[link.source] = (*found.get(link.source, ()), link)
        return found

    def sequencer_of(self, partition: int) -> Service:
        sequencers = self.of_kind("sequencer")
        return sequencers[partition % len(sequencers)]

    def understudy_of(self, sequencer: Service) -> Service | None:
        """Return the sequencer that takes over while this one is gone: the next; None where there is no other."""
        sequencers = self.of_kind("sequencer")
        return sequencers[(sequencer.index + 1) % len(sequencers)] if len(sequencers) > 1 else None

    def redis_login(self, user: RedisUser) -> Login | None:
        """Return a user's login at the Redis nodes; None where they have no users. Raises TopologyError."""
        return redis_login(self.redis_key, user) if self.redis_key else self.login("redis")

    def sentinel_login(self, user: RedisUser) -> Login | None:
        """Return a user's login at the Sentinels; None where they have no users. Raises TopologyError."""
        return redis_login(self.redis_key, user) if self.redis_key else self.login("sentinel")

    def login(self, kind: ServiceKind) -> Login | None:
        """Return the login at the external servers of a kind; None where they take anybody. Raises TopologyError.

        It comes from the file and the variables that the topology names.
        """
        if not self.secrets and not self.secret_variables:
            return None
        if missing := [name for name in self.secret_variables if name not in os.environ]:
            raise TopologyError(f"{', '.join(missing)}: not set here, and this system was started with it")
        names = {("127.0.0.1", link.listen): self.service(link.target).host for link in self.links}
        try:
            return login_of(access.read(self.secrets), kind, names)
        except access.AccessError as error:
            raise TopologyError(str(error)) from None

    @property
    def peer_secret(self) -> bytes:
        """The secret of links between our own processes."""
        return bytes.fromhex(self.peer_key)

    @property
    def conversation_secret(self) -> bytes:
        """The secret of the ids of conversations."""
        return bytes.fromhex(self.conversation_key)

    @property
    def contained(self) -> bool:
        """True if its processes run in containers of Docker Engine."""
        return bool(self.zones)

    @property
    def path(self) -> Path:
        return Path(self.dir)

    @property
    def api_url(self) -> str:
        """The base URL of the HTTP API."""
        return f"http{'s' if self.tls else ''}://{self.of_kind('api')[0].authority('http')}"

    def gateway_url(self, gateway: Service, path: str) -> str:
        """Return the URL that clients dial."""
        return f"ws{'s' if self.tls else ''}://{gateway.authority('ws')}{path}"


def load(path: Path) -> Topology:
    """Read a topology file. Raises TopologyError."""
    return read(path, Topology)


def read(path: Path, kind: type[T]) -> T:
    """Read a JSON file of this type. Raises TopologyError."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except OSError as error:
        raise TopologyError(f"{path}: {error.strerror}") from None
    except msgspec.DecodeError as error:
        raise TopologyError(f"{path}: {error}") from None


def save(topology: Topology) -> Path:
    """Write DIR/topology.json, readable by its owner only (it holds the keys). Raises OSError; then the file before it
    is still there.
    """
    path = topology.path / "topology.json"
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as output:
            output.write(msgspec.json.format(msgspec.json.encode(topology), indent=1))
            output.flush()
            os.fsync(output.fileno())
        fresh.replace(path)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise
    return path
