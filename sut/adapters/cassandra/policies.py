"""How the Cassandra driver behaves here: which node it asks, when it asks another one, when it gives a node up.

A node that was killed costs what is on its way to it, which is asked again elsewhere at once. A node that was stopped
accepts and says nothing: a read goes to a second node after READ_PATIENCE_S, a write after WRITE_PATIENCE_S, and after
two to three seconds without a sign of life the node is left out until it answers again. All statements of this system
are idempotent, so each may be sent twice.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

from cassandra import ConsistencyLevel
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
from cassandra.connection import DefaultEndPoint, DefaultEndPointFactory
from cassandra.policies import (
    ConstantReconnectionPolicy,
    ConstantSpeculativeExecutionPolicy,
    DCAwareRoundRobinPolicy,
    RetryPolicy,
    TokenAwarePolicy,
)
from cassandra.query import tuple_factory

Address = tuple[str, int]

READ_PATIENCE_S: Final = 0.1
"""Above the p99 of a healthy read under load (30 ms), so that it seldom doubles the work."""
WRITE_PATIENCE_S: Final = 0.3
"""Nobody waits for a write: acknowledgements do not depend on it."""
SECOND_ASKED: Final = 1
"""Patience ends once: a request goes to two nodes, or a cluster that is slow would have three times the work."""
MAX_RETRIES: Final = 2
"""After an error that a node tells. Each goes to the next node, all within the request's deadline."""
HEARTBEAT_S: Final = 1.0
"""On connections that brought nothing meanwhile."""
HEARTBEAT_TIMEOUT_S: Final = 2.0
"""One that is not answered ends the connection. A node that has just started, under its first load, needs up to 1 s."""
RECONNECT_S: Final = 0.5
CONNECT_TIMEOUT_S: Final = 2.0
SCHEMA_AGREEMENT_S: Final = 20.0
WRITES: Final = "writes"
"""Name of the execution profile for writes; reads have the default one."""

logging.getLogger("cassandra.pool").setLevel(logging.ERROR)  # below it, a line for each attempt to reconnect


class IdempotentRetry(RetryPolicy):  # type: ignore[misc]
    """Ask the next node, a few times, when a statement that may be repeated failed; tell the caller otherwise."""

    def on_read_timeout(self, query: Any, consistency: int, *, retry_num: int, **_: Any) -> tuple[int, int | None]:
        """Too few replicas answered this coordinator in time."""
        return self._again(query, consistency, retry_num)

    def on_write_timeout(self, query: Any, consistency: int, *, retry_num: int, **_: Any) -> tuple[int, int | None]:
        """Too few replicas confirmed to this coordinator in time."""
        return self._again(query, consistency, retry_num)

    def on_unavailable(self, query: Any, consistency: int, *, retry_num: int, **_: Any) -> tuple[int, int | None]:
        """This coordinator believes too few replicas alive; another one may know better."""
        return self._again(query, consistency, retry_num)

    def on_request_error(self, query: Any, consistency: int, *, retry_num: int, **_: Any) -> tuple[int, int | None]:
        """The connection broke, or the node is overloaded or starting."""
        return self._again(query, consistency, retry_num)

    def _again(self, query: Any, consistency: int, retry_num: int) -> tuple[int, int | None]:
        if retry_num < MAX_RETRIES and query.is_idempotent:
            return self.RETRY_NEXT_HOST, consistency
        return self.RETHROW, None


class Endpoints(DefaultEndPointFactory):  # type: ignore[misc]
    """Where to dial a node that the cluster names by its own address: the listener of our link to it."""

    def __init__(self, dialed: Mapping[Address, Address]) -> None:
        super().__init__()
        self._dialed = dialed

    def create(self, row: Mapping[str, Any]) -> DefaultEndPoint:
        """Of a row of system.local or system.peers_v2. A node that is not in the map is dialed directly."""
        named = super().create(row)
        return DefaultEndPoint(*self._dialed.get((named.address, named.port), (named.address, named.port)))


def make_cluster(dialed: Mapping[Address, Address], *, local_dc: str | None, deadline_s: float) -> Cluster:
    """The driver's Cluster for these nodes, by their own address; nothing is connected yet.

    `local_dc` None: the data centre of the first node that answers. Protocol 4: version 5 adds checksums that cost a
    third more of the client's CPU a request, and loopback and TCP have theirs.
    """

    def profile(patience_s: float) -> ExecutionProfile:
        return ExecutionProfile(
            load_balancing_policy=TokenAwarePolicy(DCAwareRoundRobinPolicy(local_dc or "")),
            retry_policy=IdempotentRetry(),
            consistency_level=ConsistencyLevel.LOCAL_QUORUM,
            request_timeout=deadline_s,
            row_factory=tuple_factory,
            speculative_execution_policy=ConstantSpeculativeExecutionPolicy(patience_s, max_attempts=SECOND_ASKED),
        )

    return Cluster(
        contact_points=[DefaultEndPoint(*address) for address in _unique(dialed.values())],
        endpoint_factory=Endpoints(dialed),
        execution_profiles={EXEC_PROFILE_DEFAULT: profile(READ_PATIENCE_S), WRITES: profile(WRITE_PATIENCE_S)},
        protocol_version=4,
        compression=False,
        reconnection_policy=ConstantReconnectionPolicy(RECONNECT_S, max_attempts=None),
        connect_timeout=CONNECT_TIMEOUT_S,
        control_connection_timeout=CONNECT_TIMEOUT_S,
        idle_heartbeat_interval=HEARTBEAT_S,
        idle_heartbeat_timeout=HEARTBEAT_TIMEOUT_S,
        max_schema_agreement_wait=SCHEMA_AGREEMENT_S,
        # A node that does not know a statement asks for it, once. Telling it before would wait for one that is stopped.
        prepare_on_all_hosts=False,
        reprepare_on_up=False,
    )


def _unique(addresses: Any) -> Sequence[Address]:
    return list(dict.fromkeys(addresses))
