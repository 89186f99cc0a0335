"""The log partition of a conversation: one pure function that all processes and tools share.

The number of partitions is fixed for the life of a data directory. Changing it would move conversations away from
their own history, so the adapters refuse a directory that was made with another number.
"""

from __future__ import annotations

from typing import Final

_MASK: Final = (1 << 64) - 1


def partition_of(conv: int, partitions: int) -> int:
    """Return the partition of a conversation, 0 to partitions - 1.

    Ids may be sequential or share low bits, so they are mixed first by the finaliser of splitmix64. It is a bijection
    on 64 bits whose output bits each depend on every input bit.
    """
    z = conv & _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return (z ^ (z >> 31)) % partitions
