"""What the hunt for plaintext found: RUN_DIR/canary.json, written by chaos.run.canary and judged by the check `leaks`.

Devices with real encryption put a canary into all that they encrypt; it must be nowhere in the system. The bodies of
the others carry a tracer in the clear: where it is not found the hunt was blind, and proves nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

NAME: Final = "canary.json"


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where something was found."""

    where: str
    """A file relative to the run directory, or a key of a Redis node."""
    form: str
    """raw, hex or base64."""
    at: int
    """Byte offset of the first time."""
    times: int


class Canary(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one hunt."""

    found: tuple[Place, ...] = ()
    """The canary."""
    tracer: tuple[Place, ...] = ()
    """The tracer: some of the places, at most."""
    tracer_expected: bool = False
    files: int = 0
    bytes: int = 0
    keys: int = 0
    """Of Redis."""
    unsearched: tuple[str, ...] = ()
    """What should have been searched and was not, and why."""


class CanaryError(ValueError):
    """A canary.json that cannot be read; the text is one line."""


def load(directory: Path) -> Canary | None:
    """The result in a run directory; None when nothing was hunted. Raises CanaryError."""
    path = directory / NAME
    if not path.exists():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=Canary)
    except (OSError, msgspec.DecodeError) as error:
        raise CanaryError(f"{path}: {error}") from None


def save(canary: Canary, directory: Path) -> None:
    """Write it. Raises OSError."""
    (directory / NAME).write_bytes(msgspec.json.format(msgspec.json.encode(canary), indent=1) + b"\n")
