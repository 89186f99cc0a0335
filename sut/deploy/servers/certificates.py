"""Makes a certificate authority for one machine and a certificate from it: for gateways and the API, or the stand-ins.

For tests and for systems on loopback. A public system gets its certificates from elsewhere and names the files in its
topology.
"""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sut.deploy.topology import Tls

LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
LIFE: Final = datetime.timedelta(days=30)
_LEEWAY: Final = datetime.timedelta(hours=1)


class Issued(NamedTuple):
    """An authority's certificate, a certificate that it signed, and that one's key: each in PEM."""

    ca: bytes
    certificate: bytes
    key: bytes


def make(directory: Path, hosts: Iterable[str] = LOOPBACK) -> Tls:
    """Make an authority and a certificate for these names and addresses, as PEM files in the directory.

    Raises OSError.
    """
    directory.mkdir(parents=True, exist_ok=True)
    issued = issue("petrel local authority", "petrel", hosts)
    files = Tls(
        certificate=str(directory / "certificate.pem"), key=str(directory / "key.pem"), ca=str(directory / "ca.pem")
    )
    Path(files.ca).write_bytes(issued.ca)
    Path(files.certificate).write_bytes(issued.certificate)
    write_private(Path(files.key), issued.key)
    return files


def issue(authority: str, subject: str, hosts: Iterable[str]) -> Issued:
    """Return a new authority of this name, and a server certificate that it signed for these names and addresses.

    The authority's key is not kept, so it can never sign another certificate.
    """
    now = datetime.datetime.now(datetime.UTC)
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, authority)])
    ca = (
        _begun(ca_name, ca_name, ca_key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    certificate = (
        _begun(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]), ca_name, key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_name(host) for host in hosts]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    return Issued(ca.public_bytes(pem), certificate.public_bytes(pem), private_pem(key))


def private_pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    """Return a private key as PEM (PKCS #8), not encrypted."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def write_private(path: Path, data: bytes) -> None:
    """Write a file that only its owner can read, from the first byte on. Raises OSError."""
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_bytes(data)


def _begun(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime.datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _LEEWAY)
        .not_valid_after(now + LIFE)
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


def _name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
