"""What a sequencer tells the members of a conversation."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Notification:
    """One frame for every connected device of these users, except `except_device` (the sender's).

    `signal`: not about a message, so users who are offline miss nothing.
    """

    frame: bytes
    users: tuple[int, ...]
    except_device: int
    signal: bool = False
