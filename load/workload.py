"""The knobs of a swarm (`Workload`), each once, and the file that a swarm reads: swarm.json (`SwarmConfig`).

The runner writes the file and passes its path to the swarm in PETREL_SWARM. The swarm, its workers and the read-back
read the same file, so they agree on the population and the plan without communication.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from load.sentences import sentence

MAX_USERS: Final = 1_000_000
"""The largest swarm. Also the distance of the id ranges of runs."""
MAX_GREENLETS: Final = 100_000
"""The largest swarm of the tier greenlet."""
MAX_RATE_PER_S: Final = 100_000
FLEET_DEVICES: Final = 18_000
"""Devices of one process of the tier fleet: below the 20,000 files that a process may usually have."""
HEADROOM: Final = 2
"""Devices of a test by hand, as a multiple of those at its start."""
MAX_SENDS: Final = 50_000_000
"""Maximum number of sends in one plan."""

Senders = Literal["plan", "tasks", "both"]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Step = Annotated[float, msgspec.Meta(gt=0, le=100)]
Narrow = Annotated[int, msgspec.Meta(ge=1, le=100_000)]


class ConfigError(ValueError):
    """A swarm.json that cannot be used; the text is one line that names the file and the mistake."""


class Workload(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The knobs of a swarm: its users, their actions and their rates.

    Each is a key of an experiment and of swarm.json. A share is a fraction from 0 to 1. Raises ValueError for a number
    that is not finite, or for more sends than one plan holds.
    """

    users: Annotated[int, msgspec.Meta(ge=1, le=MAX_USERS)]
    """Number of users; each has one device."""
    tier: Literal["greenlet", "fleet"] = "greenlet"
    """greenlet: a Locust user is one device. fleet: it is a process of 18,000; no TLS, encryption, mobile devices."""
    duration_s: Annotated[float, msgspec.Meta(ge=1, le=86_400)] = 100.0
    """Seconds from the first planned send to the last."""
    rate_per_s: Annotated[float, msgspec.Meta(gt=0, le=MAX_RATE_PER_S)] = 130.0
    """Planned sends a second, all devices together."""
    steps: Annotated[tuple[Step, ...], msgspec.Meta(min_length=1, max_length=64)] = (1.0,)
    """The rate as multiples of rate_per_s, in equal parts of the run. With several, each part has one of the faults."""
    heartbeat_s: Annotated[float, msgspec.Meta(ge=0.5, le=300)] = 30.0
    """Seconds between two heartbeats of a device; the gateways are told, and tell the devices."""
    spawn_per_s: Annotated[float, msgspec.Meta(gt=0, le=100_000)] = 100.0
    """Devices that connect a second during the ramp."""
    workers: Annotated[int, msgspec.Meta(ge=1, le=256)] = 2
    """Swarm processes that the runner starts. Of the tier fleet at least so many, and one for each 18,000 devices."""
    directs_per_user: Annotated[float, msgspec.Meta(ge=0, le=100)] = 0.8
    """1:1 conversations, as a multiple of the users."""
    groups_per_user: Annotated[float, msgspec.Meta(ge=0, le=10)] = 0.2
    """Groups, as a multiple of the users."""
    group_cap: Annotated[int, msgspec.Meta(ge=2, le=500)] = 100
    """Members of the largest group; one group has that size if there are enough users."""
    recipients: Annotated[float, msgspec.Meta(ge=1, le=100)] = 5.0
    """Mean number of recipients of a message. It sets the share of group messages."""
    offline_share: Share = 0.1
    """Share of the devices that go offline and come back repeatedly."""
    away_s: Annotated[float, msgspec.Meta(ge=1, le=3600)] = 20.0
    """Longest absence of these in seconds, at most a quarter of the run. The shortest is two fifths of it, or 8 s."""
    silent_share: Share = 0.1
    """Share of the devices that only read."""
    churn: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 36
    """Membership changes of groups during the run."""
    roles: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 0
    """Role changes in groups during the run. Admins then make a part of the membership changes."""
    probe_share: Share = 0.0
    """Share of the devices that try, at the end, to read a conversation of others. Any message read so is a leak."""
    read_share: Share = 0.0
    """Share of the shown messages that are read at once, with a read receipt. 0: the run has no receipts at all."""
    typing_share: Share = 0.0
    """Share of the sends before which the writer sends a typing notice."""
    watch_share: Share = 0.0
    """Share of the devices that watch the presence of some of their contacts."""
    watched: Annotated[int, msgspec.Meta(ge=1, le=500)] = 10
    """Maximum number of contacts that such a device watches at a time."""
    crypto_share: Share = 0.0
    """Share of the devices with real end-to-end encryption. Above 0, other bodies have the size of encrypted ones."""
    mobile_share: Share = 0.0
    """Share of the devices that reach the gateways through cells: narrow links, which faults on devices break."""
    cells: Annotated[tuple[Narrow, ...], msgspec.Meta(min_length=1, max_length=16)] = (2, 8, 24, 64)
    """KB/s of each cell, in each direction of a connection. The mobile devices are spread over the cells evenly."""
    move_share: Share = 0.0
    """Share of the mobile devices that change their address: they leave a connection without a word, and use the next
    cell."""
    push: bool = False
    """Run a push service with stand-ins for its providers, and give the devices push tokens."""
    causal: bool = True
    """Messages name the messages of other conversations that their sender had seen, and devices show those first."""

    def __post_init__(self) -> None:
        for name in ("duration_s", "rate_per_s", "heartbeat_s"):
            if not math.isfinite(getattr(self, name)):
                raise ValueError(f"{name} must be a finite number")
        if self.planned_sends > MAX_SENDS:
            raise ValueError(f"duration_s x rate_per_s is above {MAX_SENDS:,} sends: more than one plan holds")
        if self.tier == "greenlet" and self.users > MAX_GREENLETS:
            raise ValueError(f"tier greenlet has {MAX_GREENLETS:,} users at most: take tier fleet")
        if self.tier == "fleet" and self.crypto_share:
            raise ValueError("tier fleet has no encryption: take tier greenlet, or leave crypto_share at 0")
        if self.tier == "fleet" and self.mobile_share:
            raise ValueError("tier fleet has no mobile devices: take tier greenlet, or leave mobile_share at 0")

    @property
    def sends_of_steps(self) -> tuple[int, ...]:
        """The number of planned sends of each step."""
        part_s = self.duration_s / len(self.steps)
        return tuple(round(self.rate_per_s * step * part_s) for step in self.steps)

    @property
    def planned_sends(self) -> int:
        """The number of planned sends; some few find no member who may write."""
        return sum(self.sends_of_steps)

    @property
    def fleets(self) -> int:
        """The number of processes of the tier fleet."""
        return max(min(self.workers, self.users), math.ceil(self.users / FLEET_DEVICES))


