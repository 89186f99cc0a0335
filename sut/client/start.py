"""Runs a person's client in this terminal, until they end it: on the screen, or line by line."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
from pathlib import Path

from sut.client.api import Access
from sut.client.chat import Chat
from sut.client.errors import UserMistake
from sut.client.names import check_name
from sut.client.plain import Plain, read_lines


def state_path(directory: Path | None, *, system: str, name: str) -> Path:
    """Where the state of a person in a system is. `system`: what tells it from others."""
    if directory is None:
        home = os.environ.get("XDG_STATE_HOME", "")
        base = Path(home) if Path(home).is_absolute() else Path.home() / ".local" / "state"
        directory = base / "petrel" / hashlib.sha256(system.encode()).hexdigest()[:16]
    return directory / f"{name}.db"


def chat(access: Access, *, name: str, system: str, state: Path | None, plain: bool) -> None:
    """Until the person ends it. Raises ClientError, UserMistake."""
    checked = check_name(name)
    if not plain and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UserMistake("this is no terminal; with --plain it takes lines and prints lines")
    path = state_path(state, system=system, name=checked)
    asyncio.run(_plain(access, checked, path) if plain else _screen(access, checked, path))


async def _plain(access: Access, name: str, path: Path) -> None:
    plain = Plain(sys.stdout)
    async with Chat.open(access, name=name, path=path, listener=plain.show) as opened:
        await plain.run(opened, read_lines(sys.stdin.fileno()))


async def _screen(access: Access, name: str, path: Path) -> None:
    from sut.client.tui.app import ChatApp  # Textual takes a moment; the plain mode does without

    app = ChatApp()
    async with Chat.open(access, name=name, path=path, listener=app.show) as opened:
        app.attach(opened)
        await app.run_async()
    if app.failure is not None:
        raise app.failure
