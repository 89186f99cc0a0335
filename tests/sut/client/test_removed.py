"""Who is removed from a group hears of it at once, without a reconnect, and sees it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sut.client.errors import UserMistake
from sut.client.terminal import slash
from sut.deploy.system import System
from tests.sut.client.conftest import Person, access_to, person


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


def test_who_refuses_is_not_added_and_the_other_is_told_by_name(running: System, tmp_path: Path) -> None:
    async def told() -> None:
        access = access_to(running)
        async with person(access, "pia.r", tmp_path) as pia, person(access, "rex.r", tmp_path) as rex:
            assert await typed(rex, "/groups") == "anybody may add you to groups"
            assert await typed(rex, "/groups nobody") == "nobody may add you to groups"
            with pytest.raises(UserMistake, match=r"^rex\.r does not want to be added to groups$"):
                await pia.do.group("those", ["rex.r"])
            with pytest.raises(UserMistake, match="say /groups anybody, or /groups nobody"):
                await typed(rex, "/groups me")
            assert await typed(rex, "/groups anybody") == "anybody may add you to groups"
            conv = await pia.do.group("those", ["rex.r"])
            await rex.until(lambda: conv in rex.core.conversations, others=(pia,))

    asyncio.run(told())


async def typed(one: Person, line: str) -> str:
    return (await slash.do(one.do, one.core, 0, line)).said
