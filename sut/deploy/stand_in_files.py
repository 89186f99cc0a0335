"""The stand-ins' keys and certificates, and our accounts with them, made anew at each start (see push_files.py)."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path
from typing import Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sut.deploy.push_files import Accounts, ApnsAccount, FcmAccount, PushFiles, ServiceAccount
from sut.deploy.topology import Topology

KEY_ID: Final = "PETRELKEY1"
TEAM_ID: Final = "PETRELTEAM"
TOPIC: Final = "org.stormpetrel.chat"
PROJECT: Final = "stormpetrel"
ACCOUNT: Final = "push@stormpetrel.iam.example"
VALID: Final = datetime.timedelta(days=30)


def write_stand_in_files(topology: Topology) -> None:
    """Make all of it, for the stand-ins of this topology. Raises OSError."""
    files = PushFiles(topology.path)
    stand_in = topology.of_kind("provider")[0]
    files.stand_in("").mkdir(parents=True, exist_ok=True)
    for part in (files.of(""), files.stand_in("")):
        part.chmod(0o700)
    _write_certificates(files, stand_in.host)
    apns_key, fcm_key = ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 2048)
    _write(files.of("apns.p8"), _private(apns_key))
    _write(files.stand_in("apns.pub"), _public(apns_key))
    _write(files.stand_in("fcm.pub"), _public(fcm_key))
    fcm_url = f"https://{stand_in.host}:{stand_in.ports['fcm']}"
    account = ServiceAccount(
        project_id=PROJECT,
        private_key_id="1",
        private_key=_private(fcm_key).decode(),
        client_email=ACCOUNT,
        token_uri=f"{fcm_url}/token",
    )
    _write(files.of("fcm.json"), msgspec.json.encode(account))
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
    _write(files.accounts, msgspec.json.format(msgspec.json.encode(accounts), indent=1))


def _write_certificates(files: PushFiles, host: str) -> None:
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Stormpetrel stand-ins")])
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "stand-in")])
    ca = (
        _certificate(issuer, issuer, ca_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), critical=False)
        .add_extension(_usage(signs=True), critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address(host))])
    own = (
        _certificate(subject, issuer, key)
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    _write(files.of("ca.pem"), ca.public_bytes(pem))
    _write(files.stand_in("server.pem"), own.public_bytes(pem))
    _write(files.stand_in("server.key"), _private(key))


def _certificate(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + VALID)
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


def _private(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _public(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def _write(path: Path, data: bytes) -> None:
    """Readable by the owner only, from the first byte on."""
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_bytes(data)
