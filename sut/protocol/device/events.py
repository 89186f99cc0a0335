"""What a Client is told at its making (ClientSettings) and what it tells its driver (the events).

Events are tuples, drained in the order in which they happened. A driver that ignores all but Stalled is still a
correct device; the others are for the screen and for the history.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from sut.protocol.frames import MAX_FETCH, Message


class OutboxFull(Exception):
    """submit() refused: `max_outbox` messages wait already. Definite: this message was not taken."""

    definite = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSettings:
    """Waits and bounds of a device. One instance serves any number of clients."""

    ack_timeout_s: float = 2.0
    """A SEND with no answer is sent again after this."""
    retry_max_s: float = 5.0
    """Cap of every back-off within a connection."""
    retry_base_s: float = 0.2
    """First bound of every back-off within a connection; it doubles up to `retry_max_s`."""
    give_up_s: float = 60.0
    """A message is dropped this long after its first transmission, its outcome unknown."""
    fetch_timeout_s: float = 2.0
    """A FETCH or SYNC with no answer is asked again after this."""
    beat_timeout_s: float = 5.0
    """Silence after a HEARTBEAT, or no WELCOME after the connection opened: the connection is dead."""
    page_limit: int = 100
    """Messages asked for in one FETCH."""
    reconnect_base_s: float = 0.2
    reconnect_cap_s: float = 5.0
    reconnect_fixed_s: float = 0.0
    """Not 0 only in the known-bad variant fixed_reconnect: no jitter, and no heed of DRAIN."""
    sync_every_beats: int = 10
    """A SYNC at least this often, should every other sign of a loss be lost too."""
    renumber: bool = True
    """A message whose client_seq turns out to be another message's goes out again under a new one. Without: it is
    Nacked, for an owner who has to encrypt it anew."""
    rewind: bool = True
    """A head below the cursor moves the cursor back. Without: it is reported as a Violation."""
    max_outbox: int = 1000
    """Messages submitted and not yet settled, all conversations together."""
    recv_every_s: float = 0.5
    """A conversation is reported as shown at most this often."""
    max_fetches: int = 8
    """FETCHes in flight at once; other conversations wait their turn."""
    max_history: int = 4
    """Questions for history in flight or waiting to be repeated."""
    max_history_attempts: int = 8
    max_buffered: int = 500
    """Messages kept above a gap, a conversation; more are dropped and come again by FETCH."""
    typing_every_s: float = 3.0
    """That one is writing in a conversation is said at most this often."""
    typing_lasts_s: float = 6.0
    """Somebody whose writing is not said again within this has stopped."""
    max_restated: int = 200
    """Conversations whose RECV and READ are said again with one SYNC, the newest."""
    max_signals: int = 65_536
    """(conversation, user, kind)s of receipts that are remembered; of others none is told. A sixteenth: of typists."""
    max_conversations: int = 65_536
    """Conversations a device follows; what arrives for more is reported as a Violation and ignored."""

    hold_s: float = 15.0
    """A message waits for what it names at most this long, while connected and awake; four times as long while the
    service does not answer. The next connection has the whole time again."""
    hold_connections: int = 5
    """... and for as many connections after the one on which it came."""
    max_held: int = 1000
    """Messages that wait for what they name, all conversations together."""

    def __post_init__(self) -> None:
        if not 1 <= self.page_limit <= MAX_FETCH:
            raise ValueError(f"page_limit is {self.page_limit}; 1 to {MAX_FETCH} are allowed")


class Online(NamedTuple):
    """WELCOME came and the first SYNC was answered to its end: what was missed is known, and being fetched."""

    epoch: int


class Sent(NamedTuple):
    """First transmission of this message."""

    conv: int
    client_seq: int


class SentAgain(NamedTuple):
    """This message was transmitted once more: no answer came, a refusal for now, or another connection."""

    conv: int
    client_seq: int


class Acked(NamedTuple):
    """The message is durable under `seq`. Once a message; never after Nacked(definite) or GaveUp."""

    conv: int
    client_seq: int
    seq: int


class Nacked(NamedTuple):
    """Refused. Definite: dropped, it will never appear. Not definite: it is retried, and this may come again."""

    conv: int
    client_seq: int
    code: int
    definite: bool


class Outrun(NamedTuple):
    """This device has used the client_seqs from `first` to `last` in a run that this one does not know of.

    So this run goes on from an older copy of the device's state. New messages are numbered above `last`.
    """

    first: int
    last: int


class Renumbered(NamedTuple):
    """`client_seq` is another message's; this one has the client_seq `new` now, and was not in the conversation."""

    conv: int
    client_seq: int
    new: int


