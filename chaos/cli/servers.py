"""The options that name external servers, and their translation for the deployment."""

from __future__ import annotations

import argparse
import os
import re
from typing import TYPE_CHECKING, Final

from chaos.errors import UsageError

if TYPE_CHECKING:
    from sut.deploy.servers.external import Address, Servers

_TOPIC: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,248}")
_KEYSPACE: Final = re.compile(r"[a-z][a-z0-9_]{0,40}")


def options(sub: argparse.ArgumentParser) -> None:
    """Add the options to a command."""
    group = sub.add_argument_group(
        "servers that somebody else runs",
        "used instead of starting our own, which --profile must have; they are looked at, but never stopped or killed, "
        "and faults on their processes have no target. The topic and the keyspace of a run stay there. One system at a "
        "time on one Redis. Variables such as PETREL_KAFKA_PASSWORD say how to get in; docs/servers.md names them.",
    )
    where = "HOST:PORT[,...]"
    group.add_argument("--kafka", metavar=where, help="brokers to ask for all others; at least 3 are needed")
    group.add_argument("--cassandra", metavar=where, help="nodes to ask for all others; at least 3 are needed")
    group.add_argument("--sentinels", metavar=where, help="Sentinels to ask for the Redis nodes")
    group.add_argument("--redis-master", metavar="NAME", help="the name Sentinel knows the master by; default: petrel")
    group.add_argument("--topic", metavar="NAME", help="of the log on --kafka; default: one for this run alone")
    group.add_argument(
        "--keyspace", metavar="NAME", help="of the store on --cassandra; default: one for this run alone"
    )
    group.add_argument(
        "--secrets", metavar="FILE", help="YAML with users, passwords and TLS; nobody but you may read it (mode 0600)"
    )
    group.add_argument(
        "--log-id",
        metavar="ID",
        help="goes on with a --topic and the --keyspace that was made from it: what that system had in topology.json "
        "as log_id, else as run_id",
    )


def from_options(options: argparse.Namespace, profile: str) -> Servers | None:
    """Return the servers that the options name; None if all servers of the profile are our own. Raises UsageError."""
    from sut.deploy import access
    from sut.deploy.profiles import PROFILES
    from sut.deploy.servers.external import Servers

    for option, needs in (
        ("redis_master", "sentinels"),
        ("topic", "kafka"),
        ("keyspace", "cassandra"),
        ("log_id", "cassandra"),
    ):
        if getattr(options, option) is not None and getattr(options, needs) is None:
            raise UsageError(f"--{option.replace('_', '-')} goes with --{needs}")
    _check_name("--topic", options.topic, _TOPIC, "up to 249 letters, digits, ., _ and -")
    _check_name("--keyspace", options.keyspace, _KEYSPACE, "a letter, then up to 40 of a-z, 0-9 and _")
    if options.secrets is not None and not any((options.kafka, options.cassandra, options.sentinels)):
        raise UsageError("--secrets goes with --kafka, --cassandra or --sentinels")
    secrets = "" if options.secrets is None else os.path.abspath(options.secrets)  # noqa: PTH100 (keeps a link's name)
    servers = Servers(
        kafka=_addresses("--kafka", options.kafka),
        cassandra=_addresses("--cassandra", options.cassandra),
        sentinels=_addresses("--sentinels", options.sentinels),
        redis_master=options.redis_master or Servers.redis_master,
        topic=options.topic,
        keyspace=options.keyspace,
        log_id=options.log_id,
        secrets=secrets,
    )
    if servers.kinds:
        try:
            access.read(secrets)
        except access.AccessError as error:
            raise UsageError(str(error)) from None
    for kind in sorted(servers.kinds - PROFILES[profile].services.keys()):
        raise UsageError(f"profile {profile} has no {kind}; try --profile cluster")
    return servers if servers.kinds else None


def _addresses(option: str, text: str | None) -> tuple[Address, ...]:
    from sut.deploy.servers.external import parse_addresses

    if text is None:
        return ()
    try:
        return parse_addresses(text)
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from None


def _check_name(option: str, name: str | None, pattern: re.Pattern[str], rule: str) -> None:
    if name is not None and not pattern.fullmatch(name):
        raise UsageError(f"{option}: {name!r} is no name there: {rule}")
