"""Taking one-time prekeys on Cassandra when answers are lost: nobody gets one twice, and no more are lost than answers.

The transactions are in memory, so that each way to lose an answer is tried: it had taken the key, it had not, it does
so later. That real nodes behave like this is for the contract tests on real nodes to show.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from sut.adapters.cassandra import keys as cassandra_keys
from sut.adapters.cassandra.keys import CassandraKeys
from sut.adapters.cassandra.opening import Home
from sut.adapters.cassandra.schema import Binding
from sut.ports import Unavailable

USER, DEVICE, KEYS = 1, 11, 40
IDENTITY = b"i" * 32


class Partition:
    """The one-time prekeys of a device, and transactions on them of which some lose their answer."""

    def __init__(self, rng: random.Random, lossy: float) -> None:
        self.rng = rng
        self.lossy = lossy
        self.left = {number: number.to_bytes(32, "big") for number in range(1, KEYS + 1)}
        self.unsure = 0
        self._late: list[int] = []

    async def read(self, name: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        await self._moment()
        if name == "offered":
            return [(number, IDENTITY, key) for number, key in sorted(self.left.items())][: parameters[2]]
        return [(DEVICE, IDENTITY, 1, b"s" * 32, b"g" * 64)] if name == "devices" else []

    async def conditional(self, statements: Sequence[tuple[str, Sequence[Any]]]) -> bool:
        ((name, (_, _, number)),) = statements
        assert name == "take"
        await self._moment()
        if self.rng.random() < self.lossy:
            self.unsure += 1
            match self.rng.randrange(3):
                case 0:
                    self.left.pop(number, None)
                case 1:
                    self._late.append(number)
            raise Unavailable("the answer was lost")
        return self.left.pop(number, None) is not None

    async def _moment(self) -> None:
        """Others may be first, and what was under way arrives."""
        for _ in range(self.rng.randint(0, 3)):
            await asyncio.sleep(0)
        if self._late and self.rng.random() < 0.3:
            self.left.pop(self._late.pop(), None)


def opened(partition: Partition) -> CassandraKeys:
    """As one process of several has it."""
    keys = CassandraKeys(Home({}, Binding(keyspace="k", log_id="l", partitions=1, creates=False)))
    keys._session.read = partition.read  # type: ignore[method-assign]
    keys._session.conditional = partition.conditional  # type: ignore[method-assign]
    return keys


@pytest.mark.parametrize("lossy", [0.0, 0.1, 0.8])
def test_nobody_gets_a_prekey_twice_and_only_lost_answers_lose_one(
    monkeypatch: pytest.MonkeyPatch, lossy: float
) -> None:
    monkeypatch.setattr(cassandra_keys, "MAX_APART_S", 0.0)
    served = unsure = failed = 0

    async def scenario(seed: int) -> None:
        nonlocal served, unsure, failed
        rng = random.Random(seed)
        monkeypatch.setattr(cassandra_keys, "random", rng)
        partition = Partition(rng, lossy)
        shelves = [opened(partition) for _ in range(3)]
        ended = await asyncio.gather(*(shelf.take(USER) for _ in range(8) for shelf in shelves), return_exceptions=True)
        errors = [one for one in ended if isinstance(one, BaseException)]
        assert all(isinstance(error, Unavailable) for error in errors), errors
        taken = [one.bundles[0].one_time for one in ended if not isinstance(one, BaseException)]
        numbers = Counter(prekey.number for prekey in taken if prekey is not None)
        assert not numbers or max(numbers.values()) == 1, f"seed {seed}"
        assert 0 <= KEYS - len(numbers) - len(partition.left) <= partition.unsure, f"seed {seed}"
        assert None not in taken or not partition.left, f"seed {seed}: none though some were left"
        assert len(errors) <= partition.unsure, f"seed {seed}: no call fails whose transactions were all answered"
        served, unsure, failed = served + len(numbers), unsure + partition.unsure, failed + len(errors)

    for seed in range(100):
        asyncio.run(scenario(seed))
    assert served > 100
    assert (unsure > 0, failed > 0) == (lossy > 0, lossy > 0.5)
