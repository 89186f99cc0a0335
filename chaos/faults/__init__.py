"""The faults that can be injected, by name. One file each; what a fault is, is in base.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from chaos.faults.cassandra_crash import CassandraCrash
from chaos.faults.cassandra_pause import CassandraPause
from chaos.faults.cassandra_quorum_loss import CassandraQuorumLoss
from chaos.faults.chat_crash import ChatCrash
from chaos.faults.disk_full import DiskFull
from chaos.faults.fault import Fault
from chaos.faults.gateway_crash import GatewayCrash
from chaos.faults.gateway_pause import GatewayPause
from chaos.faults.gateways_crash import GatewaysCrash
from chaos.faults.kafka_controller_crash import KafkaControllerCrash
from chaos.faults.kafka_controller_pause import KafkaControllerPause
from chaos.faults.kafka_crash import KafkaCrash
from chaos.faults.kafka_pause import KafkaPause
from chaos.faults.kafka_quorum_loss import KafkaQuorumLoss
from chaos.faults.link_bandwidth import LinkBandwidth
from chaos.faults.link_latency import LinkLatency
from chaos.faults.link_reset import LinkReset
from chaos.faults.link_slicer import LinkSlicer
from chaos.faults.partition_cassandra import PartitionCassandra
from chaos.faults.partition_cassandra_one_way import PartitionCassandraOneWay
from chaos.faults.partition_gateway_redis import PartitionGatewayRedis
from chaos.faults.partition_kafka import PartitionKafka
from chaos.faults.partition_kafka_one_way import PartitionKafkaOneWay
from chaos.faults.partition_sequencer_gateway import PartitionSequencerGateway
from chaos.faults.push_crash import PushCrash
from chaos.faults.redis_failover import RedisFailover
from chaos.faults.redis_outage import RedisOutage
from chaos.faults.redis_partition import RedisPartition
from chaos.faults.redis_pause import RedisPause
from chaos.faults.sentinel_crash import SentinelCrash
from chaos.faults.sequencer_crash import SequencerCrash
from chaos.faults.sequencers_restart import SequencersRestart

FAULTS: Final[Mapping[str, type[Fault]]] = {
    fault.name: fault
    for fault in (
        GatewayCrash,
        GatewayPause,
        GatewaysCrash,
        SequencerCrash,
        SequencersRestart,
        ChatCrash,
        PushCrash,
        RedisFailover,
        RedisPause,
        RedisPartition,
        RedisOutage,
        SentinelCrash,
        PartitionGatewayRedis,
        PartitionSequencerGateway,
        LinkLatency,
        LinkBandwidth,
        LinkReset,
        LinkSlicer,
        KafkaCrash,
        KafkaControllerCrash,
        KafkaPause,
        KafkaControllerPause,
        KafkaQuorumLoss,
        PartitionKafka,
        PartitionKafkaOneWay,
        DiskFull,
        CassandraCrash,
        CassandraPause,
        CassandraQuorumLoss,
        PartitionCassandra,
        PartitionCassandraOneWay,
    )
}
