"""Who gets a push: with a registry that knows, is away, or forgot, and with gateways that are silent or dead."""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import pytest

from sut.ports import (
    Devices,
    PushAddress,
    PushAnswer,
    RegisteredDevice,
    Registry,
    Route,
    Unavailable,
    Verdict,
)
from sut.services.push import decider as module
from sut.services.push import watch
from sut.services.push.decider import Decider
from sut.services.push.directory import Directory
from sut.services.push.floor import Floor
from sut.services.push.gateways import Gateways, Life
from sut.services.push.lane import Hold, Lane
from sut.services.push.reader import Reached
from sut.variants.push_to_online import EagerDecider


@dataclass
class World:
    """The registry, the gateways and the directory, in memory: what each of them would say."""

    routes_of: dict[int, tuple[Route, ...]] = field(default_factory=dict)
    lapsed_of: dict[int, tuple[Route, ...]] = field(default_factory=dict)
    there: dict[str, set[int]] = field(default_factory=lambda: {"g1": set(), "g2": set()})
    lives: dict[str, Life] = field(default_factory=lambda: {"g1": Life.ALIVE, "g2": Life.ALIVE})
    generation: int = 1
    available: bool = True
    tokens: dict[int, RegisteredDevice] = field(default_factory=dict)
    questions: int = 0
    unsure: set[str] = field(default_factory=set)
    quiet: dict[int, float] = field(default_factory=dict)
    """Devices that are silent, since when, at this gateway."""
    quiet_at: str = "g1"

    async def routes(self, users: Sequence[int]) -> Mapping[int, tuple[Route, ...]]:
        if not self.available:
            raise Unavailable("no registry")
        return {user: self.routes_of[user] for user in users if user in self.routes_of}

    async def lapsed(self, users: Sequence[int]) -> Mapping[int, tuple[Route, ...]]:
        return {user: self.lapsed_of[user] for user in users if user in self.lapsed_of}

    @property
    def all_linked(self) -> bool:
        return Life.SILENT not in self.lives.values()

    def life(self, route: Route) -> Life:
        return self.lives[route.node]

    def silent_since(self, route: Route) -> float | None:
        return self.quiet.get(route.device) if route.node == self.quiet_at else None

    def silent(self) -> dict[int, float]:
        return self.quiet

    async def ask_all(self, devices: Iterable[int]) -> tuple[set[int], set[str]]:
        asked = set(devices)
        return await self.ask(dict.fromkeys(self.there, asked))

    async def ask(self, by_node: Mapping[str, Iterable[int]]) -> tuple[set[int], set[str]]:
        self.questions += 1
        silent = {node for node in by_node if self.lives[node] == Life.SILENT}
        alive = [node for node in by_node if self.lives[node] == Life.ALIVE]
        return {d for node in alive for d in by_node[node] if d in self.there[node] and d not in self.quiet}, silent

    async def devices_of(self, users: Sequence[int]) -> dict[int, tuple[RegisteredDevice, ...]]:
        return {user: (self.tokens[user],) for user in users if user in self.tokens}

    def connect(self, device: int, node: str = "g1") -> None:
        self.there[node].add(device)
        self.routes_of[device] = (Route(device, node, 1, device, 1),)

    def disconnect(self, device: int) -> None:
        for devices in self.there.values():
            devices.discard(device)
        self.routes_of.pop(device, None)


class Desk:
    """A decider in its world."""

    def __init__(self, world: World, kind: type[Decider] = Decider) -> None:
        self.world = world
        self.floor = Floor()
        self.lane = Lane({0: self.floor}, rng=random.Random(1))
        self._offset = 0
        for user in range(1, 10):
            world.tokens[user] = RegisteredDevice(user, user, PushAddress("apns", f"t{user}"))
        self.decider = kind(
            registry=cast("Registry", world),
            generations=world,
            gateways=cast("Gateways", world),
            directory=Directory(cast("Devices", world)),
            floors={0: self.floor},
            lanes={"apns": self.lane},
            on_pending=lambda: None,
        )

    async def say(self, *users: int, by: int = 0) -> None:
        """A message to these, read just now."""
        self._offset += 1
        self.floor.hold(self._offset)
        self.floor.read_to(self._offset)
        await self.decider.put(Reached(Hold(0, self._offset), 7, self._offset, users, by, time.monotonic()))

    async def pushed(self, *, after_s: float = 0.3) -> list[int]:
        """To whom pushes were given to the lane by now; they are answered."""
        await asyncio.sleep(after_s)
        found = []
        while (due := self.lane.take(time.monotonic())) is not None:
            found.append(due.device.device)
            self.lane.answer(due, PushAnswer(Verdict.ACCEPTED), time.monotonic())
        return found


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (
        ("GRACE_S", 0.1),
        ("SETTLE_S", 0.5),
        ("AGAIN_S", 0.1),
        ("START_S", 0.2),
        ("LOOK_AGAIN_S", 0.02),
    ):
        monkeypatch.setattr(module, name, value)
    monkeypatch.setattr(watch, "WATCH_S", 0.2)


