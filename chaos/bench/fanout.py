"""The cost of a group message by the size of the group: bytes on each member's wire, rows and bytes stored, CPU.

One member writes five messages a second. All others are online, get a NOTIFY, and fetch. The design promises one stored
body and 16 bytes of notification per member at any size; the variant body_per_member shows the gain. The crowd runs on
the same machine; one column is its CPU.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from chaos.bench.benches import Bench, Crowd, Request, cpu_s, running
from chaos.errors import HarnessError
from load.bench.crowd import Measured, Plan
from sut.adapters.shared.site import DATA
from sut.deploy.system import System

SIZES: Final = (2, 10, 50, 100, 250, 500)
RATE_PER_S: Final = 5.0
DURATION_S: Final = 20.0


def run(request: Request) -> Sequence[Mapping[str, float]]:
    """Return a row per size. Raises HarnessError."""
    with running(request) as system:
        return [_point(system, request, size, 1 + 1000 * number) for number, size in enumerate(request.points or SIZES)]


def _point(system: System, request: Request, size: int, first_user: int) -> Mapping[str, float]:
    request.say(f"a group of {size}")
    topology = system.topology
    plan = Plan(
        api_url=topology.api_url,
        api_key=topology.api_key,
        first_user=first_user,
        users=size,
        rate_per_s=RATE_PER_S,
        duration_s=request.duration_s or DURATION_S,
    )
    crowd = Crowd("fanout", plan, log=request.directory / "logs" / "crowd.log")
    try:
        crowd.wait_until_ready()
        rows, stored, cpu = *_stored(topology.path), cpu_s(system)
        crowd.begin()
        measured = crowd.result()
        used = {kind: seconds - cpu[kind] for kind, seconds in cpu_s(system).items()}
    finally:
        crowd.close()
    rows_now, stored_now = _settled(topology.path)
    return row(size, measured, used, rows=rows_now - rows, stored=stored_now - stored)


def row(size: int, measured: Measured, used: Mapping[str, float], *, rows: int, stored: int) -> Mapping[str, float]:
    """Return the figures of a point. Raises HarnessError if no message was sent."""
    sent, told = measured.messages, measured.messages * (size - 1)
    if not sent:
        raise HarnessError("the crowd sent nothing")
    frames, sizes = measured.frames, measured.bytes
    notified = sizes.get("NOTIFY", 0) - _overhead(measured)
    bodies = sizes.get("PAGE", 0) + sizes.get("MESSAGE", 0)
    return {
        "members": size,
        "messages": sent,
        "missing": measured.missing,
        "p50 ms": measured.p50_ms,
        "p99 ms": measured.p99_ms,
        "notify B/member": notified / told,
        "with frame": sizes.get("NOTIFY", 0) / told,
        "body B/member": bodies / told,
        "fetches/member": frames.get("PAGE", 0) / told,
        "rows/message": rows / sent,
        "stored B/message": stored / sent,
        "sequencer ms": used["sequencer"] / sent * 1000,
        "chat ms": used["chat"] / sent * 1000,
        "gateway ms": used["gateway"] / sent * 1000,
        "crowd ms": measured.cpu_s / sent * 1000,
    }


def _overhead(measured: Measured) -> int:
    """Return the bytes of all NOTIFY frames beside their entries: WebSocket header (2 bytes up to 125) and type."""
    return 3 * measured.frames.get("NOTIFY", 0)


def _stored(directory: Path) -> tuple[int, int]:
    """Return the rows in the store and the bytes of their bodies."""
    rows = size = 0
    for path in (directory / DATA).glob("store-*.db"):
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            count, length = connection.execute("SELECT count(*), total(length(body)) FROM message").fetchone()
        finally:
            connection.close()
        rows, size = rows + count, size + int(length)
    return rows, size


def _settled(directory: Path) -> tuple[int, int]:
    """Return the same figures once the store has caught up, because it writes behind."""
    before = _stored(directory)
    while True:
        time.sleep(1.0)
        now = _stored(directory)
        if now == before:
            return now
        before = now


BENCH: Final = Bench(summary="a message of a group, by its size", run=run)
