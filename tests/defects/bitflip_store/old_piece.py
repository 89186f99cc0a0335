"""Known bad: the store serves a row as it reads it, whether or not a byte of it has changed on the disk."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sut.adapters.sqlite import store
from sut.deploy.topology import Topology
from sut.services.chat.pieces import ChatPieces
from sut.services.sequencer.pieces import SequencerPieces
from tests.defects.bitflip_store import trigger

CAUGHT_BY = ("phantoms", "gaps_forks")


def unchecked(_path: Path, _table: str, rows: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Return the rows without their checksums, which are not looked at."""
    return [tuple(values) for *values, _ in rows]


def chat(_topology: Topology) -> ChatPieces:
    store.checked = unchecked
    return ChatPieces()


def sequencer(topology: Topology) -> SequencerPieces:
    store.checked = unchecked
    return trigger.sequencer(topology)
