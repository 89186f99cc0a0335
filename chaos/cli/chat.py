"""`petrel chat USER`: finds the system and starts the client, which knows nothing of deployments."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import secrets
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from chaos.cli.lifecycle import attach, hint
from chaos.errors import VALID, HarnessError, UsageError
from sut.client.errors import ClientError, UserMistake
from sut.client.names import check_name, user_of
from sut.client.service.api import Access
from sut.client.terminal.start import chat as start

SYSTEM_ID = "chat-system.id"
"""File in a system's directory with the id that clients use. If the directory is removed, clients start anew."""


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
    parts = urlsplit(api)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"--api is a URL like http://host:port, not {api!r}")
    if not token:
        raise UsageError("--api needs --token, which the operator of that system gives you")
    return _with_token(Access(api.rstrip("/"), token=token), name), api.rstrip("/")


def _with_token(access: Access, name: str) -> Access:
    """Return the access with the device that the token names. Raises UsageError if the token is another user's."""
    try:
        part = access.token.split(".")[1]
        claims: Any = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        user, device = int(claims["sub"]), int(claims["dev"])
    except (IndexError, ValueError, KeyError, TypeError):
        raise UsageError("--token is no device token") from None
    if user != user_of(name):
        raise UsageError(f"--token is for user {user}, and {name} is user {user_of(name)}")
    return access._replace(device=device)
