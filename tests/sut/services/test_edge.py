"""What a sequencer sends to a gateway: confirmed, sent another way, sent again on the next link, or given up."""

import asyncio
import socket
import time
from collections.abc import Callable, Coroutine

from sut.process.peer import PeerConnection, PeerLink, PeerServer
from sut.protocol.peer import Deliver, Deliveries, Missed, PassOn, PeerFrame
from sut.services.sequencer import edge as edges
from sut.services.sequencer.edge import Edge
from tests.kit.waits import until

HOST = "127.0.0.1"


def item(number: int) -> Deliver:
    return Deliver((number,), b"x")


class Gateway:
    """The other end of a link: notes what it gets, and does not confirm."""

    def __init__(self, port: int, incarnation: int = 5) -> None:
        self.heard: list[PeerFrame] = []
        self._port = port
        self.server = PeerServer(node="gateway-1", incarnation=incarnation, on_frame=self._on_frame)

    def _on_frame(self, _connection: PeerConnection, _correlation: int, frame: PeerFrame) -> None:
        self.heard.append(frame)

    async def start(self) -> None:
        await self.server.start(HOST, self._port)

    def conns(self) -> list[int]:
        """The connections that something was delivered to, in order."""
        return [one.conns[0] for frame in self.heard if isinstance(frame, Deliveries) for one in frame.items]


class World:
    """A sequencer's edge, linked to a gateway; `passed`: what went another way, as long as there is `another_way`."""

    def __init__(self) -> None:
        with socket.socket() as sock:
            sock.bind((HOST, 0))
            self.port = sock.getsockname()[1]
        self.gateway = Gateway(self.port)
        self.link = PeerLink(node="sequencer-1", incarnation=9, target="gateway-1", address=(HOST, self.port))
        self.passed: list[PassOn] = []
        self.another_way = True
        self.edge = Edge(self.link, pass_on=self._pass_on)

    def _pass_on(self, frame: PassOn) -> bool:
        if self.another_way:
            self.passed.append(frame)
        return self.another_way


def in_world(scenario: Callable[[World], Coroutine[None, None, None]]) -> None:
    async def live() -> None:
        world = World()
        await world.gateway.start()
        world.link.start()
        try:
            await until(lambda: world.link.up)
            assert world.edge.serves(5)
            await scenario(world)
        finally:
            await world.link.close()
            await world.gateway.server.close()

    asyncio.run(live())


def test_what_is_confirmed_is_sent_once() -> None:
    async def scenario(world: World) -> None:
        now_s = time.monotonic()
        for number in (1, 2, 3):
            world.edge.send((item(number),), now_s)
        world.edge.taken(3)
        world.edge.look(now_s + 60)
        await until(lambda: world.gateway.conns() == [1, 2, 3])
        assert [frame.number for frame in world.gateway.heard if isinstance(frame, Deliveries)] == [1, 2, 3]
        assert not world.passed

    in_world(scenario)


def test_what_a_silent_link_does_not_confirm_goes_another_way_once() -> None:
    async def scenario(world: World) -> None:
        now_s = time.monotonic()
        world.edge.send((item(1),), now_s)
        world.edge.look(now_s + edges.OVERDUE_S / 2)
        assert not world.passed, "it is too early to tell"
        for _ in range(3):
            world.edge.look(now_s + edges.OVERDUE_S + 0.1)
        assert world.passed == [PassOn("gateway-1", 5, (item(1),))]
        world.edge.send((item(2),), now_s + edges.OVERDUE_S + 0.2)
        assert [frame.items for frame in world.passed] == [(item(1),), (item(2),)], "the next ones need not wait"

    in_world(scenario)


def test_a_link_on_which_the_gateway_is_heard_gets_more_time() -> None:
    async def scenario(world: World) -> None:
        long_ago_s = world.link.heard_s - 1.0
        world.edge.send((item(1),), long_ago_s)
        world.edge.look(long_ago_s + edges.OVERDUE_S + 0.1)
        assert not world.passed
        world.edge.look(long_ago_s + edges.VERY_OVERDUE_S + 0.1)
        assert world.passed, "but not for ever: the frame was lost"

    in_world(scenario)


