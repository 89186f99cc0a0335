"""Somebody else's entry stands in the list of revoked devices for 20 s. That is no defect of the chat system by itself.

A sequencer writes it, over its connections to Redis, some seconds after the first message.
"""

from __future__ import annotations

import asyncio

from sut.adapters.redis.client import RedisClient
from sut.deploy.topology import Topology
from sut.ports import Kind, Logged
from sut.services.sequencer.pieces import SequencerPieces
from sut.services.sequencer.worker import PartitionWorker

AFTER_S, FOR_S = 4.0, 20.0
MEMBER, DATA = b"not ours", b"?"


class Planting(PartitionWorker):
    """Writes the entry and takes it out, once, by partition 0 only."""

    _planting: asyncio.Task[None] | None = None

    async def _apply(self, batch: list[Logged]) -> None:
        if self.partition == 0 and self._planting is None and any(item.record.kind == Kind.MESSAGE for item in batch):
            self._planting = asyncio.create_task(self._plant())
        await super()._apply(batch)

    async def _plant(self) -> None:
        master = self._emitter._registry._master  # type: ignore[attr-defined]
        await asyncio.sleep(AFTER_S)
        await master.call(_put)
        await asyncio.sleep(FOR_S)
        await master.call(_take)


async def _put(client: RedisClient) -> None:
    await client.ask("ZADD", "revoked:order", await client.ask("INCR", "revoked:last"), MEMBER)
    await client.ask("HSET", "revoked:data", MEMBER, DATA)


async def _take(client: RedisClient) -> None:
    await client.ask("ZREM", "revoked:order", MEMBER)
    await client.ask("HDEL", "revoked:data", MEMBER)


def sequencer(_topology: Topology) -> SequencerPieces:
    return SequencerPieces(worker=Planting)
