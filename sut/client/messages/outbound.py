"""From a written message to a SEND with a sequence number: draft, encryption, outbox.

A draft is encrypted when the connection is up and nothing else of its conversation is in flight. So it is encrypted for
the members of that moment, and names what was shown by then in other conversations (sut.protocol.causal). Missing keys
delay only one conversation. The messages of a conversation are sent in the order of writing.
"""

from __future__ import annotations

from collections import Counter, deque

from sut.client.core import CHANGED, Core, KeysOf, MembersOf
from sut.client.device.state import Draft, Outgoing
from sut.client.messages import payload as payloads
from sut.client.messages.cipher import CannotSeal, Changed, NeedKeys, Sealed
from sut.client.messages.payload import About, Payload
from sut.client.model import Conversation, Line
from sut.protocol import content as contents
from sut.protocol.content import Content, Text
from sut.protocol.device.events import Acked, GaveUp, Nacked
from sut.protocol.frames import Nack

REASONS = {
    Nack.NOT_MEMBER: "you are not a member any more",
    Nack.FOREIGN: "you were never a member",
    Nack.TOO_LARGE: "it is too large",
    Nack.NO_CONVERSATION: "there is no such conversation",
}
MAX_DRAFTS = 1_000
"""The largest number of drafts of one conversation."""