class GaveUp(NamedTuple):
    """No answer for `give_up_s`: dropped, outcome unknown. Nothing more is said about its delivery."""

    conv: int
    client_seq: int


class Notified(NamedTuple):
    """A NOTIFY said that the conversation has reached `head`, which is news; its body is to be fetched."""

    conv: int
    head: int


class Wire(NamedTuple):
    """A message arrived, in whatever frame; duplicates included. An own message that only an ACK placed has none."""

    message: Message


class Show(NamedTuple):
    """Display this message now. Of each conversation: in rising seq, nothing left out, each number once."""

    message: Message


class MemberChange(NamedTuple):
    """A membership change, at its place among the Shows. `user` was added, or else removed."""

    conv: int
    seq: int
    user: int
    added: bool


class RoleChange(NamedTuple):
    """A change of roles, at its place among the Shows: `user` has this role from here on (0 member, 1 admin, 2 owner).

    A new owner's predecessor is an admin from then on, or has left with this number.
    """

    conv: int
    seq: int
    user: int
    role: int


class HistoryPage(NamedTuple):
    """The answer to `history`: what comes before, from `through` on, in rising order. Not shown, no cursor moves.

    Membership changes are among the messages, with their flags. through 1: there is nothing before.
    """

    req: int
    conv: int
    through: int
    messages: tuple[Message, ...]


class HistoryFailed(NamedTuple):
    """`history` had no answer in `max_history_attempts`, or a definite refusal, then `code` is not 0."""

    req: int
    conv: int
    code: int


class Told(NamedTuple):
    """Receipt: user `by` has got (kind 0) or read (1) everything up to `seq`. Of each, in rising seq."""

    conv: int
    seq: int
    kind: int
    by: int


class Writing(NamedTuple):
    """The user is writing there, or (active False) no longer."""

    conv: int
    user: int
    active: bool


class Presence(NamedTuple):
    """A watched user is online, or was last seen then (Unix ms, 0: not known). First word or a change."""

    user: int
    online: bool
    last_seen_ms: int


class Unwatched(NamedTuple):
    """The picture of this user ends: not watched any more, or the connection ended."""

    user: int


class HeldBack(NamedTuple):
    """The Show or MemberChange that follows waited this long for what it, or one before it, names; `late`: in vain."""

    conv: int
    seq: int
    for_s: float
    late: bool


class RolledBack(NamedTuple):
    """The service has this conversation up to `head` only; this device had shown it up to `cursor`.

    It was put back to an earlier copy. The cursor is at `head` now: other messages may take the numbers above it.
    """

    conv: int
    head: int
    cursor: int


class LogChanged(NamedTuple):
    """The numbers are of another log than on the last connection (`log` is its name, as in WELCOME)."""

    log: bytes


class Drained(NamedTuple):
    """The gateway is leaving; it will close. disconnected() then draws its wait below `base_ms`."""

    base_ms: int


class Stalled(NamedTuple):
    """The connection is dead though open: the driver must close it and call disconnected(). Once a connection."""

    reason: str


class Violation(NamedTuple):
    """The service broke its protocol; `text` says how. The client goes on as well as it can."""

    text: str


ClientEvent = (
    Online | Sent | SentAgain | Acked | Nacked | GaveUp | Notified | Wire | Show | MemberChange | RoleChange
    | HistoryPage | HistoryFailed | Drained | Stalled | Violation | Told | Writing | Presence | Unwatched | HeldBack
    | Outrun | Renumbered | RolledBack | LogChanged
)  # fmt: skip
