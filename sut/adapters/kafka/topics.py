"""The topics of the log: any process creates and checks them; they are used once every partition has a leader."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from aiokafka.protocol.admin import CreateTopicsRequest

from sut.adapters.kafka.cluster import META, KafkaCluster, Unreachable, error_name
from sut.adapters.kafka.map import Place
from sut.ports import Unavailable

REPLICAS: Final = 3
MIN_IN_SYNC: Final = 2
"""Replicas that must have a record before it is confirmed: one broker may be lost for good."""
TRY_AGAIN_S: Final = 0.2
CREATE_S: Final = 0.9
_ALREADY_THERE: Final = 36
_COMMON: Final = {"min.insync.replicas": str(MIN_IN_SYNC), "unclean.leader.election.enable": "false"}

log = logging.getLogger("kafka_log")


@dataclass(frozen=True, kw_only=True)
class Topic:
    """A topic's wanted name, partitions and settings."""

    name: str
    partitions: int
    settings: Mapping[str, str]


def records_topic(name: str, partitions: int) -> Topic:
    """The topic that holds every record for ever: it is the source of all numbers."""
    settings = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
    return Topic(name=name, partitions=partitions, settings=_COMMON | settings)


def commits_topic(name: str) -> Topic:
    """The topic that holds each writer's last commit. Compacted in small segments, so that there is little to read."""
    settings = {"cleanup.policy": "compact", "segment.bytes": str(1 << 20), "min.cleanable.dirty.ratio": "0.1"}
    return Topic(name=name, partitions=1, settings=_COMMON | settings)


async def until_ready(cluster: KafkaCluster, topics: tuple[Topic, ...], tell: Callable[[str], None]) -> None:
    """Create missing topics; return when each topic exists and each partition has a leader.

    Tries for ever, and passes to `tell` what failed. Raises Unavailable when a topic has another number of partitions:
    conversations would move away from their own history.
    """
    told = ""
    while True:
        await cluster.renew(timeout_s=CREATE_S)
        trouble = _missing(cluster, topics)
        if trouble is None:
            tell("")
            return
        if absent := [topic for topic in topics if not cluster.map.partitions(topic.name)]:
            trouble = await _create(cluster, absent) or trouble
        if trouble != told:
            log.info("not ready: %s", trouble)
            tell(trouble)
        told = trouble
        await asyncio.sleep(TRY_AGAIN_S)


def _missing(cluster: KafkaCluster, topics: tuple[Topic, ...]) -> str | None:
    """Return what is still missing, or None. Raises Unavailable when waiting cannot help."""
    for topic in topics:
        found = cluster.map.partitions(topic.name)
        if not found:
            return f"no topic {topic.name} yet ({cluster.trouble()})"
        if found != topic.partitions:
            raise Unavailable(f"kafka: topic {topic.name} has {found} partitions, not {topic.partitions}")
        for partition in range(topic.partitions):
            if cluster.map.leader(Place(topic.name, partition)) is None:
                return f"{topic.name}/{partition} has no leader yet"
    return None


async def _create(cluster: KafkaCluster, topics: list[Topic]) -> str | None:
    """Ask one broker after another to create the topics. Return what failed, None when all exist."""
    wanted: list[Any] = [(topic.name, topic.partitions, REPLICAS, [], list(topic.settings.items())) for topic in topics]
    trouble: str | None = None
    for address in cluster.brokers():
        try:
            answer = await cluster.ask(address, CreateTopicsRequest(wanted, int(CREATE_S * 1000), False), lane=META)
        except Unreachable as error:
            trouble = str(error)
            continue
        failed = [(name, code, text) for name, code, text in answer.topic_errors if code not in (0, _ALREADY_THERE)]
        if not failed:
            return None
        trouble = "; ".join(f"{name}: {text or error_name(code)}" for name, code, text in failed)
    return trouble
