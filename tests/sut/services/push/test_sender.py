"""What a lane's sender makes of its provider: Retry-After, and an attempt that never comes back."""

import asyncio
import random
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from sut.ports import Provider, Push, PushAddress, PushAnswer, RegisteredDevice, Verdict
from sut.protocol.push_tokens import push_token
from sut.services.push.directory import Directory
from sut.services.push.floor import Floor
from sut.services.push.lane import WIDTH, Hold, Lane
from sut.services.push.sender import Sender
from sut.standins.behaviour import Behaviour, Behaviours
from tests.sut.services.push.conftest import running

NOBODY = cast("Directory", None)


class Stuck:
    """A provider whose library waits past every deadline and cancellation, until it is made anew."""

    def __init__(self) -> None:
        self.broken = True
        self.asked = 0

    async def push(self, token: str, push: Push) -> PushAnswer:
        self.asked += 1
        free = asyncio.Event()
        while self.broken:
            try:
                await free.wait()
            except asyncio.CancelledError:
                if not self.broken:
                    raise
        return PushAnswer(Verdict.ACCEPTED)

    async def renew(self) -> None:
        self.broken = False

    async def close(self) -> None:
        pass


def lane_with(count: int, provider: Provider = "apns") -> tuple[Lane, Mapping[int, Floor]]:
    floors = {0: Floor()}
    lane = Lane(floors, rng=random.Random(1))
    for number in range(1, count + 1):
        address = PushAddress(provider, push_token(provider, number))
        lane.add(RegisteredDevice(number, number, address), 1, 1, Hold(0, number))
    return lane, floors


async def until_empty(lane: Lane, sender: Sender, *, timeout_s: float) -> None:
    work = asyncio.create_task(sender.run())
    async with asyncio.timeout(timeout_s):
        while len(lane):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    work.cancel()
    await asyncio.wait({work})


async def test_attempts_that_never_come_back_do_not_stop_the_lane() -> None:
    """As many as fit into the lane; seen with an HTTP library that waited for ever, until the service was restarted."""
    provider = Stuck()
    lane, _ = lane_with(WIDTH + 20)
    sender = Sender("apns", lane=lane, provider=provider, directory=NOBODY, limit_s=0.3)
    await until_empty(lane, sender, timeout_s=10)
    assert lane.counts[Verdict.ACCEPTED] == WIDTH + 20
    assert sender.renewed >= 1
    assert lane.flying == 0


async def test_a_provider_that_answers_nothing_gets_its_pushes_when_it_does(tmp_path: Path) -> None:
    async with running(tmp_path) as providers:
        await providers.stand_ins.behave(Behaviours(apns=Behaviour(silent=1)))
        lane, _ = lane_with(3 * WIDTH)
        sender = Sender("apns", lane=lane, provider=providers.adapters["apns"], directory=NOBODY)
        work = asyncio.create_task(until_empty(lane, sender, timeout_s=30))
        await asyncio.sleep(3)
        assert lane.counts[Verdict.LATER] >= WIDTH
        await providers.stand_ins.behave(Behaviours())
        await work
        assert len(providers.accepted().splitlines()) == 3 * WIDTH
        assert sender.renewed == 0  # the adapter kept its own deadlines


@pytest.mark.parametrize("trouble", [Behaviour(throttled=0.5), Behaviour(failing=0.5)], ids=["429", "503"])
@pytest.mark.parametrize("name", ["apns", "fcm"])
async def test_retry_after_is_waited_for(name: Provider, trouble: Behaviour, tmp_path: Path) -> None:
    async with running(tmp_path) as providers:
        await providers.stand_ins.behave(Behaviours(**cast("dict[str, Any]", {name: trouble})))
        lane, _ = lane_with(100, name)
        sender = Sender(name, lane=lane, provider=providers.adapters[name], directory=NOBODY)
        begun_s = time.monotonic()
        work = asyncio.create_task(until_empty(lane, sender, timeout_s=30))
        await asyncio.sleep(1.5)  # the second tries are under way
        await providers.stand_ins.behave(Behaviours())
        await work
        assert lane.counts[Verdict.LATER] > 20
        assert time.monotonic() - begun_s >= 1
        assert providers.stand_ins.too_soon == 0
