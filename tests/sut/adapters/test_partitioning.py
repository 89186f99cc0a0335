"""The partition of a conversation: the same for ever, in range, and even."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from sut.process.partitioning import partition_of


@given(st.integers(0, (1 << 64) - 1), st.integers(1, 1000))
def test_it_is_a_partition(conv: int, partitions: int) -> None:
    assert 0 <= partition_of(conv, partitions) < partitions
    assert partition_of(conv, partitions) == partition_of(conv, partitions)


def test_it_never_changes() -> None:
    """Data directories rest on it. The values are splitmix64's finaliser, computed by hand elsewhere."""
    mixed = [0x0, 0x5692161D100B05E5, 0xDBD238973A2B148A]  # of 0, 1, 2
    for conv, value in enumerate(mixed):
        assert partition_of(conv, 1 << 64) == value
        assert partition_of(conv, 8) == value % 8


def test_ids_in_a_row_and_ids_with_common_low_bits_spread_evenly() -> None:
    for ids in (range(1, 8001), range(0, 8000 << 20, 1 << 20)):
        counts = Counter(partition_of(conv, 8) for conv in ids)
        assert set(counts) == set(range(8))
        assert all(850 < count < 1150 for count in counts.values())
