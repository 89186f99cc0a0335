"""Ownership of a state file: one program at a time, and the newest one that asks for it.

A program that finds the file in use creates a marker file beside it and waits. The owner polls for that marker, ends
and reports why. So two programs never use the same keys, and a program that has ended never takes the file back.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Final

from sut.client.device.state import InUse, State
from sut.client.errors import Replaced

PATIENCE_S: Final = 15.0
"""Seconds that the other program has to save its state and end."""
LOOK_S: Final = 0.2


def _word(path: Path) -> Path:
    return path.with_name(f"{path.name}.wanted")


async def take(path: Path, *, patience_s: float | None = None) -> State:
    """Open the state in this file as soon as it is free. Raises InUse when the other program keeps it, ClientError."""
    word, deadline_s = _word(path), time.monotonic() + (PATIENCE_S if patience_s is None else patience_s)
    try:
        while True:
            try:
                return State(path)
            except InUse:
                if time.monotonic() > deadline_s:
                    raise
                word.touch(mode=0o600)
            await asyncio.sleep(LOOK_S)
    finally:
        word.unlink(missing_ok=True)


async def until_wanted(path: Path) -> None:
    """Wait until another program asks for this state. Raises Replaced."""
    word = _word(path)
    while True:
        if word.exists():
            raise Replaced("this device was opened in another terminal and goes on there; this one has ended")
        await asyncio.sleep(LOOK_S)
