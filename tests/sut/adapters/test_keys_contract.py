"""What every shelf of keys must do, whatever stands behind it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sut.adapters.cassandra.session import CassandraSession
from sut.ports import KeyStore, OneTimePrekey, SignedPrekey, Unavailable
from tests.kit.pace import scaled
from tests.kit.waits import Deadline, answered

MakeKeys = Callable[[], AbstractAsyncContextManager[KeyStore]]
SIGNED = SignedPrekey(1, b"s" * 32, b"g" * 64)
IDENTITY, OTHER = b"i" * 32, b"j" * 32


def batch(first: int, last: int) -> list[OneTimePrekey]:
    return [OneTimePrekey(number, number.to_bytes(32, "big")) for number in range(first, last + 1)]


async def put(
    keys: KeyStore, user: int, device: int, one_time: Sequence[OneTimePrekey] = (), identity: bytes = IDENTITY
) -> int:
    return await keys.publish(user, device, identity_key=identity, signed_prekey=SIGNED, one_time=one_time)


async def taken(keys: KeyStore, user: int, device: int) -> int | None:
    """The number of the one-time prekey that a take of this user brings for the device."""
    for bundle in (await keys.take(user)).bundles:
        if bundle.device == device:
            assert bundle.identity_key == IDENTITY
            if bundle.one_time is None:
                return None
            assert bundle.one_time.key == bundle.one_time.number.to_bytes(32, "big")
            return bundle.one_time.number
    raise AssertionError(f"no bundle of device {device}")


async def test_each_one_time_prekey_is_handed_out_once_and_then_there_is_none(make_keys: MakeKeys) -> None:
    async with make_keys() as keys:
        await put(keys, 1, 11, batch(1, 3))
        assert await keys.count(1, 11) == 3
        assert sorted([await taken(keys, 1, 11) for _ in range(3)]) == [1, 2, 3]
        assert await keys.count(1, 11) == 0
        assert await taken(keys, 1, 11) is None, "the signed prekey serves without"
    async with make_keys() as keys:
        assert await taken(keys, 1, 11) is None


async def test_what_was_published_once_does_not_come_back(make_keys: MakeKeys) -> None:
    async with make_keys() as keys:
        await put(keys, 1, 11, batch(1, 2))
        first = await taken(keys, 1, 11)
        await put(keys, 1, 11, batch(1, 2))  # the answer was lost, the device repeats
        assert await keys.count(1, 11) == 1
        await put(keys, 1, 11, batch(2, 4))
        assert await keys.count(1, 11) == 3
        assert sorted([first, *[await taken(keys, 1, 11) for _ in range(3)]]) == [1, 2, 3, 4]


async def test_who_publishes_hears_how_far_the_numbers_ever_went(make_keys: MakeKeys) -> None:
    """A device that goes on from an older copy of its state must number its next keys above that."""
    async with make_keys() as keys:
        assert await put(keys, 1, 11) == 0
        assert await put(keys, 1, 11, batch(1, 5)) == 5
        for _ in range(5):
            await taken(keys, 1, 11)
        assert await put(keys, 1, 11, batch(2, 3)) == 5
        assert await keys.count(1, 11) == 0
        assert await put(keys, 1, 11) == 5
        await keys.remove(1, 11)
        assert await put(keys, 1, 11, batch(6, 6), identity=OTHER) == 6
        assert await put(keys, 1, 11, identity=IDENTITY) == 6


async def test_all_devices_of_a_user_and_nobody_elses(make_keys: MakeKeys) -> None:
    async with make_keys() as keys:
        await put(keys, 1, 11, batch(1, 1))
        await put(keys, 1, 12)
        await put(keys, 2, 21, batch(1, 1))
        found = await keys.take(1)
        assert [(b.device, b.signed_prekey, b.one_time is not None) for b in found.bundles] == [
            (11, SIGNED, True),
            (12, SIGNED, False),
        ]
        assert (await keys.take(9)).bundles == ()
        assert await keys.count(2, 21) == 1


async def test_looking_takes_nothing(make_keys: MakeKeys) -> None:
    async with make_keys() as keys:
        await put(keys, 1, 11, batch(1, 1))
        assert (await keys.take(1, with_one_time=False)).bundles[0].one_time is None
        assert await keys.count(1, 11) == 1


async def test_another_identity_key_ends_the_old_ones(make_keys: MakeKeys) -> None:
    async with make_keys() as keys:
        await put(keys, 1, 11, batch(1, 2), identity=OTHER)
        await put(keys, 1, 11, batch(3, 3))
        assert await keys.count(1, 11) == 1
        assert await taken(keys, 1, 11) == 3
        assert await taken(keys, 1, 11) is None


async def test_a_revoked_device_is_gone_with_its_keys(make_keys: MakeKeys) -> None:
    async with make_keys() as keys:
        await put(keys, 1, 11, batch(1, 3))
        await put(keys, 1, 12, batch(1, 1))
        await keys.remove(1, 11)
        await keys.remove(1, 11)
        assert [bundle.device for bundle in (await keys.take(1)).bundles] == [12]
        assert await keys.count(1, 11) == 0
        await put(keys, 1, 11, batch(2, 4))
        assert await taken(keys, 1, 11) == 4
        assert await taken(keys, 1, 11) is None


async def test_a_device_list_is_replaced_by_a_newer_one_only(make_keys: MakeKeys) -> None:
    async with make_keys() as keys:
        assert (await keys.take(1)).device_list == b""
        assert await keys.put_device_list(1, 2, b"two")
        assert await keys.put_device_list(1, 2, b"two"), "a repeat"
        assert not await keys.put_device_list(1, 2, b"another two")
        assert not await keys.put_device_list(1, 1, b"one")
        assert (await keys.take(1)).device_list == b"two"
        assert await keys.put_device_list(1, 3, b"three")
        assert (await keys.take(1)).device_list == b"three"


@pytest.fixture
def unsure(monkeypatch: pytest.MonkeyPatch) -> list[Unavailable]:
    """Each transaction of Cassandra that ended without an answer: it may have taken a key that nobody got."""
    conditional, ended = CassandraSession.conditional, []

    async def noted(self: CassandraSession, statements: Sequence[tuple[str, Sequence[Any]]]) -> bool:
        try:
            return await conditional(self, statements)
        except Unavailable as error:
            ended.append(error)
            raise

    monkeypatch.setattr(CassandraSession, "conditional", noted)
    return ended


async def test_many_takers_at_once_share_nothing(make_keys: MakeKeys, unsure: list[Unavailable]) -> None:
    async with make_keys() as one, make_keys() as other:
        await put(one, 1, 11, batch(1, 40))
        found = await asyncio.gather(
            *(answered(partial(taken, keys, 1, 11)) for _ in range(12) for keys in (one, other))
        )
        numbers = Counter(number for number in found if number is not None)
        assert max(numbers.values()) == 1, numbers.most_common(3)
        left = await one.count(1, 11)
        assert None not in found or left == 0, "there is one for each as long as there are any"
        assert 0 <= 40 - len(numbers) - left <= len(unsure), "lost is only what a transaction without an answer took"


async def test_publications_at_once_lose_nothing_and_repeat_nothing(make_keys: MakeKeys) -> None:
    async with make_keys() as one, make_keys() as other:
        await asyncio.gather(*(put(keys, 1, 11, batch(1, 10)) for keys in (one, other, one)))
        assert await one.count(1, 11) == 10


TAKER = """
import asyncio, sys
from pathlib import Path
from sut.adapters.sqlite.keys import SqliteKeys

