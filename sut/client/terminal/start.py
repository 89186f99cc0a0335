"""Runs a person's client in this terminal until they quit: on the screen, or line by line."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
from pathlib import Path
from typing import NamedTuple

from sut.client.chat import Chat
from sut.client.errors import UserMistake
from sut.client.names import DEVICE, check_name
from sut.client.service.api import Access
from sut.client.terminal.plain import Plain, read_lines


class Person(NamedTuple):
    """The checked names of the user and of the device."""

    name: str
    device: str


def state_path(directory: Path | None, *, system: str, name: str, device: str) -> Path:
    """Return the path of a device's state file. `system` identifies the chat system, so that two systems do not share a
    file.
    """
    if directory is None:
        home = os.environ.get("XDG_STATE_HOME", "")
        base = Path(home) if Path(home).is_absolute() else Path.home() / ".local" / "state"
        directory = base / "petrel" / hashlib.sha256(system.encode()).hexdigest()[:16]
    return directory / (f"{name}.db" if device == DEVICE else f"{name}@{device}.db")  # no name has an @


def chat(access: Access, *, name: str, device: str, system: str, state: Path | None, plain: bool) -> None:
    """Run the client until the person quits. Raises ClientError, UserMistake."""
    person = Person(check_name(name), check_name(device))
    if not plain and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UserMistake("this is not a terminal; use --plain to read and print lines")
    path = state_path(state, system=system, name=person.name, device=person.device)
    asyncio.run(_plain(access, person, path) if plain else _screen(access, person, path))


async def _plain(access: Access, person: Person, path: Path) -> None:
    plain, (name, device) = Plain(sys.stdout), person
    async with Chat.open(access, name=name, device_name=device, path=path, listener=plain.show) as opened:
        await plain.run(opened, read_lines(sys.stdin.fileno()))


async def _screen(access: Access, person: Person, path: Path) -> None:
    from sut.client.terminal.tui.app import ChatApp  # importing Textual is slow; the plain mode does not need it

    app, (name, device) = ChatApp(), person
    async with Chat.open(access, name=name, device_name=device, path=path, listener=app.show) as opened:
        app.attach(opened)
        await app.run_async()
    if app.failure is not None:
        raise app.failure
