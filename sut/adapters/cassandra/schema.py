"""The tables of the Cassandra store: one process creates them, the others wait; bound to the log they belong to.

Concurrent schema changes are where Cassandra is weakest: two nodes that create a table at the same moment may give it
two identities. Here one process creates the tables by rule (`Binding.creates`), and the others wait until they see
them. Each table's id is derived from its name, so that even two creators would make the same table. Any process may
call this at any time, again and again.
"""

from __future__ import annotations

import re
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

from cassandra import ConsistencyLevel
from cassandra.cluster import Session
from cassandra.query import SimpleStatement

from sut.adapters.cassandra.policies import SCHEMA_AGREEMENT_S
from sut.ports import Unavailable

POLL_S: Final = 0.1
DDL_TIMEOUT_S: Final = 30.0
AGREE_S: Final = 15.0
"""How long a node may take to hear of a table that another one has made."""
AGREE_EVERY_S: Final = 0.25
"""A schema change reaches all nodes and their disks: seconds on a busy machine."""
_ID_NAMESPACE: Final = uuid.UUID("7e1c1a52-6f0e-5c0b-9c43-7f6f6b1f0a5e")
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,40}")
_CREATE: Final = re.compile(r"CREATE TABLE IF NOT EXISTS (\w+)")
_COLUMN: Final = re.compile(r"^ +([a-z]\w*) +([a-z][a-z<>, ]*[a-z>])( STATIC)?", re.MULTILINE)
_READ_REPAIR: Final = re.compile(r"read_repair = '(\w+)'")


class WrongKeyspace(Unavailable):
    """The keyspace that is there is not the one that was asked for. A retry does not help."""


class WrongLog(WrongKeyspace):
    """The keyspace holds data of another log: use another keyspace."""


class WrongTable(WrongKeyspace):
    """A table, or the keyspace, was made with other columns or properties than the store relies on."""


class TooFewReplicas(WrongKeyspace):
    """The keyspace keeps fewer replicas than asked for: what was acknowledged might not outlive a node."""


@dataclass(frozen=True, kw_only=True)
class Binding:
    """The keyspace of a store, and the log that its write timestamps count."""

    keyspace: str
    log_id: str
    """Unique for each log. Differs even between a deleted topic and a later one of the same name."""
    partitions: int
    creates: bool
    """True if this process creates what is missing. At most one process of a system should."""
    replication: int = 3

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.keyspace):
            raise ValueError(f"keyspace {self.keyspace!r}: a letter, then letters, digits and _, in lower case")


def ensure_schema(session: Session, binding: Binding, *, deadline: float, closing: threading.Event) -> None:
    """Return when all tables exist, all reachable nodes agree on them, and they are this log's.

    Blocks until then; `deadline` on time.monotonic. Raises Unavailable when it passes or when `closing` is set,
    WrongKeyspace, and what the driver raises.
    """
    wanted = {_table(statement): statement for statement in statements()}
    if binding.creates and not _are_there(session, binding, wanted):
        _create(session, binding, wanted)
    while not _are_there(session, binding, wanted):
        _wait(f"keyspace {binding.keyspace} does not have its tables yet", deadline, closing)
    # Asks the node behind the driver's control connection; nodes that are down do not count.
    if not session.cluster.control_connection.wait_for_schema_agreement(
        wait_time=max(0.1, min(SCHEMA_AGREEMENT_S, deadline - time.monotonic()))
    ):
        raise Unavailable("the Cassandra nodes do not agree on the schema")
    _check_replicas(session, binding)
    _check_tables(session, binding, wanted)
    while (log := _bound(session, binding)) is None:
        if binding.creates:
            _bind(session, binding)
        else:
            _wait(f"keyspace {binding.keyspace} does not say which log it belongs to yet", deadline, closing)
    log_id, partitions = log
    if (log_id, partitions) != (binding.log_id, binding.partitions):
        raise WrongLog(
            f"keyspace {binding.keyspace} belongs to log {log_id} of {partitions} partitions, not to"
            f" {binding.log_id} of {binding.partitions}: use another keyspace, or drop this one"
        )


def statements() -> list[str]:
    """Return the statements of schema.cql, without comments."""
    text = files("sut.adapters.cassandra").joinpath("schema.cql").read_text()
    bare = re.sub(r"--.*", "", text)
    return [statement.strip() for statement in bare.split(";") if statement.strip()]


def _table(statement: str) -> str:
    found = _CREATE.match(statement)
    assert found is not None, f"schema.cql: {statement[:40]}"
    return found[1]


def _create(session: Session, binding: Binding, wanted: Mapping[str, str]) -> None:
    session.execute(
        f"CREATE KEYSPACE IF NOT EXISTS {binding.keyspace} WITH replication ="
        f" {{'class': 'NetworkTopologyStrategy', 'replication_factor': {binding.replication}}}",
        timeout=DDL_TIMEOUT_S,
    )
    for name, statement in wanted.items():
        identity = uuid.uuid5(_ID_NAMESPACE, f"{binding.keyspace}.{name}")
        qualified = _CREATE.sub(f"CREATE TABLE IF NOT EXISTS {binding.keyspace}.{name}", statement)
        joint = "AND" if re.search(r"\)\s*WITH\b", qualified) else "WITH"
        session.execute(f"{qualified} {joint} id = {identity}", timeout=DDL_TIMEOUT_S)