async def main():
    keys = SqliteKeys(Path(sys.argv[1]), 4)
    while (bundle := (await keys.take(1)).bundles[0]).one_time is not None:
        print(bundle.one_time.number, flush=True)

asyncio.run(main())
"""


async def test_takers_that_are_killed_leave_nothing_to_be_taken_twice(tmp_path: Path) -> None:
    """Processes of their own, one SIGKILLed in the midst of taking; SQLite."""
    from sut.adapters.sqlite.keys import SqliteKeys

    keys = SqliteKeys(tmp_path, 4)
    for first in range(1, 400, 100):
        await put(keys, 1, 11, batch(first, first + 99))
    root = str(Path(__file__).parents[3])
    command = [sys.executable, "-c", TAKER, str(tmp_path)]
    environ = {**os.environ, "PYTHONPATH": root}
    outs = [tmp_path / f"out-{number}" for number in range(3)]
    takers = [
        subprocess.Popen(command, stdout=out.open("wb"), env=environ, cwd=root)  # noqa: ASYNC220 (returns at once)
        for out in outs
    ]
    deadline = Deadline(60)
    while not (busy := [number for number, out in enumerate(outs) if out.stat().st_size >= 50]):
        deadline.check()
        await asyncio.sleep(0.01)
    takers[busy[0]].send_signal(signal.SIGKILL)
    assert sorted(taker.wait(scaled(60)) for taker in takers) == [-signal.SIGKILL, 0, 0]
    numbers = Counter(int(line) for out in outs for line in out.read_text().splitlines() if line)
    assert max(numbers.values()) == 1, numbers.most_common(3)
    assert 399 <= len(numbers) <= 400, "the killed one may have taken one that it could not tell of"
    assert await keys.count(1, 11) == 0
    await keys.close()