class SwarmConfig(Workload, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A workload, and the address of the system. User id = device id = first_id .. first_id + users - 1."""

    seed: Annotated[int, msgspec.Meta(ge=0)]
    """Makes the population, the send plan and the offline plan; the same on every machine."""
    api_url: Annotated[str, msgspec.Meta(pattern="^https?://[^/]+$")]
    api_key: Annotated[str, msgspec.Meta(min_length=1)]
    history_dir: Annotated[str, msgspec.Meta(min_length=1)]
    ways: tuple[dict[str, tuple[str, int]], ...] = ()
    """For each cell, the address that leads to a gateway, by the gateway's HOST:PORT."""
    allowed: tuple[str, ...] = ()
    """The only hosts of gateways that devices may connect to, whatever discovery lists; empty: any."""
    ca_file: str = ""
    """Certificate authority to trust where the system speaks TLS; empty: the machine's."""
    at_start: Annotated[int, msgspec.Meta(ge=0, le=MAX_USERS)] = 0
    """Number of devices at the start of a test by hand, where people change it later. The other devices wait to be
    added and plan no sends until then. 0: all devices run throughout."""
    sends: Senders = "plan"
    """Who sends: devices by the plan, the tasks of Locust users (load/user.py), or both. With tasks, the devices at the
    start of a test by hand have conversations of their own, without those who may be added."""
    first_id: Annotated[int, msgspec.Meta(ge=1, le=(1 << 31) - MAX_USERS)] = 1
    """First id of the users. Several swarms with distinct ranges can use one system without sharing messages."""
    reconnect_fixed_s: Annotated[float, msgspec.Meta(ge=0, le=60)] = 0.0
    """Known bad: devices reconnect after exactly this wait. 0: full jitter."""
    repeat_fixed_s: Annotated[float, msgspec.Meta(ge=0, le=60)] = 0.0
    """Known bad: devices repeat a SEND after exactly this wait, again and again. 0: with a back-off."""
    canary: Annotated[str, msgspec.Meta(pattern="^([A-Za-z0-9]{16})?$")] = ""
    """Bytes in every plaintext that is really encrypted, and nowhere else."""
    tracer: Annotated[str, msgspec.Meta(pattern="^([A-Za-z0-9]{16})?$")] = ""
    """Bytes in all other bodies; the hunt for the canary must find them, or it proves nothing."""
    crypto_plaintext: bool = False
    """Known bad: the devices with encryption publish keys and then send plaintext."""
    ignore_dependencies: bool = False
    """Known bad: messages name their dependencies, and devices do not wait for them."""
    trace_every: Annotated[int, msgspec.Meta(ge=0)] = 16
    """The history has more detail of one message in this many, the same ones that the system traces. 0: none."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tier == "fleet" and (self.ca_file or self.api_url.startswith("https:")):
            raise ValueError("tier fleet has no TLS: take tier greenlet, or a system without TLS")
        if self.sends != "plan" and (self.tier == "fleet" or self.crypto_share):
            raise ValueError("tasks send plain texts from devices of tier greenlet")

    @property
    def history(self) -> Path:
        """The directory of the history files."""
        return Path(self.history_dir)


def load(path: Path) -> SwarmConfig:
    """Read a swarm.json. Raises ConfigError."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=SwarmConfig)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except msgspec.DecodeError as error:  # ValidationError is one
        raise ConfigError(f"{path}: {sentence(error)}") from None


def save(config: SwarmConfig, path: Path) -> None:
    """Write a swarm.json, readable by its owner only, because it holds the API key. Raises OSError."""
    path.touch(mode=0o600)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(config), indent=1))


