"""Under which number a follower's commits of a partition are kept, in every log: the sequencer's under the partition's.

So a log that was written before there were other followers is read as it is.
"""

from __future__ import annotations

from sut.ports import Follower


def commit_key(partition: int, follower: Follower) -> int:
    """Below 2^32 for any partition below 2^16."""
    return int(follower) << 16 | partition