@contextlib.asynccontextmanager
async def deciding(kind: type[Decider] = Decider) -> AsyncIterator[Desk]:
    desk = Desk(World(), kind)
    task = asyncio.create_task(desk.decider.run())
    try:
        yield desk
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_who_is_away_gets_one_and_who_is_there_or_wrote_it_does_not() -> None:
    async with deciding() as desk:
        desk.world.connect(2)
        del desk.world.tokens[4]
        desk.world.tokens[5] = RegisteredDevice(5, 5, None)
        desk.world.tokens[6] = RegisteredDevice(6, 6, PushAddress("fcm", "no such lane"))
        await desk.say(1, 2, 3, 4, 5, 6, by=1)
        assert await desk.pushed() == [3]
        assert desk.floor.value == 1
        assert desk.world.questions == 0


async def test_nothing_is_decided_before_the_grace_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GRACE_S", 0.6)
    async with deciding() as desk:
        await desk.say(1, 2)
        assert await desk.pushed() == []
        assert desk.floor.value == 0
        desk.world.connect(2)  # back in time
        assert await desk.pushed(after_s=0.6) == [1]
        assert desk.floor.value == 1


async def test_without_the_registry_the_gateways_say_who_is_there() -> None:
    async with deciding() as desk:
        desk.world.connect(2)
        desk.world.connect(3, "g2")
        desk.world.available = False
        await desk.say(1, 2, 3)
        assert await desk.pushed() == [1]
        desk.world.disconnect(3)
        await desk.say(1, 2, 3)
        assert await desk.pushed() == [1, 3]
        assert desk.floor.value == 2


async def test_after_a_failover_a_missing_route_says_nothing_until_it_has_settled() -> None:
    async with deciding() as desk:
        await desk.say(9)
        assert await desk.pushed() == [9]
        desk.world.connect(2)
        desk.world.routes_of.clear()
        desk.world.generation += 1
        await desk.say(1, 2)
        assert await desk.pushed() == [1]
        assert desk.world.questions == 1
        desk.world.connect(2)
        await asyncio.sleep(0.5)
        await desk.say(1, 2)
        assert await desk.pushed() == [1]
        assert desk.world.questions == 1


async def test_a_route_that_went_without_the_connection_is_noticed_each_time() -> None:
    """The gateway cannot reach the registry: its lease lapses, its devices stay."""
    async with deciding() as desk:
        desk.world.connect(2)
        await desk.say(2)
        assert await desk.pushed() == []
        desk.world.routes_of.clear()
        for _ in range(3):
            await desk.say(2)
            assert await desk.pushed() == []
        desk.world.disconnect(2)
        await desk.say(2)
        assert await desk.pushed() == [2]
        questions = desk.world.questions
        await desk.say(2)
        assert await desk.pushed() == [2]
        assert desk.world.questions == questions  # its gateway was asked once, and said no


async def test_a_gateway_that_cannot_tell_the_registry_is_asked_itself() -> None:
    """`everything` with seed 1: while gateway-1 was cut off from Redis, who had left it got no push until the heal, and
    who had come to it got pushes in the hand.
    """
    async with deciding() as desk:
        for device in (1, 2, 3):
            desk.world.connect(device)
        desk.world.connect(4, "g2")
        await desk.say(1, 2, 3, 4, 5)
        assert await desk.pushed() == [5]
        desk.world.unsure = {"g1"}
        desk.world.there["g1"] = {1, 5}  # 2 and 3 left, 5 came; the registry knows of none of it
        await desk.say(1, 2, 3, 4, 5, 6)
        assert sorted(await desk.pushed()) == [2, 3, 6]
        desk.world.lives["g1"] = Life.SILENT
        await desk.say(4, 6)  # nobody waits for a gateway where one never was
        assert await desk.pushed() == [6]


async def test_a_route_to_a_dead_gateway_is_none() -> None:
    async with deciding() as desk:
        desk.world.connect(2)
        desk.world.lives["g1"] = Life.DEAD
        await desk.say(2)
        assert await desk.pushed() == [2]


