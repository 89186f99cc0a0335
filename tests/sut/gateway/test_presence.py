"""Presence at a gateway: what it says of its devices, and what it tells those that watch."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence

import pytest

from sut.gateway.presence import Keeper
from sut.ports import Unavailable
from sut.protocol.frames import Heartbeat
from sut.protocol.peer import Changed, Reported, TypingIn
from sut.protocol.signals import PresenceNews, Read, ReceiptKind, Seen, Typing, Watch
from tests.kit.waits import until
from tests.sut.gateway.world import Device, World, in_world

ANN, BOB, CID = 1, 2, 3


class MemoryPresence:
    """The Presence port in a dictionary, without a time to live. `away`: nothing is answered."""

    def __init__(self) -> None:
        self.entries: dict[int, set[str]] = {}
        self.last_seen: dict[int, int] = {}
        self.calls: Counter[str] = Counter()
        self.asked: Counter[int] = Counter()
        self.away = False
        self.generation = 0

    def _called(self, name: str) -> None:
        self.calls[name] += 1
        if self.away:
            raise Unavailable("away")

    def lose(self) -> None:
        """A failover that lost all."""
        self.entries.clear()
        self.generation += 1

    async def here(self, node: str, incarnation: int, users: Sequence[int]) -> None:
        self._called("here")
        for user in users:
            self.entries.setdefault(user, set()).add(f"{node}/{incarnation}")

    async def gone(self, node: str, incarnation: int, users: Sequence[int]) -> None:
        self._called("gone")
        for user in users:
            self.entries.get(user, set()).discard(f"{node}/{incarnation}")
            self.last_seen[user] = 1_000 + user

    async def look(self, users: Sequence[int]) -> Mapping[int, tuple[bool, int]]:
        self._called("look")
        self.asked.update(users)
        return {user: (bool(self.entries.get(user)), self.last_seen.get(user, 0)) for user in users}

    async def close(self) -> None:
        pass

    def there(self) -> set[int]:
        """Who is online."""
        return {user for user, nodes in self.entries.items() if nodes}


async def told(device: Device, timeout_s: float | None = None) -> tuple[Seen, ...]:
    """The next news."""
    frame = await device.receive(timeout_s)
    assert isinstance(frame, PresenceNews)
    return frame.entries


QUICK = {"presence_period_s": 0.05, "presence_grace_s": 0.3}


def test_a_user_is_here_from_the_first_connection_to_the_last(tmp_path):
    presence = MemoryPresence()

    async def scenario(world: World) -> None:
        async with world.device(ANN, 11):
            await until(lambda: presence.there() == {ANN})
            async with world.device(ANN, 12), world.device(BOB, 21):
                await until(lambda: presence.there() == {ANN, BOB})
            await until(lambda: presence.there() == {ANN})
        await until(lambda: presence.there() == set())

    in_world(scenario, tmp_path, presence=presence)


def test_comings_and_goings_share_round_trips(tmp_path):
    presence = MemoryPresence()

    async def scenario(world: World) -> None:
        sockets = [await world.raw(user, user) for user in range(1, 101)]
        await until(lambda: len(presence.there()) == 100)
        for _, writer in sockets:
            writer.close()
        await until(lambda: presence.there() == set())
        assert presence.calls["here"] < 20
        assert presence.calls["gone"] < 20

    in_world(scenario, tmp_path, presence=presence)


def test_a_gateway_that_ends_takes_everybody_out(tmp_path):
    presence = MemoryPresence()

    async def scenario(world: World) -> None:
        held.append(await world.raw(ANN, 11))
        await until(lambda: presence.there() == {ANN})

    held: list[object] = []
    in_world(scenario, tmp_path, presence=presence)
    assert presence.there() == set()


def test_a_viewer_is_told_of_changes_and_flaps_are_none(tmp_path):
    presence = MemoryPresence()

    async def scenario(world: World) -> None:
        async with world.device(ANN, 11) as viewer:
            await viewer.send(Watch((BOB, CID)))
            assert await told(viewer) == (Seen(BOB, 0, 0), Seen(CID, 0, 0))
            presence.entries[CID] = {"gateway-9/1"}
            assert await told(viewer) == (Seen(CID, 1, 0),)
            async with world.device(BOB, 21):
                assert await told(viewer) == (Seen(BOB, 1, 0),)
            async with world.device(BOB, 21):
                with pytest.raises(TimeoutError):
                    await told(viewer, 0.5)
            assert await told(viewer) == (Seen(BOB, 0, 1_000 + BOB),)
            await viewer.send(Watch(()))
            await asyncio.sleep(0.2)
            looks = presence.calls["look"]
            await asyncio.sleep(0.3)
            assert presence.calls["look"] == looks, "nobody watches"

    in_world(scenario, tmp_path, presence=presence, **QUICK)


def test_one_look_serves_all_viewers_and_those_here_need_none(tmp_path):
    presence = MemoryPresence()

    async def scenario(world: World) -> None:
        async with world.device(ANN, 11) as one, world.device(BOB, 21) as other:
            for viewer in (one, other):
                await viewer.send(Watch((ANN, BOB, CID)))
            expected = (Seen(ANN, 1, 0), Seen(BOB, 1, 0), Seen(CID, 0, 0))
            assert sorted(await told(one)) == sorted(await told(other)) == sorted(expected)
            assert set(presence.asked) == {CID}
            looks = presence.calls["look"]
            asked = presence.asked[CID]
            await asyncio.sleep(0.3)
            assert presence.asked[CID] - asked == presence.calls["look"] - looks

    in_world(scenario, tmp_path, presence=presence, **QUICK)


def test_many_watches_cost_no_more_than_one(tmp_path):
    presence = MemoryPresence()

    async def scenario(world: World) -> None:
        async with world.device(ANN, 11) as viewer:
            for user in range(100, 400):
                await viewer.send(Watch((user,)))
            assert await told(viewer) == (Seen(399, 0, 0),)
            assert sum(presence.asked[user] for user in range(100, 399)) == 0

    in_world(scenario, tmp_path, presence=presence, presence_period_s=0.5)


def test_pictures_freeze_while_presence_is_away_and_are_right_again_after(tmp_path):
    presence = MemoryPresence()

    async def scenario(world: World) -> None:
        async with world.device(ANN, 11) as viewer, world.device(BOB, 21):
            presence.entries[CID] = {"gateway-9/1"}
            await viewer.send(Watch((CID,)))
            assert await told(viewer) == (Seen(CID, 1, 0),)
            await until(lambda: BOB in presence.there())
            presence.away = True
            presence.lose()
            with pytest.raises(TimeoutError):
                await told(viewer, 0.6)
            presence.away = False
            await until(lambda: {ANN, BOB} <= presence.there())
            presence.entries[CID] = {"gateway-9/1"}  # its gateway says so again, within the grace
            with pytest.raises(TimeoutError):
                await told(viewer, 2.3)
            presence.entries[CID].clear()
            assert await told(viewer) == (Seen(CID, 0, 0),)

    in_world(scenario, tmp_path, presence=presence, presence_period_s=0.05, presence_grace_s=2)


def test_a_failover_that_lost_entries_is_made_good_without_a_change(tmp_path):
    presence = MemoryPresence()

    async def scenario(world: World) -> None:
        async with world.device(ANN, 11):
            await until(lambda: presence.there() == {ANN})
            presence.lose()
            await until(lambda: presence.there() == {ANN}, timeout_s=4)

    in_world(scenario, tmp_path, presence=presence, heartbeat_s=2)


def test_everybody_is_said_again_in_every_heartbeat_interval():
    async def scenario() -> None:
        presence = MemoryPresence()
        keeper = Keeper(presence, node="gateway-1", incarnation=1, heartbeat_s=0.4)
        for user in range(10):
            keeper.opened(user)
        running = asyncio.create_task(keeper.run())
        await until(lambda: len(presence.there()) == 10)
        for _ in range(3):
            presence.entries.clear()  # as if they had lapsed, and nobody noticed
            await until(lambda: len(presence.there()) == 10, timeout_s=1)
        running.cancel()

    asyncio.run(scenario())


def test_what_could_not_be_written_is_written_later_as_it_is_then():
    async def scenario() -> None:
        presence = MemoryPresence()
        keeper = Keeper(presence, node="gateway-1", incarnation=1, heartbeat_s=30)
        running = asyncio.create_task(keeper.run())
        keeper.opened(ANN)
        await until(lambda: presence.there() == {ANN})
        presence.away = True
        keeper.left(ANN)
        keeper.opened(BOB)
        calls = presence.calls.total()
        await until(lambda: presence.calls.total() > calls + 1)
        keeper.left(BOB)
        keeper.opened(CID)
        presence.away = False
        await until(lambda: presence.there() == {CID})
        running.cancel()

    asyncio.run(scenario())


def test_words_of_devices_go_to_a_chat_service_with_who_says_them(tmp_path):
    async def scenario(world: World) -> None:
        async with world.device(ANN, 11) as device:
            await device.send(Read(5, 6))
            await device.send(Typing(5, 1))
            await device.send(Watch((BOB,)))  # without presence: not acted on
            await device.ask(Heartbeat())
            await until(lambda: len(world.forwarded) == 2)
            assert sorted(world.forwarded, key=lambda frame: isinstance(frame, Reported)) == [
                TypingIn(ANN, 11, 5, 1),
                Reported(((ANN, 11, 5, ReceiptKind.READ, 6),)),
            ]

    in_world(scenario, tmp_path)


def test_nobody_sends_what_only_a_variant_does(tmp_path):
    presence = MemoryPresence()

    async def scenario(world: World) -> None:
        async with world.device(ANN, 11):
            await until(lambda: presence.there() == {ANN})
        await until(lambda: presence.there() == set())
        assert not [frame for frame in world.forwarded if isinstance(frame, Changed | Reported)]

    in_world(scenario, tmp_path, presence=presence)
