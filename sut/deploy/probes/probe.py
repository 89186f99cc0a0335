"""Looking at a process from outside: does it answer, what does it say of itself, what does the kernel say of it.

Every look is bounded by its timeout and answers None instead of raising when nothing useful came back: for a prober,
silence is an observation.
"""

from __future__ import annotations

import http.client
import ssl

import psutil

from sut.adapters.cassandra import probe as cql_probe
from sut.adapters.cassandra.probe import CassandraView, Replicas
from sut.adapters.kafka import probe as kafka_probe
from sut.adapters.kafka.probe import KafkaView
from sut.adapters.redis import admin as redis_admin
from sut.adapters.redis.admin import RedisRole, SentinelView
from sut.ports import Unavailable
from sut.process import peer
from sut.protocol.peer import Pong

Address = tuple[str, int]


def peer_ping(address: Address, timeout_s: float) -> Pong | None:
    """What one of our own processes answers on its peer port: its name, incarnation and counters."""
    try:
        return peer.ping(*address, timeout_s)
    except Unavailable:
        return None


def redis_ping(address: Address, timeout_s: float) -> bool:
    """Whether a Redis or Sentinel answers."""
    try:
        redis_admin.ping(address, timeout_s)
    except Unavailable:
        return False
    return True


def redis_role(address: Address, timeout_s: float) -> RedisRole | None:
    """What a Redis says it is."""
    try:
        return redis_admin.role(address, timeout_s)
    except Unavailable:
        return None


def sentinel_view(address: Address, master_name: str, timeout_s: float) -> SentinelView | None:
    """What a Sentinel says of the master and of those who could take over."""
    try:
        return redis_admin.sentinel_view(address, master_name, timeout_s)
    except Unavailable:
        return None


def sentinel_quorum(address: Address, master_name: str, timeout_s: float) -> str | None:
    """What a Sentinel says of whether those it reaches suffice for a failover: "OK ..." or why not."""
    try:
        return redis_admin.quorum(address, master_name, timeout_s)
    except Unavailable:
        return None


def gateway_leases(address: Address, timeout_s: float) -> tuple[str, ...] | None:
    """The gateways whose lease a Redis holds."""
    try:
        return redis_admin.leased(address, timeout_s)
    except Unavailable:
        return None


def kafka_view(address: Address, timeout_s: float, topic: str) -> KafkaView | None:
    """What a broker says of the cluster and of a topic's partitions."""
    try:
        return kafka_probe.view(address, timeout_s, topic)
    except Unavailable:
        return None


def kafka_controller(address: Address, timeout_s: float) -> int | None:
    """The node that controls the cluster, asked through this broker."""
    try:
        return kafka_probe.controller(address, timeout_s)
    except Unavailable:
        return None


def cassandra_view(address: Address, timeout_s: float) -> CassandraView | None:
    """What a Cassandra node says of itself and whose heartbeats it hears."""
    try:
        return cql_probe.view(address, timeout_s)
    except Unavailable:
        return None


def cassandra_replicas(address: Address, timeout_s: float) -> Replicas | None:
    """How many of three replicas a Cassandra node believes alive, or have answered it."""
    try:
        return cql_probe.replicas(address, timeout_s)
    except Unavailable:
        return None


def http_status(address: Address, path: str, timeout_s: float, ca: str | None = None) -> int | None:
    """The status that a GET is answered with; by TLS with a certificate of this authority, when one is given."""
    connection = http.client.HTTPConnection(*address, timeout=timeout_s)
    try:
        if ca is not None:
            context = ssl.create_default_context(cafile=ca)
            connection = http.client.HTTPSConnection(*address, timeout=timeout_s, context=context)
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def process_state(pid: int) -> str | None:
    """ "T" stopped, "R" running, "S" anything else that lives; None when there is no such process or it is dead."""
    try:
        status = psutil.Process(pid).status()
    except psutil.Error:
        return None
    if status in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
        return None
    if status in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP):
        return "T"
    return "R" if status == psutil.STATUS_RUNNING else "S"
