"""Who is removed from a group hears of it at once, without a reconnect, and sees it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from sut.deploy.system import System
from tests.sut.client.conftest import access_to, person


def test_who_is_removed_sees_it_at_once(running: System, tmp_path: Path) -> None:
    asyncio.run(scenario(running, tmp_path))


async def scenario(running: System, tmp_path: Path) -> None:
    access = access_to(running)
    async with person(access, "owner.o", tmp_path) as owner, person(access, "out.o", tmp_path) as out:
        conv = await owner.do.group("those", ["out.o"])
        await out.until(lambda: conv in out.core.conversations and out.talk(conv).known, others=(owner,))
        seen = len(out.states)
        await owner.do.remove(conv, "out.o")
        await out.until(lambda: out.talk(conv).left, 8.0, others=(owner,))
        assert out.states[seen:] == [], "on the same connection"
        assert out.talk(conv).lines[-1].text == "you are not a member of this group any more"
