"""The service's data are put back to an older copy under two people who talk."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from sut.deploy.supervise.reaper import members
from sut.deploy.system import System
from sut.deploy.topology import Settings
from tests.kit.whole import embedded
from tests.sut.client.conftest import access_to, person

pytestmark = pytest.mark.timeout(240)
SETTINGS = Settings(heartbeat_s=2)


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


def copy_at_one_moment(running: System, to: Path) -> None:
    """Copy the data while no process of the system runs, as a snapshot of a volume does."""
    processes = list(members(running.topology.run_id))
    for process in processes:
        process.suspend()
    try:
        shutil.copytree(running.topology.path / "data", to)
    finally:
        for process in processes:
            process.resume()


def test_what_is_written_after_it_arrives_and_both_are_told(tmp_path: Path) -> None:
    directory, copy, people = tmp_path / "system", tmp_path / "copy", tmp_path / "people"
    with embedded(directory, SETTINGS) as running:
        asyncio.run(talk(running, people, "one", "two"))
        copy_at_one_moment(running, copy)
        asyncio.run(talk(running, people, "three", "four"))
    shutil.rmtree(directory / "data")
    shutil.copytree(copy, directory / "data")
    with embedded(directory, SETTINGS) as running:
        said = asyncio.run(talk(running, people, "five", "six", "seven"))
    assert any("older copy" in text for text in said)
