"""The log on the Kafka brokers of a topology."""

from __future__ import annotations

from sut.adapters.kafka.log import KafkaLog
from sut.adapters.shared.site import Site


def open_log(site: Site) -> KafkaLog:
    topology = site.topology
    brokers = site.dialed("kafka", "client")
    return KafkaLog(
        brokers,
        topic=topology.topic,
        partitions=topology.settings.partitions,
        node=site.node,
        login=topology.login("kafka"),
    )
