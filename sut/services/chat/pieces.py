"""The parts of a chat service that a known-bad variant can replace. The defaults are the right design."""

from __future__ import annotations

from dataclasses import dataclass

from sut.services.chat.accept import Acceptor
from sut.services.chat.reader import Reader


@dataclass(frozen=True, kw_only=True, slots=True)
class ChatPieces:
    acceptor: type[Acceptor] = Acceptor
    """Appends SENDs to the log."""
    reader: type[Reader] = Reader
    """Answers FETCH, SYNC and HISTORY."""
