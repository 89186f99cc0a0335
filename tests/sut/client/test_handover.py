"""One program has a device's state, and the newest one gets it; the other says so in a line, and stays away."""

from __future__ import annotations

import asyncio
import subprocess
import time
from pathlib import Path

import pytest

from sut.client.device.handover import take, until_wanted
from sut.client.device.state import InUse
from sut.client.errors import Replaced
from sut.deploy.system import System
from tests.sut.client.test_command import plain

pytestmark = pytest.mark.timeout(300)


def test_who_comes_waits_until_the_other_has_let_go(tmp_path: Path) -> None:
    path = tmp_path / "ann.db"

    async def scenario() -> None:
        first = await take(path)
        watching = asyncio.create_task(until_wanted(path))
        coming = asyncio.create_task(take(path))
        with pytest.raises(Replaced, match="opened in another terminal"):
            await asyncio.wait_for(watching, 30)
        assert not coming.done(), "two never have it"
        first.put("a", b"1")
        first.close()
        second = await asyncio.wait_for(coming, 30)
        assert second.get("a") == b"1"
        watching = asyncio.create_task(until_wanted(path))
        await asyncio.sleep(0.5)
        assert not watching.done(), "the word is taken back"
        watching.cancel()
        second.close()

    asyncio.run(scenario())


def test_who_does_not_let_go_keeps_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        kept = await take(tmp_path / "ann.db")
        with pytest.raises(InUse, match="in another terminal already"):
            await take(tmp_path / "ann.db", patience_s=0.3)
        kept.close()

    asyncio.run(scenario())


def test_the_newest_terminal_goes_on_and_the_one_before_ends_with_one_line(running: System, tmp_path: Path) -> None:
    first = plain(running, "uma", tmp_path)
    assert first.stdout is not None and first.stdin is not None
    assert first.stdout.readline().startswith("* connected to gateway-")
    second = plain(running, "uma", tmp_path)
    first.wait(120)
    assert first.stderr is not None
    assert (
        first.stderr.read()
        == "petrel: this device was opened in another terminal and goes on there; this one has ended\n"
    )
    assert first.returncode == 70
    assert second.stdout is not None
    assert second.stdout.readline().startswith("* connected to gateway-")
    time.sleep(3.0)
    assert second.poll() is None, "and stays"
    ended(second)


def ended(process: subprocess.Popen[str]) -> None:
    out, err = process.communicate("/quit\n", timeout=120)
    assert (process.returncode, err) == (0, ""), out
