"""The acceptor: what has waited too long is refused and is in no log; the rest is appended in its order."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from sut.adapters.sqlite.log import SqliteLog
from sut.ports import Kind, LogRecord
from sut.protocol.frames import Nack
from sut.services.chat.accept import PATIENCE_S, Acceptor, Pending
from sut.variants.without_admission import Keeps
from tests.kit.waits import until


class NoLink:
    def send(self, _frame: object) -> bool:
        return False


def appended(directory: Path, acceptor_type: type[Acceptor]) -> tuple[list[int], list[tuple[int, Nack]]]:
    """Offer four SENDs, the second and third long ago; returns those in the log and those refused."""
    now_s = time.monotonic()
    refused: list[tuple[int, Nack]] = []

    async def live() -> list[int]:
        log = SqliteLog(directory, 1)
        acceptor = acceptor_type(0, log, NoLink())  # type: ignore[arg-type]
        for client_seq, age_s in ((1, 0.0), (2, PATIENCE_S + 0.1), (3, 100.0), (4, 0.0)):
            record = LogRecord(Kind.MESSAGE, 9, 1, client_seq, client_seq, b"x", (), None)

            def refuse(code: Nack, client_seq: int = client_seq) -> None:
                refused.append((client_seq, code))

            assert acceptor.offer(Pending(record, refuse, now_s - age_s))
        running = asyncio.create_task(acceptor.run())
        await until(lambda: acceptor.appended + acceptor.dropped == 4)
        running.cancel()
        found = [item.record.client_seq for item in await log.read(0, 0, 10)]
        await log.close()
        return found

    return asyncio.run(live()), refused


def test_what_has_waited_too_long_is_refused_for_now_and_not_appended(tmp_path: Path) -> None:
    assert appended(tmp_path, Acceptor) == ([1, 4], [(2, Nack.OVERLOADED), (3, Nack.OVERLOADED)])


def test_the_variant_without_admission_appends_all(tmp_path: Path) -> None:
    assert appended(tmp_path, Keeps) == ([1, 2, 3, 4], [])
