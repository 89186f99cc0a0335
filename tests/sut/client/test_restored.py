"""A person's state file is put back to an older copy: what is written then arrives and can be read."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from sut.client.terminal.start import state_path
from sut.deploy.system import System
from tests.sut.client.conftest import access_to, person


def test_a_client_restored_from_a_copy_goes_on(running: System, tmp_path: Path) -> None:
    asyncio.run(scenario(running, tmp_path))


async def scenario(running: System, tmp_path: Path) -> None:
    access, copy = access_to(running), tmp_path / "copy.db"
    file = state_path(tmp_path, system="", name="restored.ann", device="terminal")
    async with person(access, "restored.bob", tmp_path) as bob:
        async with person(access, "restored.ann", tmp_path) as ann:
            conv = await ann.do.begin("restored.bob")
            await ann.do.send(conv, "one")
            await bob.until(lambda: bob.texts(conv) == ["restored.ann: one"], others=(ann,))
            await ann.do.settled(20.0)
        shutil.copy(file, copy)
        async with person(access, "restored.ann", tmp_path) as ann:
            await ann.do.send(conv, "two")
            await ann.do.send(conv, "three")
            await bob.until(lambda: len(bob.texts(conv)) == 3, others=(ann,))
            await ann.do.settled(20.0)
        shutil.copy(copy, file)
        for gone in ("-wal", "-shm"):
            file.with_name(file.name + gone).unlink(missing_ok=True)
        async with person(access, "restored.ann", tmp_path) as ann:
            for text in ("four", "five", "six"):
                await ann.do.send(conv, text)
            expected = [f"restored.ann: {text}" for text in ("one", "two", "three", "four", "five", "six")]
            await bob.until(lambda: bob.texts(conv) == expected, others=(ann,))
            assert any("older copy" in text for text in ann.said)
