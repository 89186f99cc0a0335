"""The number under which every log stores a follower's commits of a partition. The sequencer's is the partition itself.

So a log that was written before other followers existed remains readable.
"""

from __future__ import annotations

from sut.ports import Follower


def commit_key(partition: int, follower: Follower) -> int:
    """Return the key: below 2^32 for any partition below 2^16."""
    return int(follower) << 16 | partition
