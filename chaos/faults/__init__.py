"""The faults that can be injected, by name. One file each; what a fault is, is in base.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from chaos.faults.base import Fault
from chaos.faults.chat_crash import ChatCrash
from chaos.faults.gateway_crash import GatewayCrash
from chaos.faults.gateway_pause import GatewayPause
from chaos.faults.partition_gateway_redis import PartitionGatewayRedis
from chaos.faults.partition_sequencer_gateway import PartitionSequencerGateway
from chaos.faults.redis_failover import RedisFailover
from chaos.faults.sequencer_crash import SequencerCrash

FAULTS: Final[Mapping[str, type[Fault]]] = {
    fault.name: fault
    for fault in (
        GatewayCrash,
        GatewayPause,
        SequencerCrash,
        ChatCrash,
        RedisFailover,
        PartitionGatewayRedis,
        PartitionSequencerGateway,
    )
}
