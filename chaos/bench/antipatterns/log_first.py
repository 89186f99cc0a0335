"""What happens before a sender hears that its message was taken: a write to the store, or an append to the log.

Many senders wait for their answers at once. The wrong one makes a transaction of its own in an indexed table for each
message. The right one appends to a log by the group commit of this project: records that wait share a transaction. Both
are durable when they answer (SQLite, synchronous=FULL).
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from chaos.bench.antipatterns.pattern import Figure, Pattern, Place, Result, percentile
from sut.adapters.shared.group_commit import GroupCommit

SENDERS: Final = 64
DURATION_S: Final = 6.0
BODY: Final = bytes(250)
WRONG: Final = "the store is written before the answer, a transaction a message"
RIGHT: Final = "the log is appended to before the answer, the store follows"
Take = Callable[[int, int], Awaitable[object]]


async def _senders(take: Take) -> tuple[float, float]:
    """Return the messages a second, and the p99 in ms of an answer."""
    took_s: list[float] = []
    end_s = time.monotonic() + DURATION_S

    async def send(sender: int) -> None:
        number = 0
        while (begun_s := time.monotonic()) < end_s:
            number += 1
            await take(sender, number)
            took_s.append(time.monotonic() - begun_s)

    await asyncio.gather(*(send(sender) for sender in range(SENDERS)))
    return len(took_s) / DURATION_S, 1000 * percentile(took_s, 0.99)


def _opened(directory: Path, schema: str) -> sqlite3.Connection:
    opened = sqlite3.connect(directory / "messages.db", isolation_level=None, check_same_thread=False)
    opened.executescript(f"PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; {schema}")
    return opened


async def _store_first(directory: Path) -> tuple[float, float]:
    store = _opened(
        directory,
        "CREATE TABLE message (id BLOB PRIMARY KEY, conv INT, seq INT, body BLOB);"
        "CREATE INDEX place ON message (conv, seq);",
    )

    def write(sender: int, number: int) -> None:
        row = (hash((sender, number)).to_bytes(8, "big", signed=True), sender, number, BODY)
        store.execute("INSERT OR REPLACE INTO message VALUES (?, ?, ?, ?)", row)

    with ThreadPoolExecutor(1) as writer:
        loop = asyncio.get_running_loop()
        found = await _senders(lambda sender, number: loop.run_in_executor(writer, write, sender, number))
    store.close()
    return found


async def _log_first(directory: Path) -> tuple[float, float]:
    log = _opened(directory, "CREATE TABLE log (offset INTEGER PRIMARY KEY, record BLOB);")

    def append(records: list[bytes]) -> list[None]:
        log.execute("BEGIN IMMEDIATE")
        log.executemany("INSERT INTO log (record) VALUES (?)", ((record,) for record in records))
        log.execute("COMMIT")
        return [None] * len(records)

    with ThreadPoolExecutor(1) as writer:
        loop = asyncio.get_running_loop()
        together: GroupCommit[bytes, None] = GroupCommit(
            "log", lambda records: loop.run_in_executor(writer, append, records), max_batch=1000, max_waiting=10_000
        )
        found = await _senders(lambda _sender, _number: together.submit([BODY]))
        await together.close()
    log.close()
    return found


def measure(place: Place) -> Result:
    """Measure both with the same senders."""
    place.say(f"{SENDERS} senders, each waits for its answer")
    for name in ("store", "log"):
        (place.directory / name).mkdir(exist_ok=True)
    wrong_per_s, wrong_ms = asyncio.run(_store_first(place.directory / "store"))
    right_per_s, right_ms = asyncio.run(_log_first(place.directory / "log"))
    return Result(
        name=PATTERN.name, wrong=WRONG, right=RIGHT,
        figures=(
            Figure(name="messages/s", wrong=wrong_per_s, right=right_per_s, better="high"),
            Figure(name="answer, p99 ms", wrong=wrong_ms, right=right_ms),
        ),
        where_wrong_wins="a reader finds a message in the store as soon as its sender has the answer",
    )  # fmt: skip


PATTERN: Final = Pattern(name="synchronous_store", wrong=WRONG, right=RIGHT, measure=measure)