@pytest.mark.parametrize("comes_back", [True, False])
async def test_a_stopped_gateway_keeps_its_devices_beyond_its_lease(comes_back: bool) -> None:
    """Found by the harness (everything, seed 1, gateway_pause): nothing had been decided about a device since it came,
    its gateway was stopped until the lease ended, nobody remembered where it was, and it got a push.
    """
    async with deciding() as desk:
        for device in (1, 2):
            desk.world.connect(device)
            desk.world.lapsed_of[device] = desk.world.routes_of.pop(device)
        desk.world.lives["g1"] = Life.SILENT
        await desk.say(1, 2, 3)
        assert await desk.pushed() == [3], "of which nothing is known"
        assert desk.decider.undecided == 1
        if comes_back:
            desk.world.routes_of, desk.world.lapsed_of = desk.world.lapsed_of, {}
            desk.world.there["g1"].discard(2)
            desk.world.routes_of.pop(2)
        desk.world.lives["g1"] = Life.ALIVE if comes_back else Life.DEAD
        assert await desk.pushed(after_s=0.5) == ([2, 3] if comes_back else [1, 2, 3])


@pytest.mark.parametrize("gone", [True, False], ids=["it was dead", "it was only silent"])
async def test_a_device_of_a_silent_gateway_is_decided_upon_when_somebody_can_say(gone: bool) -> None:
    async with deciding() as desk:
        desk.world.connect(2)
        desk.world.connect(3, "g2")
        desk.world.lives["g1"] = Life.SILENT
        await desk.say(1, 2, 3)
        assert await desk.pushed() == [1]
        assert (desk.floor.value, desk.decider.undecided) == (0, 1)
        await desk.say(3)
        assert await desk.pushed() in ([], [1])  # told again, perhaps
        if gone:
            desk.world.disconnect(2)
            desk.world.lives["g1"] = Life.DEAD
        else:
            desk.world.lives["g1"] = Life.ALIVE
        assert (2 in await desk.pushed(after_s=0.5)) == gone
        assert (desk.floor.value, desk.decider.undecided) == (2, 0)


@pytest.mark.parametrize("leased", [True, False])
async def test_what_nobody_can_say_for_long_is_the_registrys_to_say(
    leased: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "OPEN_S", 1.0)
    async with deciding() as desk:
        desk.world.connect(2)
        await desk.say(2)
        assert await desk.pushed() == []
        desk.world.lives["g1"] = Life.SILENT
        if not leased:
            desk.world.routes_of.clear()
        await desk.say(2)
        assert await desk.pushed() == []
        assert desk.floor.value == 1
        assert await desk.pushed(after_s=1.5) == ([] if leased else [2])
        assert desk.floor.value == 2


async def test_too_many_pending_stop_the_decisions_until_some_are_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PENDING", 3)
    async with deciding() as desk:
        await desk.say(1, 2, 3)
        await asyncio.sleep(0.3)
        await desk.say(4)
        await asyncio.sleep(0.3)
        assert len(desk.lane) == 3
        assert desk.floor.value == 0
        assert await desk.pushed() == [1, 2, 3]
        assert await desk.pushed() == [4]
        assert desk.floor.value == 2


async def test_the_variant_tells_whoever_is_there() -> None:
    async with deciding(EagerDecider) as desk:
        desk.world.connect(2)
        await desk.say(1, 2)
        assert await desk.pushed() == [1, 2]


async def test_who_was_connected_and_answers_nothing_gets_its_push() -> None:
    """A half-open connection: the registry has its route, the gateway has its socket, and nobody is there."""
    async with deciding() as desk:
        for device in (1, 2):
            desk.world.connect(device)
        await desk.say(1, 2)
        await asyncio.sleep(0.15)  # decided: both are connected
        assert desk.floor.value == 0  # a restart would decide again
        desk.world.quiet[1] = time.monotonic() - 0.2
        assert await desk.pushed() == [1]
        assert desk.floor.value == 1
        assert desk.decider.silent == 1
        await desk.say(1, 2)  # known to be silent: no need to wait
        assert await desk.pushed() == [1]
        desk.world.quiet.clear()
        await desk.say(1, 2)
        assert await desk.pushed() == []
        assert desk.floor.value == 3


async def test_what_a_device_had_answered_before_it_fell_silent_is_not_pushed() -> None:
    async with deciding() as desk:
        desk.world.connect(1)
        await desk.say(1)
        await asyncio.sleep(0.15)
        desk.world.quiet[1] = time.monotonic() + 0.4  # of a later message
        assert await desk.pushed() == []


async def test_a_device_that_came_back_elsewhere_is_there() -> None:
    async with deciding() as desk:
        desk.world.connect(1)
        await desk.say(1)
        await asyncio.sleep(0.15)
        desk.world.disconnect(1)
        desk.world.there["g2"].add(1)
        desk.world.routes_of[1] = (Route(1, "g2", 1, 1, 2),)
        desk.world.quiet_at = "g1"
        desk.world.quiet[1] = time.monotonic() - 0.2
        assert await desk.pushed() == []
