"""The stand-ins' keys and certificates, and our accounts with them, made anew at each start (see push_files.py)."""

from __future__ import annotations

from typing import Final

import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from sut.deploy.servers import certificates
from sut.deploy.servers.certificates import private_pem, write_private
from sut.deploy.servers.push_files import Accounts, ApnsAccount, FcmAccount, PushFiles, ServiceAccount
from sut.deploy.topology import Service, Topology

KEY_ID: Final = "PETRELKEY1"
TEAM_ID: Final = "PETRELTEAM"
TOPIC: Final = "org.stormpetrel.chat"
PROJECT: Final = "stormpetrel"
ACCOUNT: Final = "push@stormpetrel.iam.example"


def write_conf(topology: Topology, stand_in: Service) -> None:
    """Make keys, certificates and accounts for this stand-in. Raises OSError."""
    files = PushFiles(topology.path)
    files.stand_in("").mkdir(parents=True, exist_ok=True)
    for part in (files.of(""), files.stand_in("")):
        part.chmod(0o700)
    issued = certificates.issue("Stormpetrel stand-ins", "stand-in", ("localhost", stand_in.host))
    write_private(files.of("ca.pem"), issued.ca)
    write_private(files.stand_in("server.pem"), issued.certificate)
    write_private(files.stand_in("server.key"), issued.key)
    apns_key, fcm_key = ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 2048)
    write_private(files.of("apns.p8"), private_pem(apns_key))
    write_private(files.stand_in("apns.pub"), _public(apns_key))
    write_private(files.stand_in("fcm.pub"), _public(fcm_key))
    fcm_url = f"https://{stand_in.host}:{stand_in.ports['fcm']}"
    account = ServiceAccount(
        project_id=PROJECT,
        private_key_id="1",
        private_key=private_pem(fcm_key).decode(),
        client_email=ACCOUNT,
        token_uri=f"{fcm_url}/token",
    )
    write_private(files.of("fcm.json"), msgspec.json.encode(account))
    accounts = Accounts(
        apns=ApnsAccount(
            url=f"https://{stand_in.host}:{stand_in.ports['apns']}",
            key_file="apns.p8",
            key_id=KEY_ID,
            team_id=TEAM_ID,
            topic=TOPIC,
            ca_file="ca.pem",
        ),
        fcm=FcmAccount(url=fcm_url, account_file="fcm.json", ca_file="ca.pem"),
    )
    write_private(files.accounts, msgspec.json.format(msgspec.json.encode(accounts), indent=1))


def _public(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
