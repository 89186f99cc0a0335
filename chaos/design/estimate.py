"""What a chat system of a given size needs, from the numbers of its design.

A number is an input or a requirement. Each says its unit and its source; a requirement has a formula over inputs and
earlier requirements. The formula that people read is the one that is computed (formula.py). The inputs are those of the
design page; what one thing costs was measured with this chat system (docs/measured.md).
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from typing import Final

import msgspec

from chaos.design import formula
from chaos.errors import UsageError

PAGE: Final = "design page"
MEASURED: Final = "measured, docs/measured.md"
ASSUMED: Final = "assumed"


class Input(msgspec.Struct, frozen=True, kw_only=True):
    """A number that a user may change."""

    name: str
    value: float
    unit: str
    source: str


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """A number that follows from others. `page`: what the design page says it is, in the same unit; null: nothing."""

    name: str
    formula: str
    unit: str
    what: str
    page: float | None = None


class Requirement(msgspec.Struct, frozen=True, kw_only=True):
    """The value of a Rule with the inputs of one estimate."""

    name: str
    value: float
    unit: str
    formula: str
    what: str
    page: float | None


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """All numbers, in the order of their computation."""

    inputs: tuple[Input, ...]
    requirements: tuple[Requirement, ...]


def _input(name: str, value: float, unit: str, source: str) -> Input:
    return Input(name=name, value=value, unit=unit, source=source)


INPUTS: Final = (
    _input("users", 500e6, "users a day", PAGE),
    _input("messages_a_user", 40, "1/day", f"{PAGE}: 20 billion messages a day"),
    _input("message_bytes", 150, "B", PAGE),
    _input("peak", 3, "times the average", ASSUMED),
    _input("online", 1, "share of the users", f"{PAGE}: 500 million connections"),
    _input("devices_a_user", 1, "devices", f"{PAGE}: 500 million connections"),
    _input("connections_a_gateway", 50_000, "connections", PAGE),
    _input("gateway_bytes", 2_100, "B a connection", f"{MEASURED}: 12,000 devices, 2026-11-30"),
    _input("heartbeat_s", 30, "s", PAGE),
    _input("contacts", 25, "told of each heartbeat", f"{PAGE}: the number that makes 417 million events/s"),
    _input("viewers", 0.5, "open pictures of a user", ASSUMED),
    _input("presence_s", 60, "s between two changes that a viewer sees", ASSUMED),
    _input("conversations_a_user", 20, "conversations", f"{PAGE}: two increments a day and conversation"),
    _input("group_share", 0.2, "share of the messages", ASSUMED),
    _input("group_members", 20, "members", ASSUMED),
    _input("group_cap", 500, "members", PAGE),
    _input("notification_bytes", 16, "B", PAGE),
    _input("away", 0.3, "share of the recipients, on average over a day", ASSUMED),
    _input("replication", 3, "copies", ASSUMED),
    _input("retention_days", 365, "days", ASSUMED),
    _input("node_bytes", 4e12, "B of a Cassandra node", ASSUMED),
    _input("node_writes", 10_000, "replica writes/s of a Cassandra node", ASSUMED),
    _input("log_days", 3, "days in Kafka", ASSUMED),
    _input("partition_messages", 1_000, "1/s of a partition", f"{MEASURED}: 0.55 ms of a sequencer a message"),
    _input("route_bytes", 1_190, "B a registered user, master and replica", f"{MEASURED}: 2026-11-30"),
    _input("renewal_us", 10, "us of Redis a heartbeat, for route and presence", f"{MEASURED}: 2026-11-30"),
    _input("register_us", 16, "us of Redis to register a connection", f"{MEASURED}: 2026-11-30"),
    _input("redis_node_bytes", 32e9, "B of a Redis node", ASSUMED),
    _input("delivery_s", 0.2, "s to deliver, p99", PAGE),
    _input("push_s", 5, "s to push", PAGE),
    _input("message_cpu_ms", 1.8, "ms of all services a message", f"{MEASURED}: 2.9 ms, of which the swarm 1.1"),
    _input("load", 0.6, "share of a core that may be used", ASSUMED),
    _input("core_month", 20, "price of a core and month", ASSUMED),
    _input("gigabyte_month", 0.05, "price of a GB and month on disk", ASSUMED),
    _input("memory_gigabyte_month", 2, "price of a GB and month in memory", ASSUMED),
)


def _rule(name: str, text: str, unit: str, what: str, *, page: float | None = None) -> Rule:
    return Rule(name=name, formula=text, unit=unit, what=what, page=page)


RULES: Final = (
    _rule("messages_a_day", "users * messages_a_user", "1/day", "all messages", page=20e9),
    _rule("messages_per_s", "messages_a_day / 86400", "1/s", "messages on average", page=231e3),
    _rule("peak_per_s", "messages_per_s * peak", "1/s", "messages at the peak"),
    _rule("connections", "users * online * devices_a_user", "connections", "open WebSockets", page=500e6),
    _rule("gateways", "ceil(connections / connections_a_gateway)", "gateways", "", page=10e3),
    _rule("gateway_memory", "connections_a_gateway * gateway_bytes", "B a gateway", "in user space, without TLS"),
    _rule("heartbeats_per_s", "connections / heartbeat_s", "1/s", "answered by the gateways, unknown to Redis"),
    _rule("conversations", "users * conversations_a_user", "conversations", "with a sequence number each"),
    _rule(
        "increments_a_day", "messages_a_day / conversations", "1/day", "of one conversation's sequence number", page=2
    ),
    _rule("body_bytes_a_day", "messages_a_day * message_bytes", "B/day", "stored once", page=3e12),
    _rule("stored_bytes_a_day", "body_bytes_a_day * replication", "B/day", "with all copies"),
    _rule("stored_bytes", "stored_bytes_a_day * retention_days", "B", "in Cassandra"),
    _rule("nodes_by_disk", "ceil(stored_bytes / node_bytes)", "nodes", "Cassandra, by what they keep"),
    _rule("nodes_by_writes", "ceil(peak_per_s * replication / node_writes)", "nodes", "Cassandra, by what they write"),
    _rule("cassandra_nodes", "max(nodes_by_disk, nodes_by_writes)", "nodes", ""),
    _rule("kafka_partitions", "ceil(peak_per_s / partition_messages)", "partitions", "one sequencer each at the most"),
    _rule("kafka_bytes_per_s", "peak_per_s * message_bytes * replication", "B/s", "written by all brokers at the peak"),
    _rule("kafka_bytes", "body_bytes_a_day * log_days * replication", "B", "on the brokers' disks"),
    _rule("recipients", "1 - group_share + group_share * (group_members - 1)", "a message", "on average"),
    _rule("notifications_per_s", "messages_per_s * recipients * (1 - away)", "1/s", "to devices online"),
    _rule("group_bytes", "(group_cap - 1) * notification_bytes", "B", "notifications of a message to such a group"),
    _rule("pushes_per_s", "messages_per_s * recipients * away", "1/s", "to devices away, before any is joined"),
    _rule("redis_bytes", "connections * route_bytes", "B", "routes of all users online, with a replica"),
    _rule("redis_operations_per_s", "heartbeats_per_s", "1/s", "routes and presence renewed, batched by gateways"),
    _rule("redis_by_cpu", "ceil(heartbeats_per_s * renewal_us / 1000000 / load)", "cores", "shards, by what they do"),
    _rule("redis_by_memory", "ceil(redis_bytes / redis_node_bytes)", "nodes", "shards, by what they keep"),
    _rule("redis_shards", "max(redis_by_cpu, redis_by_memory)", "nodes", "a core each"),
    _rule("register_gateway_s", "connections_a_gateway * register_us / 1000000", "s of one Redis core",
          "to register the devices of a gateway that died"),
    _rule("store_writes_per_s", "messages_per_s", "1/s", "one row a message, on average", page=231e3),
    _rule("in_flight", "peak_per_s * delivery_s", "messages", "under way at the peak, at most, if the bound holds"),
    _rule("pushes_under_way", "pushes_per_s * push_s", "pushes", "under way, at most, if the bound holds"),
    _rule(
        "eager_presence_per_s", "connections / heartbeat_s * contacts", "1/s", "each heartbeat told to contacts",
        page=417e6,
    ),
    _rule("lazy_presence_per_s", "users * online * viewers / presence_s", "1/s", "told to those who look"),
    _rule("presence_ratio", "eager_presence_per_s / lazy_presence_per_s", "times", "eager costs more than lazy"),
    _rule("cores", "ceil(peak_per_s * message_cpu_ms / 1000 / load)", "cores", "all services, messages at the peak"),
    _rule("core_cost", "cores * core_month", "a month", ""),
    _rule("disk_cost", "(stored_bytes + kafka_bytes) / 1000000000 * gigabyte_month", "a month", ""),
    _rule(
        "memory_cost", "(redis_bytes + connections * gateway_bytes) / 1000000000 * memory_gigabyte_month", "a month", ""
    ),
    _rule(
        "cost_a_million_users", "(core_cost + disk_cost + memory_cost) / (users / 1000000)", "a month",
        "without Cassandra's and Kafka's own cores, networks and people",
    ),
)  # fmt: skip


def estimate(changes: Mapping[str, float] | None = None, measured: Mapping[str, float] | None = None) -> Estimate:
    """Return all numbers; `changes`: inputs that differ from the design's. Raises UsageError.

    `measured`: unit costs of a machine, instead of the recorded ones; `changes` wins.
    """
    changes, measured = changes or {}, measured or {}
    known = {given.name for given in INPUTS}
    for name, value in changes.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else "; petrel estimate lists them"
            raise UsageError(f"no input {name}{hint}")
        if not math.isfinite(value) or value <= 0:
            raise UsageError(f"{name} is above 0, not {value:g}")
    inputs = tuple(_given(given, changes, measured) for given in INPUTS)
    values = {given.name: given.value for given in inputs}
    found = []
    for rule in RULES:
        values[rule.name] = value = formula.value(rule.formula, values)
        if not math.isfinite(value):
            raise UsageError(f"{rule.name} = {rule.formula} is no number with these inputs")
        found.append(
            Requirement(
                name=rule.name, value=value, unit=rule.unit, formula=rule.formula, what=rule.what, page=rule.page
            )
        )
    return Estimate(inputs=inputs, requirements=tuple(found))


def _given(given: Input, changes: Mapping[str, float], measured: Mapping[str, float]) -> Input:
    if given.name in changes:
        return msgspec.structs.replace(given, value=changes[given.name], source="given")
    if given.name in measured:
        return msgspec.structs.replace(given, value=measured[given.name], source="petrel bench calibrate")
    return given
