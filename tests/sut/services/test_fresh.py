"""Who came into which conversation just now, until the store has it, and a while longer."""

from sut.services.sequencer.fresh import KEPT_S, MAX_KEPT, Fresh


def test_a_change_is_kept_until_it_is_stored_and_a_while_longer() -> None:
    fresh = Fresh()
    fresh.changed(1, 7, (10, 11))
    fresh.changed(3, 8, (10,))
    fresh.stored(0, 100.0)
    assert (fresh.of(10), fresh.of(11), fresh.of(12)) == ((7, 8), (7,), ())
    fresh.stored(2, 100.0)
    fresh.stored(2, 100.0 + KEPT_S - 0.1)
    assert fresh.of(11) == (7,)
    fresh.stored(2, 100.0 + KEPT_S)
    assert (fresh.of(10), fresh.of(11)) == ((8,), ())
    fresh.stored(3, 200.0)
    fresh.stored(3, 200.0 + KEPT_S)
    assert len(fresh) == 0
    assert fresh.of(10) == ()


def test_a_second_change_outlives_the_first() -> None:
    fresh = Fresh()
    fresh.changed(1, 7, (10,))
    fresh.stored(1, 0.0)
    fresh.changed(2, 7, (10,))
    fresh.stored(1, KEPT_S)
    assert fresh.of(10) == (7,)


def test_what_is_stored_is_bounded() -> None:
    fresh = Fresh()
    for offset in range(MAX_KEPT + 100):
        fresh.changed(offset, offset, (1,))
    fresh.stored(MAX_KEPT + 100, 0.0)
    assert len(fresh) == MAX_KEPT
