"""Servers as somebody else would run them: with passwords and TLS. Real ones, configured anew where the product's are.

The product writes its servers' configuration in the process that starts them. So a test that wants other settings
changes what is written, and a topology of servers alone with a file of secrets is started as any other.
"""

import secrets as random_secrets
import subprocess
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    load_pem_private_key,
)
from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates
from cryptography.x509 import load_pem_x509_certificate

from sut.deploy.access import KINDS
from sut.deploy.servers import cassandra, certificates, kafka, redis
from sut.deploy.topology import Service, Tls, Topology

USER = "petrel"


class Guard:
    """The passwords and certificates of one set of servers, and the files in which a client gets them."""

    def __init__(self, directory: Path, hosts: tuple[str, ...]) -> None:
        directory.mkdir()
        self.directory = directory
        self.passwords = {kind: f"S3-{random_secrets.token_urlsafe(24)}" for kind in KINDS}
        self.tls: Tls = certificates.make(directory / "tls", hosts)
        self.other_ca: str = certificates.make(directory / "other", hosts).ca
        self.keystore = directory / "keystore.p12"
        certificate, key = Path(self.tls.certificate).read_bytes(), Path(self.tls.key).read_bytes()
        self.keystore.write_bytes(
            serialize_key_and_certificates(
                b"server",
                load_pem_private_key(key, None),  # type: ignore[arg-type]
                load_pem_x509_certificate(certificate),
                None,
                BestAvailableEncryption(b"changeit"),
            )
        )
        self.both = directory / "both.pem"
        certificates.write_private(self.both, key + certificate)

    def ways(self) -> dict[str, dict[str, object]]:
        """What a client says to be let in by each kind."""
        found: dict[str, dict[str, object]] = {
            kind: {"user": USER, "password": password, "ca": self.tls.ca} for kind, password in self.passwords.items()
        }
        del found["redis"]["user"]  # one password for all
        return found

    def file(self, name: str, ways: Mapping[str, Mapping[str, object]], *, mode: int = 0o600) -> Path:
        """Write a file of secrets."""
        path = self.directory / name
        path.write_bytes(msgspec.yaml.encode(ways))
        path.chmod(mode)
        return path


def guard_redis(guard: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have Redis nodes ask for a password and Sentinels for a user, both by TLS alone."""
    files = (
        f'tls-cert-file "{guard.tls.certificate}"\ntls-key-file "{guard.tls.key}"\ntls-ca-cert-file "{guard.tls.ca}"\n'
    )

    def common(_topology: Topology, service: Service) -> str:
        text = redis._COMMON.format(host=service.host, port=0, directory=str(guard.directory))
        text += f"tls-port {service.ports['redis']}\ntls-auth-clients no\ntls-replication yes\n{files}"
        if service.kind == "redis":
            return text + f"requirepass {guard.passwords['redis']}\nmasterauth {guard.passwords['redis']}\n"
        password = guard.passwords["sentinel"]
        users = f"user default off\nuser {USER} on >{password} allchannels +@all\n"
        return text + users + f"sentinel sentinel-user {USER}\nsentinel sentinel-pass {password}\n"

    monkeypatch.setattr(redis, "common_conf", common)
    from sut.deploy.servers import sentinel

    plain = sentinel.conf
    monkeypatch.setattr(
        sentinel,
        "conf",
        lambda topology, service: (
            plain(topology, service) + f"sentinel auth-pass {topology.redis_master} {guard.passwords['redis']}\n"
        ),
    )


def guard_kafka(guard: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have brokers ask their clients for SASL by TLS."""
    plain = kafka._settings
    login = "org.apache.kafka.common.security"

    def settings(topology: Topology, service: Service) -> dict[str, object]:
        password = guard.passwords["kafka"]
        return plain(topology, service) | {
            "listener.security.protocol.map": "CLIENT:SASL_SSL,REPLICATION:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512",
            "listener.name.client.plain.sasl.jaas.config": (
                f'{login}.plain.PlainLoginModule required user_{USER}="{password}";'
            ),
            "listener.name.client.scram-sha-512.sasl.jaas.config": f"{login}.scram.ScramLoginModule required;",
            "listener.name.client.ssl.keystore.type": "PEM",
            "listener.name.client.ssl.keystore.location": guard.both,
        }

    monkeypatch.setattr(kafka, "_settings", settings)


def guard_cassandra(guard: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have nodes ask their clients for a password by TLS."""
    monkeypatch.setattr(
        cassandra,
        "_SETTINGS",
        cassandra._SETTINGS
        | {
            "authenticator": {"class_name": "PasswordAuthenticator"},
            "auth_cache_warming_enabled": False,
            "client_encryption_options": {
                "enabled": True,
                "optional": False,
                "keystore": str(guard.keystore),
                "keystore_password": "changeit",
                "store_type": "PKCS12",
                "require_client_auth": False,
            },
        },
    )


def add_scram_user(topology: Topology, guard: Guard, jars: Path) -> None:
    """Add the user for SCRAM, as an operator does: with Kafka's own tool, at the listener of the brokers."""
    broker = topology.of_kind("kafka")[0]
    config = guard.directory / "scram.properties"  # in a file the tool takes no brackets, unlike on a command line
    certificates.write_private(config, f"SCRAM-SHA-512=password={guard.passwords['kafka']}\n".encode())
    command = [
        *("java", "-Xmx128m", "-XX:TieredStopAtLevel=1", "-cp", f"{jars}/*", "kafka.admin.ConfigCommand"),
        *("--bootstrap-server", f"{broker.host}:{broker.ports['replication']}", "--alter"),
        *("--entity-type", "users", "--entity-name", USER, "--add-config-file", str(config)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def add_cassandra_role(topology: Topology, guard: Guard) -> None:
    """Add the user, as an operator does: as the superuser that a new cluster has."""
    from cassandra.auth import PlainTextAuthProvider
    from cassandra.cluster import Cluster

    login = topology.login("cassandra")
    assert login is not None
    assert login.tls is not None
    node = topology.of_kind("cassandra")[0]
    cluster = Cluster(
        [node.host],
        port=node.ports["cql"],
        auth_provider=PlainTextAuthProvider(login.user, login.password),
        ssl_context=login.tls.context(),
        protocol_version=4,
    )
    try:
        session = cluster.connect()
        replication = "{'class': 'NetworkTopologyStrategy', 'datacenter1': 3}"
        session.execute(f"ALTER KEYSPACE system_auth WITH replication = {replication}")
        session.execute(
            f"CREATE ROLE {USER} WITH PASSWORD = '{guard.passwords['cassandra']}' AND LOGIN = true", timeout=30
        )
    finally:
        cluster.shutdown()
