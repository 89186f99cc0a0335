"""The settings of a Client (ClientSettings), and the events that it reports to its driver.

Events are tuples, drained in the order in which they happened. A driver that handles only Stalled is still a correct
device. The other events are for the screen and for the history.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from sut.protocol.frames import MAX_FETCH, Message


class OutboxFull(Exception):
    """submit() refused the message: `max_outbox` messages wait already. Definite: the message was not taken."""

    definite = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSettings:
    """The waits and limits of a device. One instance serves any number of clients."""

    ack_timeout_s: float = 2.0
    """A SEND without an answer is repeated after this time."""
    retry_max_s: float = 5.0
    """The cap of every back-off within a connection."""
    retry_base_s: float = 0.2
    """The first bound of every back-off within a connection; it doubles up to `retry_max_s`."""
    give_up_s: float = 60.0
    """A message is dropped this long after its first transmission, with its outcome unknown."""
    fetch_timeout_s: float = 2.0
    """A FETCH or SYNC without an answer is repeated after this time."""
    beat_timeout_s: float = 5.0
    """The connection is dead after this long a silence after a HEARTBEAT, or without a WELCOME after it opened."""
    page_limit: int = 100
    """The number of messages to ask for in one FETCH."""
    reconnect_base_s: float = 0.2
    reconnect_cap_s: float = 5.0
    reconnect_fixed_s: float = 0.0
    """Not 0 only in the known-bad variant fixed_reconnect: no jitter, and DRAIN is ignored."""
    repeat_fixed_s: float = 0.0
    """Not 0 only in the known-bad variant retry_storm: a SEND is repeated after this time, without a back-off."""
    sync_every_beats: int = 10
    """A SYNC is sent at least once per so many BEATs, in case every other sign of a loss was lost too."""
    renumber: bool = True
    """True: a message whose client_seq belongs to another message is sent again under a new one.

    False: it is Nacked, for an owner that must encrypt it again.
    """
    rewind: bool = True
    """True: a head below the cursor lowers the cursor. False: it is reported as a Violation."""
    max_outbox: int = 1000
    """The number of messages submitted and not yet settled, in all conversations together."""
    recv_every_s: float = 0.5
    """The shown state of a conversation is reported at most this often."""
    max_fetches: int = 8
    """The number of FETCHes in flight. Other conversations wait for a free one."""
    max_history: int = 4
    """The number of history requests in flight or waiting to be repeated."""
    max_history_attempts: int = 8
    max_buffered: int = 500
    """The number of messages per conversation that are kept above a gap. Others are dropped and fetched again."""
    typing_every_s: float = 3.0
    """Typing in a conversation is reported at most this often."""
    typing_lasts_s: float = 6.0
    """A user has stopped typing when no new report comes within this time."""
    max_restated: int = 200
    """The number of conversations, newest first, whose RECV and READ are repeated with one SYNC."""
    max_signals: int = 65_536
    """The number of (conversation, user, kind) of receipts that are remembered. No events are reported for others.

    A sixteenth of it limits the typists.
    """
    max_conversations: int = 65_536
    """The number of conversations that a device follows. Messages of others are reported as a Violation and ignored."""

    hold_s: float = 15.0
    """A message waits for its dependencies at most this long, while connected and awake.

    While the service does not answer, it waits four times as long. Each new connection starts the time again.
    """
    hold_connections: int = 5
    """The message also waits for at most so many connections after the one on which it arrived."""
    max_held: int = 1000
    """The number of messages that wait for dependencies, in all conversations together."""

    def __post_init__(self) -> None:
        if not 1 <= self.page_limit <= MAX_FETCH:
            raise ValueError(f"page_limit is {self.page_limit}; 1 to {MAX_FETCH} are allowed")


class Online(NamedTuple):
    """WELCOME arrived, and the first SYNC is complete: all missed messages are known, and are being fetched."""

    epoch: int


class SyncAnswered(NamedTuple):
    """A SYNC was answered, at least in part: these conversations are ahead of this device, and are being fetched.

    Before Online only if there are any.
    """

    ahead: tuple[int, ...]


class Sent(NamedTuple):
    """A message was transmitted for the first time."""

    conv: int
    client_seq: int


class SentAgain(NamedTuple):
    """A message was transmitted again: no answer came, it was refused for now, or the connection is new."""

    conv: int
    client_seq: int


class Acked(NamedTuple):
    """The message is durable under `seq`. Sent once per message; never after Nacked(definite) or GaveUp."""

    conv: int
    client_seq: int
    seq: int


class Nacked(NamedTuple):
    """The message was refused. Definite: it was dropped, and will never appear. Otherwise it is retried.

    This event may come again for a message that is retried.
    """

    conv: int
    client_seq: int
    code: int
    definite: bool


class Outrun(NamedTuple):
    """This device has used the client_seqs from `first` to `last` in a run that this one does not know of.

    So this run uses an older copy of the device's state. New messages are numbered above `last`.
    """

    first: int
    last: int


class Renumbered(NamedTuple):
    """`client_seq` belongs to another message. This message now has the client_seq `new`; it was not in the
    conversation.
    """

    conv: int
    client_seq: int
    new: int


class GaveUp(NamedTuple):
    """No answer came for `give_up_s`: the message was dropped, with its outcome unknown. No later event is about it."""

    conv: int
    client_seq: int


class Notified(NamedTuple):
    """A NOTIFY reported that the conversation has reached a new `head`. Its body must be fetched."""

    conv: int
    head: int


class Wire(NamedTuple):
    """A message arrived in any frame, duplicates included. An own message placed only by its ACK has no such event."""

    message: Message


class Show(NamedTuple):
    """Display this message now. In each conversation: in rising seq, without gaps, each sequence number once."""

    message: Message
    incomplete: bool = False
    """It names a message of another conversation that did not come in `hold_s`: something before this is missing."""


class MemberChange(NamedTuple):
    """A membership change, in order among the Shows. `user` was added, or removed if `added` is False."""

    conv: int
    seq: int
    user: int
    added: bool


class RoleChange(NamedTuple):
    """A role change, in order among the Shows: `user` has this role from here on (0 member, 1 admin, 2 owner).

    The predecessor of a new owner is an admin from then on, or has left with this sequence number.
    """

    conv: int
    seq: int
    user: int
    role: int


class HistoryPage(NamedTuple):
    """The answer to `history`: the messages from `through` on, in rising order. They are not shown; no cursor moves.

    Membership changes are among the messages, with their flags. `through` 1: there are no earlier messages.
    """

    req: int
    conv: int
    through: int
    messages: tuple[Message, ...]


class HistoryFailed(NamedTuple):
    """`history` had no answer in `max_history_attempts`, or was definitely refused; then `code` is not 0."""

    req: int
    conv: int
    code: int


class Told(NamedTuple):
    """A receipt: user `by` has got (kind 0) or read (1) everything up to `seq`.

    For each user and kind, in rising seq.
    """

    conv: int
    seq: int
    kind: int
    by: int


class Writing(NamedTuple):
    """The user is typing in the conversation, or has stopped (`active` False)."""

    conv: int
    user: int
    active: bool


class Presence(NamedTuple):
    """A watched user is online, or was last seen at `last_seen_ms` (Unix ms, 0: not known). The first state, or a
    change.
    """

    user: int
    online: bool
    last_seen_ms: int


class Unwatched(NamedTuple):
    """The presence of this user is not known any more: they are not watched, or the connection ended."""

    user: int


class HeldBack(NamedTuple):
    """The next Show or MemberChange has waited `for_s` for a dependency. `late`: the wait ended without it."""

    conv: int
    seq: int
    for_s: float
    late: bool


class RolledBack(NamedTuple):
    """The service has this conversation only up to `head`; this device had shown it up to `cursor`.

    The service was restored from an older copy. The cursor is at `head` now: other messages may take the numbers above
    it.
    """

    conv: int
    head: int
    cursor: int


class LogChanged(NamedTuple):
    """The sequence numbers belong to another log than on the last connection. `log`: its name, as in WELCOME."""

    log: bytes


class Drained(NamedTuple):
    """The gateway is leaving, and will close. disconnected() then draws its wait below `base_ms`."""

    base_ms: int


class Stalled(NamedTuple):
    """The connection is dead although open: the driver must close it and call disconnected(). Once per connection."""

    reason: str


class Violation(NamedTuple):
    """The service broke its protocol; `text` says how. The client continues as well as it can."""

    text: str


ClientEvent = (
    Online | SyncAnswered | Sent | SentAgain | Acked | Nacked | GaveUp | Notified | Wire | Show | MemberChange
    | RoleChange | HistoryPage | HistoryFailed | Drained | Stalled | Violation | Told | Writing | Presence | Unwatched
    | HeldBack | Outrun | Renumbered | RolledBack | LogChanged
)  # fmt: skip
