"""Probes of a process from outside: that it answers, what it reports, and what the kernel says about it.

Each probe is bounded by its timeout, and returns None instead of raising when it got no useful answer.
"""

from __future__ import annotations

import http.client
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

import psutil

from sut.adapters.cassandra import probe as cql_probe
from sut.adapters.cassandra.probe import CassandraView, Replicas
from sut.adapters.kafka import probe as kafka_probe
from sut.adapters.kafka.probe import KafkaView
from sut.adapters.redis import admin as redis_admin
from sut.adapters.redis.admin import RedisRole, SentinelView
from sut.adapters.redis.cluster import admin as cluster_admin
from sut.adapters.redis.cluster.admin import ClusterView
from sut.deploy.logins import Login
from sut.ports import Unavailable
from sut.process import peer
from sut.protocol.peer import Pong

Address = tuple[str, int]
P = ParamSpec("P")
T = TypeVar("T")


def peer_ping(address: Address, timeout_s: float, secret: bytes = b"") -> Pong | None:
    """Return the Pong of one of our own processes on its peer port: its name, incarnation and counters.

    `secret`: that of its topology (`peer_secret`).
    """
    return _answer(peer.ping, *address, timeout_s, secret)


def peer_holds(address: Address, timeout_s: float, secret: bytes, *, size: int) -> bool | None:
    """Return whether one of our own processes takes a frame of so many bytes into its memory; None: no answer."""
    return _answer(peer.holds, *address, timeout_s, secret, size=size)


def redis_ping(address: Address, timeout_s: float, login: Login | None = None) -> bool:
    """Return True if a Redis or Sentinel answers. `login`, here and below: the operator's of its topology."""
    try:
        redis_admin.ping(address, timeout_s, login)
    except Unavailable:
        return False
    return True


def redis_role(address: Address, timeout_s: float, login: Login | None = None) -> RedisRole | None:
    """Return the role that a Redis reports."""
    return _answer(redis_admin.role, address, timeout_s, login)


def sentinel_view(
    address: Address, master_name: str, timeout_s: float, login: Login | None = None
) -> SentinelView | None:
    """Return what a Sentinel reports about the master and its possible successors."""
    return _answer(redis_admin.sentinel_view, address, master_name, timeout_s, login)


def sentinel_quorum(address: Address, master_name: str, timeout_s: float, login: Login | None = None) -> str | None:
    """Return "OK ..." if a Sentinel reaches enough others for a failover, else why it does not."""
    return _answer(redis_admin.quorum, address, master_name, timeout_s, login)


def cluster_view(address: Address, timeout_s: float, login: Login | None = None) -> ClusterView | None:
    """Return what a node reports about its Redis Cluster."""
    return _answer(cluster_admin.view, address, timeout_s, login)


def slot_owner(address: Address, slot: int, timeout_s: float, login: Login | None = None) -> Address | None:
    """Return the master that has the slot, as this node says."""
    return _answer(cluster_admin.owner, address, slot, timeout_s, login)


def slot_keys(address: Address, slot: int, timeout_s: float, login: Login | None = None) -> int | None:
    """Return how many keys of the slot a node holds."""
    return _answer(cluster_admin.keys_in, address, slot, timeout_s, login)


def gateway_leases(address: Address, timeout_s: float, login: Login | None = None) -> tuple[str, ...] | None:
    """Return the gateways whose lease a Redis holds."""
    return _answer(redis_admin.leased, address, timeout_s, login)


def kafka_view(address: Address, timeout_s: float, topic: str, login: Login | None = None) -> KafkaView | None:
    """Return what a broker reports about the cluster and the partitions of a topic."""
    return _answer(kafka_probe.view, address, timeout_s, topic, login)


def kafka_controller(address: Address, timeout_s: float) -> int | None:
    """Return the node that controls the cluster, as this broker reports it."""
    return _answer(kafka_probe.controller, address, timeout_s)


def cassandra_view(address: Address, timeout_s: float) -> CassandraView | None:
    """Return what a Cassandra node reports about itself and whose heartbeats it hears."""
    return _answer(cql_probe.view, address, timeout_s)


def cassandra_replicas(address: Address, timeout_s: float) -> Replicas | None:
    """Return how many of three replicas a Cassandra node believes alive, or have answered it."""
    return _answer(cql_probe.replicas, address, timeout_s)


def _answer(ask: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
    try:
        return ask(*args, **kwargs)
    except Unavailable:
        return None


def wall_clock(address: Address, timeout_s: float) -> float | None:
    """Return the time that one of our own processes reports among its metrics, in seconds since the epoch."""
    connection = http.client.HTTPConnection(*address, timeout=timeout_s)
    try:
        connection.request("GET", "/metrics?name[]=petrel_clock_seconds")
        lines = connection.getresponse().read().decode("utf-8", "replace").splitlines()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    return next((float(line.split()[1]) for line in lines if line.startswith("petrel_clock_seconds ")), None)


def http_status(address: Address, path: str, timeout_s: float, ca: str | None = None) -> int | None:
    """Return the status of a GET. With `ca`, by TLS with a certificate of this authority."""
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


def process_memory(pid: int) -> int | None:
    """Return the bytes of the process's private memory, as RLIMIT_DATA counts them; None if there is none."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmData:")), None)


def process_age_s(pid: int) -> float | None:
    """Return the seconds since the process began; None if there is none."""
    try:
        return time.time() - psutil.Process(pid).create_time()
    except psutil.Error:
        return None


def process_state(pid: int) -> str | None:
    """Return "T": stopped, "R": running, "S": any other living state; None: no such process, or it is dead."""
    try:
        status = psutil.Process(pid).status()
    except psutil.Error:
        return None
    if status in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
        return None
    if status in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP):
        return "T"
    return "R" if status == psutil.STATUS_RUNNING else "S"
