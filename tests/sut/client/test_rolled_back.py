"""The service's data are put back to an older copy under two people who talk."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from sut.deploy import system
from sut.deploy.system import System
from sut.deploy.topology import Settings
from tests.sut.client.conftest import access_to, person

pytestmark = pytest.mark.timeout(240)


def started(directory: Path) -> System:
    return system.start(
        profile="embedded", directory=directory, variant=None, settings=Settings(heartbeat_s=2),
        on_progress=lambda _line: None,
    )  # fmt: skip


async def talk(running: System, people: Path, *texts: str) -> list[str]:
    """Ann writes to Ben; what Ben has on the screen when all of it is there."""
    access = access_to(running)
    async with person(access, "ann", people) as ann, person(access, "ben", people) as ben:
        conv = await ann.do.begin("ben")
        for text in texts:
            await ann.do.send(conv, text)
        await ben.until(lambda: ben.texts(conv)[-len(texts) :] == [f"ann: {text}" for text in texts], others=(ann,))
        await ann.do.settled(20.0)
        return ben.said


def test_what_is_written_after_it_arrives_and_both_are_told(tmp_path: Path) -> None:
    data, copy, people = tmp_path / "system" / "data", tmp_path / "copy", tmp_path / "people"
    for texts in (["one", "two"], ["three", "four"], ["five", "six", "seven"]):
        running = started(tmp_path / "system")
        try:
            said = asyncio.run(talk(running, people, *texts))
        finally:
            running.stop(15.0)
        if texts[0] == "one":
            shutil.copytree(data, copy)
        elif texts[0] == "three":
            shutil.rmtree(data)
            shutil.copytree(copy, data)
    assert any("older copy" in text for text in said)
