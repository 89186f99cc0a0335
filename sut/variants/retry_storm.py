"""Known bad: devices repeat a SEND twice a second, for ever, and each copy is scanned: the copies outlast a fault.

The chat service has each SEND scanned for spam before the append, one after the other, copies too. That is fast enough
for the load. Nothing is refused and nothing is dropped, however long it has waited. While a fault keeps the answers
away, the queue of the scanner fills with copies of the same messages. Once an answer takes longer than half a second,
a message is scanned twice for each second that it waits, and no time is left for new ones. The fault is over, and the
system stays down as long as anybody sends (a metastable failure). The right design has three habits against it:
devices wait longer each time, gateways refuse what would wait too long, chat services drop what has.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sut.deploy.topology import Topology
from sut.gateway.pieces import GatewayPieces
from sut.ports import LogRecord
from sut.services.chat.pieces import ChatPieces
from sut.variants.without_admission import Keeps, TakesAll

CAUGHT_BY = ("goodput",)
SHOWN_IN = "metastable"
REPEAT_S: Final = 0.5
SCAN_S: Final = 0.007
"""Seconds for one SEND: a chat service takes some 130 a second, so two take 260."""


def gateway(_topology: Topology) -> GatewayPieces:
    return GatewayPieces(admission=TakesAll)


def chat(_topology: Topology) -> ChatPieces:
    """Return an acceptor whose partitions share one scanner in this process."""
    turn = asyncio.Lock()

    class Scans(Keeps):
        """Scans each SEND before the append."""

        async def append(self, partition: int, records: Sequence[LogRecord]) -> None:
            for _record in records:
                async with turn:
                    await asyncio.sleep(SCAN_S)
            await super().append(partition, records)

    return ChatPieces(acceptor=Scans)


def swarm(_settings: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"repeat_fixed_s": REPEAT_S}