_TASKS: Final = {"offline_share": 0.0, "silent_share": 0.0, "churn": 0}
_NO_PLAN: Final = {"duration_s": 86_400.0, "rate_per_s": 1.0}
"""A day: such a test lasts as long as Locust runs it. The rate is nobody's."""


def by_hand(
    directory: Path,
    *,
    seed: int,
    users: int,
    duration_s: float,
    rate_per_s: float,
    sends: Senders = "plan",
    devices: int = 0,
) -> SwarmConfig:
    """Return a configuration for a new run against the system of DIR, in its own directory DIR/swarm-N.

    It has `devices` (0: HEADROOM times as many as `users`), for the number to be raised; `rate_per_s` is that of
    `users`.
    Where tasks send, groups keep their members, and a device is online whenever its user wants it. Each run has its own
    range of ids: one system serves many, and none meets the messages of another. Raises ConfigError.
    """
    api_url, api_key, ca_file = discover(directory)
    people = min(MAX_GREENLETS, devices or users * HEADROOM)
    if people < users:
        raise ConfigError(f"{users:,} users need as many devices, and there are {people:,}")
    number = 1
    try:
        while True:
            run = directory / f"swarm-{number}"
            try:
                run.mkdir()
                break
            except FileExistsError:
                number += 1
        config = msgspec.convert(
            {
                "seed": seed,
                "users": people,
                "at_start": users,
                "api_url": api_url,
                "api_key": api_key,
                "ca_file": ca_file,
                "history_dir": str((run / "history").resolve()),
                "duration_s": duration_s,
                "rate_per_s": rate_per_s * people / max(1, users),
                "first_id": 1 + (number - 1) * MAX_USERS,
                "sends": sends,
            }
            | (_TASKS if sends != "plan" else {})
            | (_NO_PLAN if sends == "tasks" else {}),
            SwarmConfig,
        )
        save(config, run / "swarm.json")
    except OSError as error:
        raise ConfigError(f"{error.filename}: {error.strerror}") from None
    except msgspec.ValidationError as error:
        raise ConfigError(sentence(error)) from None
    return config


class _Ports(msgspec.Struct, frozen=True):
    http: int = 0


class _Service(msgspec.Struct, frozen=True):
    kind: str
    host: str = "127.0.0.1"
    ports: _Ports = _Ports()


class _Tls(msgspec.Struct, frozen=True):
    ca: str


class _Topology(msgspec.Struct, frozen=True):
    """The fields of a topology.json that a swarm needs."""

    api_key: str
    services: tuple[_Service, ...]
    tls: _Tls | None = None


def discover(directory: Path) -> tuple[str, str, str]:
    """Return (api_url, api_key, ca_file) of a running system, from DIR/topology.json. Raises ConfigError."""
    path = directory / "topology.json"
    try:
        topology = msgspec.json.decode(path.read_bytes(), type=_Topology)
    except OSError as error:
        hint = f"; start a system with: petrel up --dir {directory}" if isinstance(error, FileNotFoundError) else ""
        raise ConfigError(f"{path}: {error.strerror}{hint}") from None
    except msgspec.DecodeError as error:
        raise ConfigError(f"{path}: {error}") from None
    for service in topology.services:
        if service.kind == "api" and service.ports.http:
            host = f"[{service.host}]" if ":" in service.host else service.host
            scheme, ca_file = ("https", topology.tls.ca) if topology.tls is not None else ("http", "")
            return f"{scheme}://{host}:{service.ports.http}", topology.api_key, ca_file
    raise ConfigError(f"{path}: no service of kind api with an http port")
