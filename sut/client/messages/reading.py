"""Decrypts each message once, when its turn in its conversation comes, and keeps the result until it is shown.

A decrypted message may have to wait for messages of other conversations. Decryption uses up the key, so the result is
saved together with the state of the encryption. After a restart it is found when the message arrives again.
"""

from __future__ import annotations

from collections.abc import Sequence

from sut.client.device.state import State
from sut.client.messages import payload as payloads
from sut.client.messages.cipher import Address, CannotRead, Changed, Cipher, NeedKeys, Opened
from sut.protocol.causal import Dependency
from sut.protocol.frames import Message

_Place = tuple[int, int]
"""The place of a message: (conversation, sequence number)."""


class Reading:
    """The decryption of one device. `own`: that device, whose own messages need no decryption."""

    def __init__(self, own: Address, cipher: Cipher, state: State) -> None:
        self._own = own
        self._cipher = cipher
        self._state = state
        self._opened: dict[_Place, Opened] = state.opened()
        self._saved = set(self._opened)
        self._moved = False

    def names(self, message: Message) -> Sequence[Dependency]:
        """Return the dependencies that a message names. Empty if it cannot be read (yet): then it delays nothing."""
        if (message.user, message.device) == self._own:
            return ()
        place = message.conv, message.seq
        opened = self._opened.get(place)
        if opened is None:
            try:
                opened = self._opened[place] = self._open(message)
            except (NeedKeys, Changed, CannotRead):
                return ()
        return payloads.named_by(opened.plaintext) if opened.plaintext is not None else ()

    def take(self, message: Message) -> Opened:
        """Return the content of a message to show, and forget it. Raises NeedKeys, Changed, CannotRead."""
        place = message.conv, message.seq
        opened = self._opened.pop(place, None)
        if opened is None:
            return self._open(message)
        if place in self._saved:
            self._saved.remove(place)
            self._state.drop_opened(*place)
        return opened

    def save(self) -> None:
        """Save the contents that are not shown yet, and the state of the encryption. Called at the end of each step."""
        for place in self._opened.keys() - self._saved:
            self._state.put_opened(*place, self._opened[place])
            self._saved.add(place)
        if self._moved:
            self._moved = False
            self._state.put("cipher", self._cipher.state())

    def _open(self, message: Message) -> Opened:
        self._moved = True
        return self._cipher.open(message.conv, (message.user, message.device), message.body)