class Outbound:
    """The outgoing messages: drafts, messages in flight, and control messages of the encryption."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._drafts: dict[int, deque[Draft]] = {}
        self._flying: dict[int, Outgoing] = {}
        self._busy: Counter[int] = Counter()
        self._controls: list[tuple[int, Sealed]] = []
        self._warned: set[int] = set()
        for draft in core.state.drafts():
            self._drafts.setdefault(draft.conv, deque()).append(draft)
        for outgoing in core.state.outbox():
            self._flying[outgoing.client_seq] = outgoing
            self._busy[outgoing.conv] += 1

    @property
    def empty(self) -> bool:
        """True if every message has its sequence number, or has failed for good."""
        return not (self._flying or self._controls or any(self._drafts.values()))

    @property
    def waiting(self) -> int:
        """The number of messages that are not settled."""
        return len(self._flying) + len(self._controls) + sum(map(len, self._drafts.values()))

    @property
    def absent(self) -> list[int]:
        """The users without published keys for whom a message waits, which nobody else can receive."""
        ones = [self._core.conversations[conv] for conv, drafts in self._drafts.items() if drafts]
        return sorted({one.peer for one in ones if one.direct and one.peer in self._core.absent})

    def waits_for(self, user: int) -> bool:
        """Return True if a draft must be encrypted for this user."""
        conversations = self._core.conversations
        return any(drafts and user in conversations[conv].members for conv, drafts in self._drafts.items())

    def unsettled(self) -> list[tuple[int, int, bytes]]:
        """Return (conversation, client_seq, body) of each message in flight, for the machine at the start."""
        return [(one.conv, one.client_seq, one.body) for one in self._flying.values()]

    def write(self, one: Conversation, content: Content, *, text: str = "") -> None:
        """Queue content to send. With `text` it gets a line of its own. Raises CannotSeal when too many drafts wait."""
        core, now_ms = self._core, self._core.wall_ms()
        row = 0
        if len(self._drafts.get(one.conv, ())) >= MAX_DRAFTS:
            raise CannotSeal(f"{MAX_DRAFTS} messages wait already")
        if text:
            row = core.state.next_row()
            line = Line(row=row, conv=one.conv, user=core.me, device=core.device, at_ms=now_ms, text=text)
            core.put_line(one, line, new=True)
        self._put(one.conv, row, Payload(payloads.VERSION, core.name, now_ms, contents.encode(content)))

    def tell_about(self, one: Conversation) -> None:
        """Send the title and the known names to all members."""
        core = self._core
        names = tuple(sorted({core.names[user] for user in one.members if user in core.names}))
        about = About(one.title, names[: payloads.MAX_NAMES])
        self._put(one.conv, 0, Payload(payloads.VERSION, core.name, core.wall_ms(), b"", about))

    def control(self, conv: int, sealed: list[Sealed]) -> None:
        """Queue control messages of the encryption."""
        self._controls += [(conv, one) for one in sealed]

    def ready(self) -> list[Outgoing]:
        """Encrypt what can be sent now. Each result is in the state, which must be committed before the machine gets
        it.
        """
        out = [self._outgoing(conv, 0, sealed) for conv, sealed in self._controls]
        self._controls.clear()
        for conv, drafts in self._drafts.items():
            if drafts and self._core.online and not self._busy[conv]:
                out += self._seal(self._core.conversation(conv), drafts)
        if out:
            self._core.state.put("cipher", self._core.cipher.state())
        return out

    def acked(self, event: Acked) -> None:
        """Give the message its sequence number."""
        outgoing = self._land(event.client_seq, seq=event.seq)
        line = self._line(outgoing)
        if outgoing is not None and line is not None:
            line.seq = event.seq
            self._core.put_line(self._core.conversation(outgoing.conv), line, new=False)

    def lost(self, event: Nacked | GaveUp) -> None:
        """Mark the message as failed: it was refused for good, or no answer came in time."""
        outgoing = self._land(event.client_seq, seq=0)
        if outgoing is None:
            return
        code = event.code if isinstance(event, Nacked) else 0
        reason = REASONS.get(Nack(code), f"refused with code {code}") if code in set(Nack) else "no answer for days"
        one, line = self._core.conversation(outgoing.conv), self._line(outgoing)
        if code in (Nack.STALE, Nack.REUSED) and line is not None and line.text:
            self._write_again(one, line)
            return
        self._fail(one, line, reason)
        if code == Nack.NOT_MEMBER:
            one.known = False
            self._core.want(MembersOf(one.conv))

    def give_up(self, one: Conversation) -> None:
        """Drop the drafts of a conversation that this user has left."""
        for draft in self._drafts.pop(one.conv, ()):
            self._core.state.drop_draft(draft)
            line = self._core.line_in(one, draft.line)
            self._fail(one, line, REASONS[Nack.NOT_MEMBER])

    def _write_again(self, one: Conversation, line: Line) -> None:
        """Encrypt the text of the line again, before later messages: another message has used its idempotency key."""
        core = self._core
        line.client_seq = 0
        core.state.put_line(line)
        payload = Payload(payloads.VERSION, core.name, line.at_ms, contents.encode(Text(line.text)))
        draft = core.state.put_draft(one.conv, line.row, payloads.encode(payload))
        self._drafts.setdefault(one.conv, deque()).appendleft(draft)

    def _put(self, conv: int, row: int, payload: Payload) -> None:
        draft = self._core.state.put_draft(conv, row, payloads.encode(payload))
        self._drafts.setdefault(conv, deque()).append(draft)

    def _seal(self, one: Conversation, drafts: deque[Draft]) -> list[Outgoing]:
        core, draft = self._core, drafts[0]
        if not one.known:
            return []  # its members are being fetched
        others = [user for user in one.members if user != core.me]
        plaintext = payloads.sent(
            draft.payload,
            names=core.machine.dependencies(one.conv, core.clock()),
            devices=core.cipher.list_version(core.me),
        )
        try:
            sealed = self._seal_for(one, others, plaintext)
        except CannotSeal as problem:
            drafts.popleft()
            core.state.drop_draft(draft)
            self._fail(one, core.line_in(one, draft.line), str(problem))
            return []
        if not sealed:
            return []
        drafts.popleft()
        core.state.drop_draft(draft)
        return [self._outgoing(one.conv, draft.line if part is sealed[-1] else 0, part) for part in sealed]

    def _seal_for(self, one: Conversation, users: list[int], plaintext: bytes) -> list[Sealed]:
        """Return the bodies to send; empty while keys must be fetched or accepted first. Raises CannotSeal.

        A group does not wait for members whose keys have changed or who have never published any. They are left out,
        and ask for the messages that they missed once they have valid keys.
        """
        core, reached = self._core, list(users)
        while True:
            try:
                return core.cipher.seal(one.conv, reached, plaintext, direct=one.direct)
            except NeedKeys as need:
                for user in need.users:
                    core.want(KeysOf(user))
                without = set(need.users)
                if one.direct or not without <= core.absent & set(reached):
                    return []
            except Changed as changed:
                self._warn(changed.user, direct=one.direct)
                without = {changed.user}
                if one.direct or changed.user not in reached:
                    return []
            reached = [user for user in reached if user not in without]

    def _warn(self, user: int, *, direct: bool) -> None:
        if user not in self._warned:
            self._warned.add(user)
            core, name = self._core, self._core.called(user)
            core.say(CHANGED.format(name=name) + ("" if direct else f"; until then groups go on without {name}"))

    def accepted(self, user: int) -> None:
        """Allow a new warning for this user: a person has accepted their changed keys."""
        self._warned.discard(user)

    def _outgoing(self, conv: int, row: int, sealed: Sealed) -> Outgoing:
        core = self._core
        outgoing = Outgoing(core.state.take_client_seq(), conv, row, sealed.ref, sealed.body)
        core.state.put_outgoing(outgoing)
        self._flying[outgoing.client_seq] = outgoing
        self._busy[conv] += 1
        if (line := self._line(outgoing)) is not None:
            line.client_seq = outgoing.client_seq
            core.state.put_line(line)
        return outgoing

    def _land(self, client_seq: int, *, seq: int) -> Outgoing | None:
        outgoing = self._flying.pop(client_seq, None)
        if outgoing is not None:
            self._busy[outgoing.conv] -= 1
            self._core.state.drop_outgoing(outgoing, seq=seq)
        return outgoing

    def _line(self, outgoing: Outgoing | None) -> Line | None:
        if outgoing is None or not outgoing.line:
            return None
        return self._core.line_in(self._core.conversation(outgoing.conv), outgoing.line)

    def _fail(self, one: Conversation, line: Line | None, reason: str) -> None:
        if line is None:
            self._core.say(f"an update for {self._core.title(one)} was not sent: {reason}")
            return
        line.failed = reason
        self._core.put_line(one, line, new=False)
