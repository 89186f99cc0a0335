"""The topics of the log: any process creates and checks them; they are used once every partition has a leader."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from aiokafka.protocol.admin import CreateTopicsRequest, DescribeConfigsRequest

from sut.adapters.kafka.cluster import META, KafkaCluster, Unreachable, error_name
from sut.adapters.kafka.map import Place
from sut.ports import Unavailable

REPLICAS: Final = 3
MIN_IN_SYNC: Final = 2
"""Replicas that must have a record before it is confirmed: one broker may be lost for good."""
TRY_AGAIN_S: Final = 0.2
CREATE_S: Final = 0.9
_ALREADY_THERE: Final = 36
_TOPIC: Final = 2
"""The type of a resource in a question for settings."""
_TUNING: Final = frozenset({"segment.bytes", "min.cleanable.dirty.ratio"})
"""Settings that cost time or space at most when they differ. All others hold a promise."""
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

    Tries for ever, and passes to `tell` what failed. Raises Unavailable for a topic, made by whomever, that is not as
    asked for. With another number of partitions conversations would move away from their own history. With other
    settings or fewer replicas what was acknowledged might go.
    """
    told = ""
    while True:
        await cluster.renew(timeout_s=CREATE_S)
        trouble = _missing(cluster, topics)
        if trouble is None:
            trouble = await _unchecked(cluster, topics)
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


async def _unchecked(cluster: KafkaCluster, topics: tuple[Topic, ...]) -> str | None:
    """Return why the topics could not be compared with what is wanted, or None. Raises Unavailable if they differ."""
    for topic in topics:
        if (found := cluster.map.replicas(topic.name)) < REPLICAS:
            raise Unavailable(f"kafka: topic {topic.name} has {found} replicas, not {REPLICAS}: give it more")
    question = DescribeConfigsRequest([(_TOPIC, topic.name, list(topic.settings)) for topic in topics])
    trouble: str | None = None
    for address in cluster.brokers():
        try:
            answer = await cluster.ask(address, question, lane=META)
        except Unreachable as error:
            trouble = str(error)
            continue
        trouble = None
        found_settings = {
            name: {entry[0]: entry[1] for entry in entries} for _, _, _, name, entries in answer.resources
        }
        for code, text, _, name, _ in answer.resources:
            if code:
                log.warning("topic %s: its settings were not compared: %s", name, text or error_name(code))
        for topic in topics:
            _compare(topic, found_settings.get(topic.name, {}))
        break
    return trouble


def _compare(topic: Topic, found: Mapping[str, str]) -> None:
    """Raise Unavailable for a setting that differs. More replicas in sync than asked for are as good."""
    for name, wanted in topic.settings.items():
        has = found.get(name)
        enough = name == "min.insync.replicas" and str(has).isdecimal() and int(str(has)) >= int(wanted)
        if has is None or has == wanted or enough or name in _TUNING:
            continue
        raise Unavailable(
            f"kafka: topic {topic.name} has {name}={has}, not {wanted}: change it (kafka-configs), or use another topic"
        )


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
