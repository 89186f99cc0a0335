"""What the log on Kafka decides without a broker: whom to believe, where to cut a batch."""

import contextlib
from collections import namedtuple

import pytest

from sut.adapters.kafka import topics
from sut.adapters.kafka.cluster import Refused, error_name
from sut.adapters.kafka.map import ClusterMap, Place
from sut.adapters.kafka.writer import BATCH_BYTES, Item, in_batches
from sut.ports import Unavailable

Answer = namedtuple("Answer", "brokers topics")


def answer(*leaders: tuple[int, int, int], brokers: tuple[int, ...] = (1, 2, 3)) -> Answer:
    """(partition, leader, epoch) of topic t."""
    partitions = [
        (0, partition, leader, epoch, [1, 2, 3][: partition + 2], [], []) for partition, leader, epoch in leaders
    ]
    return Answer([(node, "host", 9000 + node, None) for node in brokers], [(0, "t", False, partitions)])


def test_the_highest_epoch_is_believed_in_whatever_order_it_comes() -> None:
    known = ClusterMap()
    known.learn(answer((0, 1, 5), (1, 2, 5)))
    known.learn(answer((0, 3, 7), (1, 2, 5)))
    known.learn(answer((0, 1, 6), (1, 3, 6)))  # partition 0 as a broker that was stopped remembers it
    assert known.leader(Place("t", 0)) == ("host", 9003)
    assert known.leader(Place("t", 1)) == ("host", 9003)


def test_no_leader_is_news_too() -> None:
    known = ClusterMap()
    known.learn(answer((0, 1, 5)))
    known.learn(answer((0, -1, 6)))
    assert known.leader(Place("t", 0)) is None
    assert known.leader(Place("t", 1)) is None
    assert known.partitions("t") == 1
    assert known.partitions("u") == 0


def test_a_leader_that_a_later_answer_does_not_list_keeps_its_address() -> None:
    known = ClusterMap()
    known.learn(answer((0, 1, 5)))
    known.learn(answer((0, 1, 5), brokers=(2, 3)))
    assert known.leader(Place("t", 0)) == ("host", 9001)


def test_a_topic_has_the_replicas_of_its_partition_with_the_fewest() -> None:
    known = ClusterMap()
    assert known.replicas("t") == 0
    known.learn(answer((0, 1, 5), (1, 2, 5)))
    assert known.replicas("t") == 2


@pytest.mark.parametrize(
    ("name", "value", "fine"),
    [
        ("retention.ms", "604800000", False),
        ("cleanup.policy", "compact", False),
        ("min.insync.replicas", "1", False),
        ("min.insync.replicas", "3", True),
        ("unclean.leader.election.enable", "true", False),
    ],
)
def test_a_topic_that_keeps_less_than_asked_for_is_refused_in_one_line(name: str, value: str, *, fine: bool) -> None:
    topic = topics.records_topic("t", 4)
    topics._compare(topic, dict(topic.settings))
    with (
        contextlib.nullcontext() if fine else pytest.raises(Unavailable, match=f"^kafka: topic t has {name}={value}, ")
    ):
        topics._compare(topic, {**topic.settings, name: value})
    commits = topics.commits_topic("c")
    topics._compare(commits, {**commits.settings, "segment.bytes": "99"})


@pytest.mark.parametrize("sizes", [[], [10], [BATCH_BYTES * 2], [BATCH_BYTES // 2] * 5, [10, BATCH_BYTES, 10, 10]])
def test_batches_are_the_items_in_order_each_small_enough_or_of_one(sizes: list[int]) -> None:
    items = [Item(b"%d" % n, b"x" * size) for n, size in enumerate(sizes)]
    batches = [list(batch) for batch in in_batches(items)]
    assert [item for batch in batches for item in batch] == items
    for batch in batches:
        assert batch
        assert len(batch) == 1 or sum(len(item.value) for item in batch) <= BATCH_BYTES
    assert len(batches) <= max(len(sizes), 1)


def test_small_items_share_a_batch() -> None:
    assert len(list(in_batches([Item(b"", b"x")] * 500))) == 1


def test_errors_have_names() -> None:
    assert error_name(6) == "NotLeaderForPartitionError"
    assert error_name(9999) == "error 9999"
    assert Refused("text", 1).args == ("text",)
