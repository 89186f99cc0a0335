"""The notifications that a sequencer remembers: who was not told what, and how far back it knows."""

from sut.protocol.peer import Announce
from sut.services.sequencer import recent as recents
from sut.services.sequencer.notification import Notification
from sut.services.sequencer.recent import Recent

GATEWAY = ("gateway-1", 7)


def item(text: bytes, *users: int, sender: int = 0) -> Notification:
    return Notification(text, users, sender)


def announce(*there: tuple[int, int, int], node: str = "gateway-1", incarnation: int = 7) -> Announce:
    """Routes as (user, device, connection)."""
    return Announce(node, incarnation, tuple((user, device, conn, 100) for user, device, conn in there))


def told(recent: Recent, frame: Announce, now_s: float = 1.0) -> list[tuple[bytes, tuple[int, ...]]]:
    return [(notification.frame, conns) for notification, conns in recent.untold(frame, now_s)]


def test_a_connection_is_told_what_its_user_was_told_and_it_was_not_once_and_in_order() -> None:
    recent = Recent()
    recent.add(item(b"a", 1, 2), {GATEWAY: [3]}, 0.0)
    recent.add(item(b"b", 1), {}, 0.1)
    recent.add(item(b"c", 3), {}, 0.2)
    frame = announce((1, 11, 3), (2, 21, 4), (1, 12, 5))
    assert told(recent, frame) == [(b"a", (4, 5)), (b"b", (3, 5))]
    assert told(recent, frame) == []
    assert told(recent, announce((3, 31, 6))) == [(b"c", (6,))]


def test_the_sender_is_not_told() -> None:
    recent = Recent()
    recent.add(item(b"a", 1, sender=11), {}, 0.0)
    assert told(recent, announce((1, 11, 3), (1, 12, 4))) == [(b"a", (4,))]


def test_the_same_number_in_another_life_of_the_gateway_or_elsewhere_is_another_connection() -> None:
    recent = Recent()
    recent.add(item(b"a", 1), {GATEWAY: [3]}, 0.0)
    assert told(recent, announce((1, 11, 3), incarnation=8)) == [(b"a", (3,))]
    assert told(recent, announce((1, 11, 3), node="gateway-2")) == [(b"a", (3,))]
    assert told(recent, announce((1, 11, 3))) == []


def test_what_comes_while_routes_are_announced_is_found_too() -> None:
    recent = Recent()
    assert told(recent, announce((1, 11, 3))) == []
    recent.add(item(b"a", 1), {}, 1.0)
    assert told(recent, announce((1, 11, 3))) == [(b"a", (3,))]
    recent.add(item(b"b", 1), {}, 2.0 + recents.INDEX_S)  # the index is not kept so long
    assert recent._by_user is None
    assert told(recent, announce((1, 11, 3))) == [(b"b", (3,))]


def test_it_says_how_far_back_it_reaches() -> None:
    recent = Recent()
    assert recent.reaches(-1e9), "nothing was forgotten"
    for at_s in range(100):
        recent.add(item(b"a", 1), {}, float(at_s))
    assert len(recent) == recents.KEEP_S + 1
    assert recent.reaches(99 - recents.KEEP_S)
    assert not recent.reaches(99 - recents.KEEP_S - 1)


def test_users_and_bytes_are_bounded() -> None:
    recent = Recent()
    for number in range(5):
        recent.add(item(b"a", *range(recents.MAX_USERS // 4)), {}, float(number))
    assert len(recent) == 4
    assert not recent.reaches(0.0)
    assert recent.reaches(0.5)
    recent.add(item(bytes(recents.MAX_BYTES), 1), {}, 6.0)
    assert len(recent) == 1
    recent.add(item(bytes(recents.MAX_BYTES + 1), 1), {}, 7.0)
    assert len(recent) == 0
    assert (recent._users, recent._bytes) == (0, 0)
    assert not recent.reaches(7.0)


def test_what_is_forgotten_is_told_nobody_while_gateways_go_on_announcing() -> None:
    recent = Recent()
    recent.add(item(b"old", 1, 2), {}, 0.0)
    for second in range(1, 42):
        recent.add(item(b"new", 3), {}, float(second))
        assert told(recent, announce((9, 91, second)), float(second)) == []  # the index stays in use
    assert told(recent, announce((1, 11, 100), (2, 21, 101)), 41.0) == []
    assert recent._by_user is not None
    assert sum(map(len, recent._by_user.values())) == len(recent)


def test_one_that_is_too_large_to_be_kept_is_forgotten_while_the_index_is_in_use() -> None:
    recent = Recent()
    recent.add(item(b"a", 1), {}, 0.0)
    recent.untold(announce((9, 91, 1)), 0.5)
    recent.add(item(b"b", *range(recents.MAX_USERS + 1)), {}, 1.0)
    assert (len(recent), recent._by_user) == (0, {})
    assert not recent.reaches(0.9)
