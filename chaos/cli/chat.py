"""`petrel chat USER`: finds the system and starts the client, which knows nothing of deployments."""

from __future__ import annotations

import base64
import contextlib
import os
import re
import secrets
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

import msgspec

from chaos.cli.lifecycle import attach, hint
from chaos.errors import VALID, HarnessError, UsageError
from sut.client.errors import ClientError, UserMistake
from sut.client.names import check_name, user_of
from sut.client.service.api import Access
from sut.client.terminal.start import chat as start

SYSTEM_ID = "chat-system.id"
"""File in a system's directory with the id that clients use. If the directory is removed, clients start anew."""
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


def chat(
    *,
    user: str,
    directory: Path,
    api: str | None,
    token: str | None,
    ca: Path | None,
    device: str,
    state: Path | None,
    plain: bool,
) -> int:
    """Chat as this user until they quit. Raises UsageError, HarnessError."""
    try:
        name = check_name(user)
        access, system = _foreign(api, token, name) if api is not None else _local(directory, token, name)
        if ca is not None:
            access = access._replace(ca=str(ca))
        start(access, name=name, device=device, system=system, state=state, plain=plain)
    except UserMistake as error:
        raise UsageError(str(error)) from None
    except ClientError as error:
        raise HarnessError(str(error)) from None
    except KeyboardInterrupt:
        pass  # Ctrl-C is how a person ends it
    return VALID


def _local(directory: Path, token: str | None, name: str) -> tuple[Access, str]:
    """Return the access to the system in a directory, and the id that clients use. Raises HarnessError, UsageError."""
    system = attach(directory)
    if not system.running:
        raise HarnessError(f"nothing runs in {directory}; start it with: {hint('up', directory)}")
    topology = system.topology
    labels = {f"{one.host}:{one.ports['ws']}": one.name for one in topology.of_kind("gateway")}
    access = Access(topology.api_url, operator_key=topology.api_key, labels=labels)
    if token is not None:
        access = _with_token(Access(topology.api_url, token=token, labels=labels), name)
    return access, _system_id(topology.path)


def _system_id(directory: Path) -> str:
    """Return the id in the system's directory, made by the first client.

    It is written atomically, because two clients may start at once. Raises HarnessError.
    """
    path, own = directory / SYSTEM_ID, directory / f"{SYSTEM_ID}.{os.getpid()}"
    try:
        if not path.exists():
            own.write_text(secrets.token_hex(16))
            with contextlib.suppress(FileExistsError):
                os.link(own, path)
            own.unlink()
        return path.read_text()
    except OSError as error:
        raise HarnessError(f"{path}: {error.strerror}") from None


def _foreign(api: str, token: str | None, name: str) -> tuple[Access, str]:
    """Return the access to a system elsewhere, by its URL and a device token. Raises UsageError."""
    if not _is_url(api):
        raise UsageError(f"--api is a URL like http://host:port, not {api!r}")
    if not token:
        raise UsageError("--api needs --token, which the operator of that system gives you")
    return _with_token(Access(api.rstrip("/"), token=token), name), api.rstrip("/")


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        _ = parts.port  # raises ValueError unless it is one
    except ValueError:
        return False
    plain = text.isprintable() and " " not in text
    return plain and parts.scheme in ("http", "https") and bool(parts.hostname)


class _Claims(msgspec.Struct):
    sub: Annotated[str, msgspec.Meta(pattern="^[0-9]{1,19}$")]
    dev: Annotated[int, msgspec.Meta(ge=1, le=(1 << 63) - 1)]


def _with_token(access: Access, name: str) -> Access:
    """Return the access with the device that the token names. Raises UsageError if the token is another user's."""
    token = access.token.strip()
    try:
        if _TOKEN.fullmatch(token) is None:
            raise ValueError
        part = token.split(".")[1]
        claims = msgspec.json.decode(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)), type=_Claims)
    except (ValueError, RecursionError):
        raise UsageError("--token is no device token") from None
    if int(claims.sub) != user_of(name):
        raise UsageError(f"--token is for user {claims.sub}, and {name} is user {user_of(name)}")
    return access._replace(token=token, device=claims.dev)
