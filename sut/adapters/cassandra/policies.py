"""The Cassandra driver's policies: which node it asks, when it asks another one, when it leaves a node out.

When a node is killed, its requests in progress are sent to another node at once. A stopped node accepts requests and
says nothing. A read then goes to a second node after READ_PATIENCE_S, a write after WRITE_PATIENCE_S. After two to
three seconds without a sign of life the node is left out until it answers again. All statements of this system are
idempotent, so each may be sent twice.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

from cassandra import ConsistencyLevel
from cassandra.auth import PlainTextAuthProvider
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

from sut.deploy.access import ClientTls
from sut.deploy.logins import Login

Address = tuple[str, int]

READ_PATIENCE_S: Final = 0.1
"""Above the p99 of a healthy read under load (30 ms), so that a second request is rare."""
WRITE_PATIENCE_S: Final = 0.3
"""Nobody waits for a write: acknowledgements do not depend on it."""
SECOND_ASKED: Final = 1
"""Requests to further nodes. More would triple the work of a cluster that is merely slow."""
MAX_RETRIES: Final = 2
"""Retries after an error that a node reports. Each goes to the next node, within the request's deadline."""
HEARTBEAT_S: Final = 1.0
"""Sent on connections that received nothing meanwhile."""
HEARTBEAT_TIMEOUT_S: Final = 2.0
"""A missing answer ends the connection. A node that has just started, under its first load, needs up to 1 s."""
RECONNECT_S: Final = 0.5
CONNECT_TIMEOUT_S: Final = 2.0
SCHEMA_AGREEMENT_S: Final = 20.0
WRITES: Final = "writes"
"""Name of the execution profile for writes; reads use the default one."""

logging.getLogger("cassandra.pool").setLevel(logging.ERROR)  # lower levels log each attempt to reconnect


class IdempotentRetry(RetryPolicy):  # type: ignore[misc]
    """Retry an idempotent statement on the next node, up to MAX_RETRIES times; else raise its error."""

    def on_read_timeout(self, query: Any, consistency: int, *, retry_num: int, **_: Any) -> tuple[int, int | None]:
        """Decide when too few replicas answered this coordinator in time."""
        return self._again(query, consistency, retry_num)

    def on_write_timeout(self, query: Any, consistency: int, *, retry_num: int, **_: Any) -> tuple[int, int | None]:
        """Decide when too few replicas confirmed to this coordinator in time."""
        return self._again(query, consistency, retry_num)

    def on_unavailable(self, query: Any, consistency: int, *, retry_num: int, **_: Any) -> tuple[int, int | None]:
        """Decide when this coordinator believes too few replicas alive; another one may know better."""
        return self._again(query, consistency, retry_num)

    def on_request_error(self, query: Any, consistency: int, *, retry_num: int, **_: Any) -> tuple[int, int | None]:
        """Decide when the connection broke, or the node is overloaded or starting."""
        return self._again(query, consistency, retry_num)

    def _again(self, query: Any, consistency: int, retry_num: int) -> tuple[int, int | None]:
        if retry_num < MAX_RETRIES and query.is_idempotent:
            return self.RETRY_NEXT_HOST, consistency
        return self.RETHROW, None


class NamedEndPoint(DefaultEndPoint):  # type: ignore[misc]
    """An address to dial, and the host that the certificate of the node behind it must have."""

    def __init__(self, address: Address, tls: ClientTls) -> None:
        super().__init__(*address)
        self._options = {"server_hostname": tls.name(address)}

    @property
    def ssl_options(self) -> dict[str, str]:
        """The driver passes this to the TLS context."""
        return self._options


def endpoint(address: Address, login: Login | None) -> DefaultEndPoint:
    """Return an address to dial, as the driver takes it."""
    return DefaultEndPoint(*address) if login is None or login.tls is None else NamedEndPoint(address, login.tls)


class Endpoints(DefaultEndPointFactory):  # type: ignore[misc]
    """Maps a node's own address, as the cluster names it, to the listener of our link to it."""

    def __init__(self, dialed: Mapping[Address, Address], login: Login | None) -> None:
        super().__init__()
        self._dialed = dialed
        self._login = login

    def create(self, row: Mapping[str, Any]) -> DefaultEndPoint:
        """Map a row of system.local or system.peers_v2. A node that is not in the map is dialed directly."""
        named = super().create(row)
        own = (named.address, named.port)
        return endpoint(self._dialed.get(own, own), self._login)


def make_cluster(dialed: Mapping[Address, Address], *, deadline_s: float, login: Login | None = None) -> Cluster:
    """Return the driver's Cluster for these nodes, given by their own address. Nothing is connected yet.

    The data centre is that of the first node that answers. Protocol 4, because version 5 adds checksums that cost a
    third more of the client's CPU a request, and loopback and TCP have theirs.
    """

    def profile(patience_s: float) -> ExecutionProfile:
        return ExecutionProfile(
            load_balancing_policy=TokenAwarePolicy(DCAwareRoundRobinPolicy("")),
            retry_policy=IdempotentRetry(),
            consistency_level=ConsistencyLevel.LOCAL_QUORUM,
            request_timeout=deadline_s,
            row_factory=tuple_factory,
            speculative_execution_policy=ConstantSpeculativeExecutionPolicy(patience_s, max_attempts=SECOND_ASKED),
        )

    return Cluster(
        contact_points=[endpoint(address, login) for address in _unique(dialed.values())],
        endpoint_factory=Endpoints(dialed, login),
        auth_provider=None
        if login is None or not login.password
        else PlainTextAuthProvider(login.user, login.password),
        ssl_context=None if login is None or login.tls is None else login.tls.context(),
        execution_profiles={EXEC_PROFILE_DEFAULT: profile(READ_PATIENCE_S), WRITES: profile(WRITE_PATIENCE_S)},
        protocol_version=4,
        compression=False,
        reconnection_policy=ConstantReconnectionPolicy(RECONNECT_S, max_attempts=None),
        connect_timeout=CONNECT_TIMEOUT_S,
        control_connection_timeout=CONNECT_TIMEOUT_S,
        idle_heartbeat_interval=HEARTBEAT_S,
        idle_heartbeat_timeout=HEARTBEAT_TIMEOUT_S,
        max_schema_agreement_wait=SCHEMA_AGREEMENT_S,
        # A node that does not know a statement asks for it, once. Telling it in advance would wait for a stopped node.
        prepare_on_all_hosts=False,
        reprepare_on_up=False,
    )


def _unique(addresses: Any) -> Sequence[Address]:
    return list(dict.fromkeys(addresses))