def test_the_next_link_gets_what_the_last_one_lost() -> None:
    async def scenario(world: World) -> None:
        world.another_way = False
        await world.gateway.server.close()
        await until(lambda: not world.link.up)
        assert world.edge.serves(5), "it was the last one that was linked"
        now_s = time.monotonic()
        for number in (1, 2):
            assert world.edge.send((item(number),), now_s)
        world.gateway = Gateway(world.port)
        await world.gateway.start()
        await until(lambda: world.link.up)
        world.edge.look(now_s + 1)
        await until(lambda: world.gateway.conns() == [1, 2])

    in_world(scenario)


def test_what_the_last_link_lost_comes_before_what_is_new() -> None:
    """The gateway confirms by number: with the new one first it would confirm what it never got."""

    async def scenario(world: World) -> None:
        world.another_way = False
        await world.gateway.server.close()
        await until(lambda: not world.link.up)
        now_s = time.monotonic()
        for number in (1, 2):
            world.edge.send((item(number),), now_s)
        world.gateway = Gateway(world.port)
        await world.gateway.start()
        await until(lambda: world.link.up)
        world.edge.send((item(3),), now_s + 1)
        world.edge.send((item(4),), now_s + 1)
        await until(lambda: len(world.gateway.conns()) >= 4)
        assert world.gateway.conns() == [1, 2, 3, 4]
        world.edge.look(now_s + 1.1)
        await asyncio.sleep(0.1)
        assert world.gateway.conns() == [1, 2, 3, 4], "each once"

    in_world(scenario)


def test_a_new_incarnation_gets_nothing_that_was_for_the_one_before() -> None:
    async def scenario(world: World) -> None:
        world.another_way = False
        await world.gateway.server.close()
        await until(lambda: not world.link.up)
        world.edge.send((item(1),), time.monotonic())
        world.gateway = Gateway(world.port, incarnation=6)
        await world.gateway.start()
        await until(lambda: world.link.up)
        world.edge.look(time.monotonic())
        world.edge.send((item(2),), time.monotonic())
        await until(lambda: world.gateway.conns() == [2])
        assert not world.edge.serves(5)

    in_world(scenario)


def test_a_gateway_that_started_after_its_clock_was_set_back_is_served() -> None:
    """Its incarnation is lower than that of the process before, which is gone."""

    async def scenario(world: World) -> None:
        await world.gateway.server.close()
        await until(lambda: not world.link.up)
        world.edge.send((item(1),), time.monotonic())
        world.gateway = Gateway(world.port, incarnation=4)
        await world.gateway.start()
        await until(lambda: world.link.up)
        assert world.edge.serves(4)
        assert not world.edge.serves(5)
        world.edge.send((item(2),), time.monotonic())
        await until(lambda: world.gateway.conns() == [2])

    in_world(scenario)


def test_what_no_way_took_is_given_up_and_the_gateway_is_told() -> None:
    async def scenario(world: World) -> None:
        world.another_way = False
        now_s = time.monotonic()
        world.edge.send((item(1),), now_s)
        world.edge.look(now_s + edges.KEEP_S - 1)
        world.edge.send((item(2),), now_s + edges.KEEP_S)
        await asyncio.sleep(0.1)
        assert Missed() not in world.gateway.heard
        world.edge.look(now_s + edges.KEEP_S + 1)
        await until(lambda: Missed() in world.gateway.heard)
        assert [sent.items for sent in world.edge._untaken] == [(item(2),)]

    in_world(scenario)


def test_what_waits_is_bounded_by_bytes() -> None:
    async def scenario(world: World) -> None:
        world.another_way = False
        await world.gateway.server.close()
        await until(lambda: not world.link.up)
        large = Deliver((1,), bytes(edges.MAX_BYTES // 4))
        for _ in range(5):
            world.edge.send((large,), time.monotonic())
        assert len(world.edge._untaken) == 3
        assert world.edge._size <= edges.MAX_BYTES
        world.edge.taken(99)
        assert world.edge._size == 0

    in_world(scenario)


def test_an_edge_that_confirms_nothing_is_served_only_while_it_is_linked() -> None:
    async def scenario(world: World) -> None:
        plain = Edge(world.link, pass_on=None)
        assert plain.serves(5)
        assert plain.send((item(1),), 0.0)
        await until(lambda: world.gateway.conns() == [1])
        assert world.gateway.heard == [Deliveries((item(1),), 0)]
        await world.gateway.server.close()
        await until(lambda: not world.link.up)
        assert not plain.serves(5)
        assert not plain.send((item(2),), 0.0)

    in_world(scenario)
