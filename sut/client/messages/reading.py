"""Opens each message once, when its turn in its conversation has come, and keeps what was in it until it is shown.

Between the two it may wait for messages of other conversations. A key is used up by the first look, so what it gave is
saved with the encryption's state: a program that ends meanwhile finds it again when the message comes again.
"""

from __future__ import annotations

from collections.abc import Sequence

from sut.client.device.state import State
from sut.client.messages import payload as payloads
from sut.client.messages.cipher import Address, CannotRead, Changed, Cipher, NeedKeys, Opened
from sut.protocol.causal import Dependency
from sut.protocol.frames import Message

_Place = tuple[int, int]
"""(conversation, number)."""


class Reading:
    """Of one device, whose own messages are nothing to be read."""

    def __init__(self, own: Address, cipher: Cipher, state: State) -> None:
        self._own = own
        self._cipher = cipher
        self._state = state
        self._opened: dict[_Place, Opened] = state.opened()
        self._saved = set(self._opened)
        self._moved = False

    def names(self, message: Message) -> Sequence[Dependency]:
        """What a message names; nothing where it cannot be read (yet): then it holds nothing up."""
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
        """What is in it, for whoever shows it; after that it is forgotten. Raises NeedKeys, Changed, CannotRead."""
        place = message.conv, message.seq
        opened = self._opened.pop(place, None)
        if opened is None:
            return self._open(message)
        if place in self._saved:
            self._saved.remove(place)
            self._state.drop_opened(*place)
        return opened

    def save(self) -> None:
        """At the end of each step: what is not shown yet, and the keys that it took."""
        for place in self._opened.keys() - self._saved:
            self._state.put_opened(*place, self._opened[place])
            self._saved.add(place)
        if self._moved:
            self._moved = False
            self._state.put("cipher", self._cipher.state())

    def _open(self, message: Message) -> Opened:
        self._moved = True
        return self._cipher.open(message.conv, (message.user, message.device), message.body)
