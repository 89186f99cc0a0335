"""Routes that gateways announce: added, taken back, void, and joined with those of the registry."""

from sut.ports import Route
from sut.protocol.peer import Announce
from sut.services.sequencer.announced import Announced

OLD = Route(11, "gateway-1", 7, 3, 100)
NEW = Route(12, "gateway-1", 7, 4, 101)
ELSEWHERE = Route(13, "gateway-2", 8, 3, 102)


def test_announced_routes_join_known_ones_each_once() -> None:
    announced = Announced()
    announced.take(Announce("gateway-1", 7, ((1, 11, 3, 100), (1, 12, 4, 101), (2, 21, 5, 102))))
    assert set(announced.joined(1, (OLD, ELSEWHERE))) == {OLD, NEW, ELSEWHERE}
    assert len(announced.joined(1, (OLD, ELSEWHERE))) == 3
    assert announced.joined(3, (ELSEWHERE,)) == (ELSEWHERE,)
    assert len(announced) == 3


def test_what_has_gone_or_is_void_is_forgotten() -> None:
    announced = Announced()
    announced.take(Announce("gateway-1", 7, ((1, 11, 3, 100), (1, 12, 4, 101))))
    announced.take(Announce("gateway-2", 8, ((1, 13, 3, 102),)))
    announced.take(Announce("gateway-1", 7, gone=(3, 99)))
    assert set(announced.joined(1, ())) == {NEW, ELSEWHERE}
    announced.take(Announce("gateway-1", 9, ((2, 21, 1, 103),), anew=True))
    assert announced.joined(1, ()) == (ELSEWHERE,)
    assert announced.joined(2, ()) == (Route(21, "gateway-1", 9, 1, 103),)
    announced.take(Announce("gateway-1", 9, anew=True))
    announced.take(Announce("gateway-2", 8, anew=True))
    assert len(announced) == 0
    assert not announced._users
    assert not announced._routes
