"""The brokers and the leader of each partition, merged from the answers of several brokers. No I/O.

A broker that was stopped or cut off reports an outdated state as if it were current. Each change of a partition's
leader raises its epoch. So the answer with the highest epoch is the latest, whoever gave it and whenever it came.
aiokafka asks for a version of Metadata that has no epochs; version 7 has them, hence the structures here.
https://kafka.apache.org/protocol.html#The_Messages_Metadata
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Boolean, Int16, Int32, Schema, String

Address = tuple[str, int]

_TEXT: Final = String("utf-8")
_METADATA: Final = 3
_VERSION: Final = 7


class Place(NamedTuple):
    """A partition of a topic."""

    topic: str
    partition: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}"


class _Answer(Response):  # type: ignore[misc]
    API_KEY = _METADATA
    API_VERSION = _VERSION
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("brokers", Array(("node", Int32), ("host", _TEXT), ("port", Int32), ("rack", _TEXT))),
        ("cluster_id", _TEXT),
        ("controller", Int32),
        (
            "topics",
            Array(
                ("error", Int16),
                ("topic", _TEXT),
                ("is_internal", Boolean),
                (
                    "partitions",
                    Array(
                        ("error", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", Array(Int32)),
                        ("in_sync", Array(Int32)),
                        ("offline", Array(Int32)),
                    ),
                ),
            ),
        ),
    )


class _Question(RequestStruct):  # type: ignore[misc]
    API_KEY = _METADATA
    API_VERSION = _VERSION
    RESPONSE_TYPE = _Answer
    SCHEMA = Schema(("topics", Array(_TEXT)), ("allow_auto_topic_creation", Boolean))


class AskMap(Request[_Question]):  # type: ignore[misc]
    """Asks one broker what it knows about these topics; creates none."""

    API_KEY = _METADATA

    def __init__(self, topics: tuple[str, ...]) -> None:
        self._topics = topics

    def build(self, request_struct_class: Any) -> Any:
        """Build the request; aiokafka's connection calls this."""
        return request_struct_class(list(self._topics), False)


class ClusterMap:
    """The latest known brokers, leaders and numbers of partitions and replicas."""

    def __init__(self) -> None:
        self.brokers: dict[int, Address] = {}
        """Node id -> own address. A broker that is gone stays: it may come back, at the same address."""
        self._leaders: dict[Place, tuple[int, int]] = {}
        self._partitions: dict[str, int] = {}
        self._replicas: dict[Place, int] = {}

    def learn(self, answer: Any) -> None:
        """Take the newer facts from a broker's answer to AskMap."""
        self.brokers |= {node: (host, port) for node, host, port, _rack in answer.brokers}
        for _error, topic, _internal, partitions in answer.topics:
            if partitions:
                self._partitions[topic] = max(len(partitions), self._partitions.get(topic, 0))
            for _, partition, leader, epoch, replicas, *_ in partitions:
                place = Place(topic, partition)
                self._replicas[place] = len(replicas)
                if epoch >= self._leaders.get(place, (-1, -1))[1]:
                    self._leaders[place] = (leader, epoch)

    def leader(self, place: Place) -> Address | None:
        """Return the own address of the partition's leader; None while it is unknown or there is none."""
        node, _ = self._leaders.get(place, (-1, -1))
        return self.brokers.get(node)

    def replicas(self, topic: str) -> int:
        """Return the replicas of the topic's partition that has the fewest; 0 while the topic is unknown."""
        return min((count for place, count in self._replicas.items() if place.topic == topic), default=0)

    def partitions(self, topic: str) -> int:
        """Return how many partitions the topic has; 0 while the topic is unknown."""
        return self._partitions.get(topic, 0)
