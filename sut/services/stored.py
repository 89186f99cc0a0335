"""How far the store has what follows from a partition of the log. Who reads the log begins there."""

from __future__ import annotations

import logging

from sut.ports import MessageLog, MessageStore
from sut.services.waiting import until_available

log = logging.getLogger("stored")


async def stored_to(message_log: MessageLog, store: MessageStore, partition: int, *, who: str) -> int:
    """Return the offset up to which the log need not be read again. `who`: the caller, for the log.

    That is what its sequencer committed, unless the store has less: an operator put it back to an older copy, and the
    log has the rest. A few records that change nothing in the store may be read again too.
    """
    committed = await until_available(lambda: message_log.committed(partition), who)
    reached = await until_available(lambda: store.reached(partition), who)
    if reached is None or reached >= committed:
        return committed
    log.info("%s: the log was committed up to %d, the store has it up to %d", who, committed, reached)
    return reached
