"""How messages are found in the store: by random ids and a secondary index, or by their conversation and number.

Both are tables of one PostgreSQL server (initdb and pg_ctl on PATH), with the same rows in the same order of arrival:
conversations take turns. Figures are counted by the server and do not depend on who else uses the machine: bytes of
write-ahead log for a message, and pages that a reader of the last 50 messages of a conversation touches.
PostgreSQL keeps rows in the order of their arrival, so a reader touches a page a message with both. Cassandra keeps the
rows of a partition together; it counts no pages, so it is not in this comparison.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from chaos.bench.antipatterns.pattern import Figure, NotRun, Pattern, Place, Result
from chaos.errors import HarnessError

CONVERSATIONS: Final = 2000
BEFORE: Final = 100_000
"""Rows that are there before anything is measured."""
ROWS: Final = 20_000
READS: Final = 20
WRONG: Final = "random ids, and a secondary index on conversation and number (PostgreSQL)"
RIGHT: Final = "conversation and number are the primary key, no further index (PostgreSQL)"
SQL: Final = {
    "wrong": "CREATE TABLE wrong (id uuid PRIMARY KEY, conv int, seq int, body text);"
    "CREATE INDEX ON wrong (conv, seq);",
    "right": "CREATE TABLE right_ (conv int, seq int, body text, PRIMARY KEY (conv, seq)) ;",
}


class _Server:
    """A PostgreSQL server in a directory, reached by a socket in it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._as: dict[str, str | int] = {}
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            try:
                user = pwd.getpwnam("nobody")
            except KeyError:
                raise NotRun("PostgreSQL does not run as root, and there is no user nobody") from None
            os.chown(directory, user.pw_uid, user.pw_gid)
            self._as = {"user": user.pw_uid, "group": user.pw_gid}

    def start(self) -> None:
        """Make a cluster and start it. Raises NotRun."""
        data, log = self._directory / "data", self._directory / "log"
        self._run("initdb", "-D", str(data), "-U", "petrel", "-A", "trust", "--no-sync")
        options = f"-c listen_addresses='' -c unix_socket_directories='{self._directory}' -c shared_buffers=16MB"
        self._run("pg_ctl", "-D", str(data), "-l", str(log), "-w", "-t", "60", "-o", options, "start")

    def stop(self) -> None:
        """Stop it, if it runs."""
        command = ["pg_ctl", "-D", str(self._directory / "data"), "-m", "immediate", "stop"]
        subprocess.run(command, cwd="/", capture_output=True, check=False, **self._as)  # type: ignore[call-overload]

    def ask(self, sql: str) -> list[str]:
        """Return the lines of the answer. Raises HarnessError."""
        command = [
            "psql",
            "-h",
            str(self._directory),
            "-U",
            "petrel",
            "-d",
            "postgres",
            "-qtAX",
            "-v",
            "ON_ERROR_STOP=1",
        ]
        done = subprocess.run(command, input=sql, capture_output=True, text=True, check=False, timeout=300)
        if done.returncode:
            raise HarnessError(f"PostgreSQL: {done.stderr.strip()[-300:]}")
        return done.stdout.splitlines()

    def _run(self, *command: str) -> None:
        done = subprocess.run(
            command, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            check=False, timeout=120, **self._as,  # type: ignore[call-overload]
        )  # fmt: skip
        if done.returncode:
            raise NotRun(f"{command[0]}: {(done.stderr or 'failed').strip().splitlines()[-1]}")


def _insert(table: str, begin: int, rows: int) -> str:
    """Return the statement that inserts rows as they arrive: conversations take turns."""
    key = "gen_random_uuid(), " if table == "wrong" else ""
    return (
        f"INSERT INTO {table} SELECT {key}n % {CONVERSATIONS}, n / {CONVERSATIONS}, repeat('x', 150) "  # noqa: S608
        f"FROM generate_series({begin}, {begin + rows - 1}) n;"
    )


def _measured(server: _Server, table: str, create: str) -> tuple[float, float]:
    """Return bytes of write-ahead log for a message, and pages for a read."""
    server.ask(create + _insert(table, 0, BEFORE) + "CHECKPOINT;")
    (before,) = server.ask("SELECT pg_current_wal_insert_lsn();")
    for part in range(20):
        server.ask(_insert(table, BEFORE + part * ROWS // 20, ROWS // 20))
    (wal,) = server.ask(f"SELECT pg_current_wal_insert_lsn() - '{before}';")
    server.ask(f"VACUUM ANALYZE {table};")
    pages = 0
    for read in range(READS):
        conv = read * CONVERSATIONS // READS
        read_sql = f"SELECT body FROM {table} WHERE conv = {conv} ORDER BY seq DESC LIMIT 50;"  # noqa: S608
        plan = server.ask(f"EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF) {read_sql}")
        pages += max(_pages(line) for line in plan)
    return int(wal) / ROWS, pages / READS


def _pages(line: str) -> int:
    """Return the pages of a line `Buffers: shared hit=5 read=2`; 0 for other lines."""
    if "Buffers: shared" not in line:
        return 0
    return sum(int(part.partition("=")[2]) for part in line.split() if part.startswith(("hit=", "read=")))


def measure(place: Place) -> Result:
    """Measure both tables. Raises NotRun without PostgreSQL."""
    lacking = [name for name in ("initdb", "pg_ctl", "psql") if shutil.which(name) is None]
    if lacking:
        raise NotRun(f"{', '.join(lacking)} is not on PATH: PostgreSQL is not installed")
    place.say(f"PostgreSQL: {BEFORE + ROWS:,} rows in each table")
    # A directory of its own: a socket's path is short, and the server's user may not enter the one of the run.
    with tempfile.TemporaryDirectory(prefix="petrel-pg-") as made:
        server = _Server(Path(made))
        try:
            server.start()
            wrong_bytes, wrong_pages = _measured(server, "wrong", SQL["wrong"])
            right_bytes, right_pages = _measured(server, "right_", SQL["right"])
        finally:
            server.stop()
    return Result(
        name=PATTERN.name, wrong=WRONG, right=RIGHT,
        figures=(
            Figure(name="write-ahead log for a message, B", wrong=wrong_bytes, right=right_bytes),
            Figure(name="pages to read the last 50 messages", wrong=wrong_pages, right=right_pages),
        ),
        where_wrong_wins="a message is found by its id alone, and a further index is one statement",
    )  # fmt: skip


PATTERN: Final = Pattern(name="secondary_index", wrong=WRONG, right=RIGHT, measure=measure)