def _check_replicas(session: Session, binding: Binding) -> None:
    """Raise TooFewReplicas for a keyspace, made by whomever, that some data centre keeps fewer replicas of."""
    select = "SELECT replication, durable_writes FROM system_schema.keyspaces WHERE keyspace_name = %s"
    replication, durable = session.execute(select, (binding.keyspace,)).one()
    if not durable:
        raise WrongTable(f"keyspace {binding.keyspace} has durable_writes = false: ALTER KEYSPACE, or use another one")
    for place, value in replication.items():
        replicas = str(value).partition("/")[0]
        if place != "class" and replicas.isdecimal() and int(replicas) < binding.replication:
            where = "" if place == "replication_factor" else f" in {place}"
            raise TooFewReplicas(
                f"keyspace {binding.keyspace} keeps {replicas} replicas{where}, not {binding.replication}:"
                " ALTER KEYSPACE and repair it, or use another keyspace"
            )


def _check_tables(session: Session, binding: Binding, wanted: Mapping[str, str]) -> None:
    """Raise WrongTable for a table, made by whomever, with other columns than `wanted`, or that repairs on read.

    A node answers from its own copy of the schema, which may be behind: a column that is missing is looked for again.
    """
    deadline_s = time.monotonic() + AGREE_S
    asked_for = {(table, column) for table, statement in wanted.items() for column in columns_of(statement)}
    while True:
        found = _columns(session, binding)
        if asked_for <= found.keys() or time.monotonic() > deadline_s:
            break
        time.sleep(AGREE_EVERY_S)
    tables = "SELECT table_name, read_repair FROM system_schema.tables WHERE keyspace_name = %s"
    repairs = dict(session.execute(tables, (binding.keyspace,)))
    for table, statement in wanted.items():
        for column, asked in columns_of(statement).items():
            there = found.get((table, column))
            if there != asked:
                has = "is missing" if there is None else f"is {_shown(*there)}"
                raise WrongTable(
                    f"keyspace {binding.keyspace}: column {column} of table {table} {has}, not {_shown(*asked)}:"
                    " make the table as schema.cql has it, or use another keyspace"
                )
        repair = _READ_REPAIR.search(statement)
        if repair and repairs[table] != repair[1]:
            raise WrongTable(
                f"keyspace {binding.keyspace}: table {table} has read_repair {repairs[table]}, not {repair[1]}:"
                " ALTER TABLE, or use another keyspace"
            )


def _columns(session: Session, binding: Binding) -> dict[tuple[str, str], tuple[str, bool]]:
    """Map (table, column) to (its type, True if it is static), as the node that answers knows it."""
    columns = "SELECT table_name, column_name, type, kind FROM system_schema.columns WHERE keyspace_name = %s"
    return {
        (table, column): (kind, place == "static")
        for table, column, kind, place in session.execute(columns, (binding.keyspace,))
    }


def columns_of(statement: str) -> dict[str, tuple[str, bool]]:
    """Map each column of a CREATE TABLE to (its type, True if it is static)."""
    body = statement.partition("(")[2]
    return {name: (kind, bool(static)) for name, kind, static in _COLUMN.findall(body)}


def _shown(kind: str, static: bool) -> str:
    return f"{kind} STATIC" if static else kind


def _are_there(session: Session, binding: Binding, wanted: Mapping[str, str]) -> bool:
    rows = session.execute("SELECT table_name FROM system_schema.tables WHERE keyspace_name = %s", (binding.keyspace,))
    return wanted.keys() <= {row[0] for row in rows}


def _bound(session: Session, binding: Binding) -> tuple[str, int] | None:
    """Return the log id and partitions that the keyspace is bound to, None when nobody has bound it yet."""
    select = SimpleStatement(
        f"SELECT log_id, partitions FROM {binding.keyspace}.log_of_this_store WHERE one = 1", is_idempotent=True
    )
    return session.execute(select).one()  # type: ignore[no-any-return]


def _bind(session: Session, binding: Binding) -> None:
    """Bind the keyspace unless it is bound. Consensus decides, so that there is one answer for ever."""
    insert = SimpleStatement(
        f"INSERT INTO {binding.keyspace}.log_of_this_store (one, log_id, partitions) VALUES (1, %s, %s) IF NOT EXISTS",
        consistency_level=ConsistencyLevel.LOCAL_QUORUM,
        serial_consistency_level=ConsistencyLevel.LOCAL_SERIAL,
    )
    session.execute(insert, (binding.log_id, binding.partitions), timeout=DDL_TIMEOUT_S)


def _wait(reason: str, deadline: float, closing: threading.Event) -> None:
    """Wait POLL_S. Raises Unavailable with `reason` when the deadline has passed or `closing` is set."""
    if time.monotonic() >= deadline or closing.wait(POLL_S):
        raise Unavailable(reason)
