"""How servers that somebody else runs let us in: TLS, users and passwords, from a file of secrets or the environment.

The file is YAML with a part for each kind of server, and nobody but its owner may read it. A variable such as
PETREL_KAFKA_PASSWORD overrides its field. The topology names the file and the variables, never what they hold. So
each process of ours reads them at its start, and no secret is in a run directory, a command line or a log.
"""

from __future__ import annotations

import functools
import os
import ssl
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import msgspec

Address = tuple[str, int]
KINDS: Final = ("kafka", "cassandra", "redis", "sentinel")
"""The kinds of servers that may be somebody else's."""
OTHERS_MAY: Final = 0o077
"""Rights by which another user could read or change a file of secrets."""


class AccessError(ValueError):
    """What a user says about the way into a server cannot be used. The text is one line, and holds no secret."""


class Access(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The way into all servers of one kind."""

    user: str = ""
    """"" for a Redis or Sentinel that has a password and no users."""
    password: str = ""
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    """Kafka's kind of login (SASL)."""
    tls: bool = False
    """True if they speak TLS; a `ca` or a `certificate` says that too."""
    ca: str = ""
    """PEM file of the authorities to trust; "": those of this machine."""
    certificate: str = ""
    """PEM file of our own certificate, for servers that ask for one."""
    key: str = ""
    """PEM file of its key; "": it is in `certificate`."""
    check_name: bool = True
    """False: a server's certificate need not have the host by which the servers name each other."""

    def __repr__(self) -> str:
        """Name the user only: this may end up in a log."""
        return f"Access({self.user!r})"

    @property
    def secured(self) -> bool:
        """True if connections use TLS."""
        return bool(self.tls or self.ca or self.certificate)


class _Context(ssl.SSLContext):
    """Settings for connections to one server. Its certificate must have `expected`, whatever address is dialed.

    Drivers name the address that they dial, and with links that is a proxy's.
    """

    expected: str | None = None
    """None: what the driver names."""

    def wrap_socket(self, *args: Any, **options: Any) -> ssl.SSLSocket:
        """Begin TLS on a socket."""
        return super().wrap_socket(*args, **self._named(options))

    def wrap_bio(self, *args: Any, **options: Any) -> ssl.SSLObject:
        """Begin TLS on two buffers, as event loops do."""
        return super().wrap_bio(*args, **self._named(options))

    def _named(self, options: dict[str, Any]) -> dict[str, Any]:
        return options if self.expected is None else options | {"server_hostname": self.expected}


class ClientTls(NamedTuple):
    """TLS towards the servers of one kind."""

    access: Access
    names: Mapping[Address, str]
    """The address of a link's proxy -> the host of the server behind it."""

    def name(self, address: Address) -> str:
        """Return the host that the certificate behind this address must have."""
        return self.names.get(address, address[0])

    def context(self, address: Address | None = None) -> ssl.SSLContext:
        """Return the settings for connections to this address; None: to any, whose name the driver tells.

        Raises AccessError.
        """
        return _context(self.access, None if address is None else self.name(address))


@functools.lru_cache(maxsize=128)
def _context(access: Access, expected: str | None) -> ssl.SSLContext:
    context = _Context(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = access.check_name
    context.expected = expected
    file = access.ca
    try:
        if access.ca:
            context.load_verify_locations(access.ca)
        else:
            context.load_default_certs()
        if file := access.certificate:
            context.load_cert_chain(access.certificate, access.key or None, password="")
    except (OSError, ValueError) as error:  # an SSLError is an OSError
        raise AccessError(f"{file}: {getattr(error, 'strerror', None) or error}") from None
    return context


def variables(environ: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Return the names of the variables that say how to get in."""
    found = os.environ if environ is None else environ
    return tuple(sorted(name for name in _VARIABLES if name in found))


def without(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for a process that must not have our secrets."""
    return {name: value for name, value in environ.items() if name not in _VARIABLES}


def read(file: str, environ: Mapping[str, str] | None = None) -> Mapping[str, Access]:
    """Return the way into each kind of server that the file or the environment names. Raises AccessError.

    `file` "": the environment alone.
    """
    found = os.environ if environ is None else environ
    try:
        seen = Path(file).stat() if file else None
        stamp = () if seen is None else (seen.st_ino, seen.st_mtime_ns, seen.st_mode)
    except OSError as error:
        raise AccessError(f"{file}: {error.strerror}") from None
    return _read(file, stamp, tuple((name, found[name]) for name in variables(found)))


@functools.lru_cache(maxsize=8)
def _read(file: str, _stamp: tuple[int, ...], given: tuple[tuple[str, str], ...]) -> Mapping[str, Access]:
    """Do what `read` does. `_stamp` changes with the file, so that a changed one is read again."""
    parts = {kind: dict(part) for kind, part in (_file(Path(file)) if file else {}).items()}
    for name, value in given:
        kind, field = _VARIABLES[name]
        parts.setdefault(kind, {})[field] = value
    found = {}
    for kind, part in parts.items():
        try:
            found[kind] = msgspec.convert(part, Access, strict=False)
        except msgspec.ValidationError as error:
            raise AccessError(f"{file or 'PETREL_' + kind.upper()}: {kind}: {error}") from None
        _check(kind, found[kind])
    return found


def _check(kind: str, access: Access) -> None:
    """Raise AccessError for what no server of this kind can take, and for files that cannot be used."""
    if access.user and not access.password:
        raise AccessError(f"{kind}: a user without a password")
    if access.password and not access.user and kind in ("kafka", "cassandra"):
        raise AccessError(f"{kind}: a password without a user")
    if access.key and not access.certificate:
        raise AccessError(f"{kind}: a key without a certificate")
    if access.secured:
        try:
            _context(access, None)
        except AccessError as error:
            raise AccessError(f"{kind}: {error}") from None


def _file(path: Path) -> dict[str, dict[str, Any]]:
    """Return the parts of a file of secrets. Raises AccessError."""
    try:
        with path.open("rb") as opened:
            if stat.S_IMODE(os.fstat(opened.fileno()).st_mode) & OTHERS_MAY:
                raise AccessError(f"{path}: others may read it; chmod 600 {path}")
            parts = msgspec.yaml.decode(opened.read(), type=dict[str, dict[str, Any]])
    except OSError as error:
        raise AccessError(f"{path}: {error.strerror}") from None
    except msgspec.ValidationError as error:
        raise AccessError(f"{path}: {error}") from None
    except msgspec.DecodeError as error:  # its text quotes the line, and the line may be a password
        mark = getattr(error.__context__, "problem_mark", None)
        raise AccessError(f"{path}{'' if mark is None else f', line {mark.line + 1}'}: this is no YAML") from None
    for kind in parts:
        if kind not in KINDS:
            raise AccessError(f"{path}: no kind of server {kind!r}; there are {', '.join(KINDS)}")
    return parts


_VARIABLES: Final[Mapping[str, tuple[str, str]]] = {
    f"PETREL_{kind.upper()}_{field.upper()}": (kind, field) for kind in KINDS for field in Access.__struct_fields__
}
"""Name of a variable -> the kind of server and the field of its Access."""
