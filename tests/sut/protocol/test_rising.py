"""Numbers that only rise: what is taken now, what a moment later, and that the owner always has room above a thief."""

import datetime

import pytest

from sut.protocol import rising
from sut.protocol.rising import FREE_CLIENT_SEQ, FREE_PREKEY, ahead_s, prekey_ahead_s

NOW_S = datetime.datetime(2026, 12, 1, tzinfo=datetime.UTC).timestamp()
END_S = datetime.datetime(2100, 1, 1, tzinfo=datetime.UTC).timestamp()


def highest(taken_at_s: float) -> int:
    """The highest client_seq that is taken at this time."""
    low, high = 0, 1 << 64
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if not ahead_s(middle, taken_at_s) else (low, middle - 1)
    return low


@pytest.mark.parametrize(
    "client_seq", [0, 1, FREE_CLIENT_SEQ, round(NOW_S * 1e3), round(NOW_S * 1e6), round(NOW_S * 1e9)]
)
def test_whoever_counts_or_numbers_by_the_time_is_taken(client_seq: int) -> None:
    assert ahead_s(client_seq, NOW_S) == 0


@pytest.mark.parametrize("unix_s", [0.0, 1.0, NOW_S - 1e9])
def test_small_numbers_do_not_depend_on_the_clock(unix_s: float) -> None:
    assert ahead_s(FREE_CLIENT_SEQ, unix_s) == 0
    assert prekey_ahead_s(FREE_PREKEY, unix_s) == 0


def test_above_the_highest_number_of_now_there_is_room_for_a_device_a_moment_later() -> None:
    used = highest(NOW_S)
    assert ahead_s(used + 1, NOW_S) > 0
    assert highest(NOW_S + 1) - used > 1_000_000_000


def test_no_number_is_taken_that_does_not_fit_63_bits_or_32() -> None:
    assert highest(END_S) < 1 << 63
    assert ahead_s((1 << 64) - 1, END_S) > 365 * 86_400
    assert prekey_ahead_s((1 << 32) - 1, END_S) > 365 * 86_400


def test_what_is_ahead_says_for_how_long() -> None:
    assert ahead_s(highest(NOW_S + 30), NOW_S) == pytest.approx(30, abs=0.01)
    assert prekey_ahead_s(int(NOW_S) + 100, NOW_S) == pytest.approx(100, abs=1)
    assert prekey_ahead_s(int(NOW_S), NOW_S) == 0
    assert rising.CLOCKS_S > 0
