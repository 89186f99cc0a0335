"""The result of the hunt for plaintext: RUN_DIR/canary.json.

chaos.run.canary writes it and the check `leaks` judges it. Devices with real encryption put a canary into everything
that they encrypt; it must be nowhere in the system. The bodies of the other devices carry a tracer in the clear. If the
tracer is not found, the hunt was blind and proves nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

NAME: Final = "canary.json"


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """One file or key in which the hunt found a text."""

    where: str
    """A file relative to the run directory, or a key of a Redis node."""
    form: str
    """raw, hex or base64."""
    at: int
    """Byte offset of the first occurrence."""
    times: int


class Canary(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one hunt."""

    found: tuple[Place, ...] = ()
    """The places that hold the canary."""
    tracer: tuple[Place, ...] = ()
    """At least some of the places that hold the tracer."""
    tracer_expected: bool = False
    files: int = 0
    bytes: int = 0
    keys: int = 0
    """Number of Redis keys searched."""
    unsearched: tuple[str, ...] = ()
    """Places that should have been searched and were not, with the reason."""


class CanaryError(ValueError):
    """The file canary.json cannot be read; the text is one line."""


def load(directory: Path) -> Canary | None:
    """Return the result in a run directory; None if there was no hunt. Raises CanaryError."""
    path = directory / NAME
    if not path.exists():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=Canary)
    except (OSError, msgspec.DecodeError) as error:
        raise CanaryError(f"{path}: {error}") from None


def save(canary: Canary, directory: Path) -> None:
    """Write the result into a run directory. Raises OSError."""
    (directory / NAME).write_bytes(msgspec.json.format(msgspec.json.encode(canary), indent=1) + b"\n")
