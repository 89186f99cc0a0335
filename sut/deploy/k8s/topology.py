"""`python -m sut.deploy.k8s.topology`: makes the topology of a system in pods, and the variables of its servers.

Each process has the name of its pod and listens on the pod's own address, which others find by name. Sequencers answer
gateways and API processes by name, and pass on through chat services by name. So all are in stateful sets. The topology
lists as many as there may ever be; those that an autoscaler has not started are away, as after a crash.
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from sut.deploy import access
from sut.deploy.errors import EXIT_USAGE
from sut.deploy.kinds import KINDS
from sut.deploy.servers.certificates import write_private
from sut.deploy.servers.external import Address, parse_addresses
from sut.deploy.topology import Service, Settings, Topology

DIRECTORY: Final = "/var/lib/petrel"
"""Where a pod may write."""
PORTS: Final[Mapping[str, int]] = {"ws": 8080, "http": 8081, "peer": 7000, "metrics": 9100}
"""The port of each role, the same in every pod."""
API_SERVICE: Final = "api-public"
"""The Service through which clients reach the API."""
SETTINGS: Final = Settings(drain_base_s=30.0, push=False, partitions=16)
"""A gateway sends its devices elsewhere within 30 s; base/gateway.yaml gives it that time to end."""


def build(
    *,
    namespace: str,
    counts: Mapping[str, int],
    kafka: Sequence[Address],
    cassandra: Sequence[Address],
    sentinels: Sequence[Address],
    redis_master: str = "mymaster",
    domain: str = "",
    cluster_domain: str = "cluster.local",
    variables: Sequence[str] = (),
) -> Topology:
    """Return the topology of a system in this namespace, with new keys.

    `counts`: the most pods of each kind. `domain`: gateway-1.DOMAIN leads to that gateway from outside; "": devices are
    in the cluster. `variables`: names of the environment variables that say how to log in at the servers.
    """
    inside = f"{namespace}.svc.{cluster_domain}"
    services = [
        Service(
            name=f"{kind}-{index + 1}",
            kind=kind,
            index=index,
            host=f"{kind}-{index + 1}.{kind}.{inside}",
            ports={role: PORTS[role] for role in KINDS[kind].ports},
            public_host=_public(kind, index, inside, domain),
        )
        for kind, count in counts.items()
        for index in range(count)
    ]
    for kind, role, found in (
        ("kafka", "client", kafka),
        ("cassandra", "cql", cassandra),
        ("sentinel", "redis", sentinels),
    ):
        services += [
            Service(name=f"{kind}-{index + 1}", kind=kind, index=index, host=host, ports={role: port}, external=True)
            for index, (host, port) in enumerate(found)
        ]
    run_id = secrets.token_hex(8)
    return Topology(
        run_id=run_id,
        profile="kubernetes",
        dir=DIRECTORY,
        services=tuple(services),
        settings=SETTINGS,
        log="kafka",
        store="cassandra",
        token_key=secrets.token_hex(32),
        api_key=secrets.token_urlsafe(24),
        peer_key=secrets.token_hex(32),
        conversation_key=secrets.token_hex(32),
        redis_master=redis_master,
        topic=f"petrel-{run_id}",
        keyspace=f"petrel_{run_id}",
        secret_variables=tuple(variables),
    )


def _public(kind: str, index: int, inside: str, domain: str) -> str:
    if kind == "api":
        return f"{API_SERVICE}.{inside}"
    return f"{kind}-{index + 1}.{domain}" if kind == "gateway" and domain else ""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sut.deploy.k8s.topology", description=__doc__.partition("\n")[0])
    where = "HOST:PORT[,...]"
    parser.add_argument("--namespace", default="petrel")
    parser.add_argument("--kafka", type=_addresses, required=True, metavar=where, help="three brokers or more")
    parser.add_argument("--cassandra", type=_addresses, required=True, metavar=where, help="three nodes or more")
    parser.add_argument("--sentinels", type=_addresses, required=True, metavar=where, help="all Sentinels")
    parser.add_argument("--redis-master", default="mymaster", metavar="NAME", help="default: mymaster")
    for kind, count in (("gateway", 10), ("chat", 4), ("sequencer", 2), ("api", 2)):
        parser.add_argument(f"--{kind}s", type=int, default=count, metavar="N", help=f"at most; default: {count}")
    parser.add_argument("--domain", default="", help="gateway-1.DOMAIN leads to that gateway from outside")
    parser.add_argument("--cluster-domain", default="cluster.local")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="gets topology.json and servers.env")
    return parser


def _addresses(text: str) -> tuple[Address, ...]:
    try:
        return parse_addresses(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def main(arguments: list[str]) -> int:
    """Write DIR/topology.json and DIR/servers.env, readable by their owner only. Returns the exit status."""
    options = _parser().parse_args(arguments)
    variables = access.variables()
    topology = build(
        namespace=options.namespace,
        counts={kind: getattr(options, f"{kind}s") for kind in ("gateway", "chat", "sequencer", "api")},
        kafka=options.kafka,
        cassandra=options.cassandra,
        sentinels=options.sentinels,
        redis_master=options.redis_master,
        domain=options.domain,
        cluster_domain=options.cluster_domain,
        variables=variables,
    )
    try:
        write_private(options.out / "topology.json", msgspec.json.format(msgspec.json.encode(topology), indent=1))
        given = "".join(f"{name}={os.environ[name]}\n" for name in variables)
        write_private(options.out / "servers.env", given.encode())
    except OSError as error:
        sys.stderr.write(f"{error.filename}: {error.strerror}\n")
        return EXIT_USAGE
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
