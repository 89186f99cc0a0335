"""The actions of a person beside sends: reading, typing, watching presence. Follows the plan; no I/O."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from load.history.events import message_id
from load.plan.people import is_read
from load.plan.plan import DevicePlan
from sut.protocol.device.client import Client
from sut.protocol.device.events import Show


class Doings:
    """The planned actions of one device's person. `at` turns us after t0 into seconds of the driver's clock."""

    __slots__ = ("_at", "_client", "_conversations", "_device", "_keystroke", "_look", "_plan", "_read_share", "_seed")

    def __init__(
        self,
        client: Client,
        plan: DevicePlan,
        *,
        device: int,
        conversations: Sequence[int],
        seed: int,
        read_share: float,
        at: Callable[[int], float],
    ) -> None:
        self._client = client
        self._plan = plan
        self._device = device
        self._conversations = conversations
        self._seed = seed
        self._read_share = read_share
        self._at = at
        self._keystroke = 0
        self._look = 0  # 2 x place in the plan, + 1 while looking

    @property
    def place(self) -> tuple[int, int]:
        """How far the plan was followed; to be set again on a new object."""
        return self._keystroke, self._look

    @place.setter
    def place(self, place: tuple[int, int]) -> None:
        self._keystroke, self._look = place

    def wake_at(self) -> float:
        """Return when `follow` has something to do; inf: never."""
        at = math.inf
        if self._keystroke < len(self._plan.keystrokes):
            at = self._at(self._plan.keystrokes[self._keystroke].at_us)
        place, looking = divmod(self._look, 2)
        if place < len(self._plan.looks):
            look = self._plan.looks[place]
            at = min(at, self._at(look.to_us if looking else look.from_us))
        return at

    def follow(self, now: float) -> None:
        """Do the actions that are due."""
        strokes, looks = self._plan.keystrokes, self._plan.looks
        while self._keystroke < len(strokes) and self._at(strokes[self._keystroke].at_us) <= now:
            self._client.typing(self._conversations[strokes[self._keystroke].conversation], now)
            self._keystroke += 1
        while self._look < 2 * len(looks):
            place, looking = divmod(self._look, 2)
            if self._at(looks[place].to_us if looking else looks[place].from_us) > now:
                break
            self._client.watch(() if looking else looks[place].users)
            self._look += 1

    def shown(self, event: Show, now: float) -> None:
        """Mark a displayed message as read if the person reads it at once. The history records it as shown."""
        message = event.message
        if self._read_share and message.device != self._device:
            msg = message_id(message.device, message.client_seq)
            if is_read(self._seed, self._device, msg, self._read_share):
                self._client.mark_read(message.conv, message.seq, now)
