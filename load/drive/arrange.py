"""Creates conversations, records members, and changes groups during the run.

One process of a swarm does this: the leader (Locust's master, or the only process). The history holds the API's
answers. A change without an answer after many attempts is a hole, written to the control lines.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

from load.drive.api import ApiClient, ApiError, batches, parallel
from load.history.control import ControlWriter
from load.history.events import Event
from load.history.writer import HistoryWriter, now_ns
from load.plan.changes import Change
from load.plan.population import Population

AT_ONCE: Final = 4
"""Requests for conversations under way, each for up to MAX_MADE of them."""
CHANGE_GIVE_UP_S: Final = 180.0
"""Seconds, longer than any planned outage: a change whose outcome is unknown leaves a hole in the history.

Repeating it is harmless: it takes one number.
"""

_LOGGER = logging.getLogger(__name__)


def create_conversations(api: ApiClient, population: Population, api_key: str) -> tuple[int, ...]:
    """Create all conversations, each for its creator. Returns their ids, by place. Raises ApiError."""
    wanted = ((one.kind, one.members, f"{one.key}/{_digest(one.members)}") for one in population.conversations)
    found = parallel(lambda batch: api.create_all(api_key, batch), list(batches(wanted)), at_once=AT_ONCE)
    return tuple(conv for ids in found for conv in ids)


def _digest(members: Sequence[int]) -> str:
    """Return a digest that separates groups of different members.

    A running system may know the key from an earlier, larger swarm.
    """
    return hashlib.blake2b(",".join(map(str, sorted(members))).encode(), digest_size=6).hexdigest()


def record_population(history: HistoryWriter, population: Population, conversations: Sequence[int]) -> None:
    """Write the owner of each device and the members of each conversation at its creation."""
    for user in population.users:
        history.append(Event.DEVICE, device=user, msg=user)
    for conv, conversation in zip(conversations, population.conversations, strict=True):
        for user in conversation.members:
            history.append(Event.MEMBER, conv=conv, msg=user, arg=1)


class Changes:
    """Carries out the planned membership changes, one after another."""

    def __init__(
        self,
        *,
        api: ApiClient,
        creators: Mapping[int, int],
        conversations: Sequence[int],
        tokens: Mapping[int, str],
        history: HistoryWriter,
        control: ControlWriter,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`creators`: the user who made it, by place of the conversation; of those that change."""
        self._api = api
        self._creators = creators
        self._conversations = conversations
        self._tokens = tokens
        self._history = history
        self._control = control
        self._sleep = sleep
        self._open: Change | None = None
        self.done = 0
        self.quiet = False
        """Set by the owner: no further change is begun."""

    def run(self, changes: Sequence[Change], *, t0_ns: int, end_ns: int) -> None:
        """Make each change at its time after `t0_ns`; leaves out changes that are delayed beyond `end_ns`."""
        for change in changes:
            due_ns = t0_ns + change.at_us * 1000
            while (wait_ns := due_ns - now_ns()) > 0:
                self._sleep(wait_ns / 1e9)
            if self.quiet or now_ns() > end_ns:
                return
            self._carry_out(change)

    def abandon(self) -> None:
        """The run ends now: record a hole if a change is under way."""
        if self._open is not None:
            self._hole(self._open, "the swarm stopped before the answer")

    def _carry_out(self, change: Change) -> None:
        conv = self._conversations[change.conversation]
        token = self._tokens[change.by or self._creators[change.conversation]]
        call = self._api.add if change.add else self._api.remove
        if change.role:
            call = partial(self._api.name, role=change.role)
        self._open = change
        try:
            seq = call(token, conv, change.user, give_up_s=CHANGE_GIVE_UP_S)
        except ApiError as error:
            if error.definite:
                _LOGGER.warning("a membership change was refused: %s", error)
            else:
                self._hole(change, str(error))
        else:
            # A role took a number too; readers of the history see it as the add of a user who is a member already.
            self._history.append(Event.MEMBER, conv=conv, msg=change.user, seq=seq, arg=int(change.add))
            self.done += 1
        self._open = None

    def _hole(self, change: Change, reason: str) -> None:
        what = f"{f'name {change.role}' if change.role else 'add' if change.add else 'remove'} user {change.user}"
        conv = self._conversations[change.conversation]
        self._control.hole(f"{what} in conversation {conv}: outcome unknown: {reason}")
