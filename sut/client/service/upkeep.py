"""Background requests of a client to the API: fetch members, keys and receipts, and publish its own keys.

Each is an Errand, repeated until it succeeds or nobody needs it. Its result is applied in a step.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from sut.client.core import ConversationChanged, Core, Errand, KeysOf, MembersOf, Publish, ReceiptsOf
from sut.client.device.accounts import Accounts, Learned, NoKeys, Published
from sut.client.errors import ApiProblem, ClientError
from sut.client.messages.inbound import Inbound
from sut.client.messages.outbound import Outbound
from sut.client.model import Conversation, Line, LineKind
from sut.client.service.api import Api
from sut.protocol.signals import ReceiptKind

LOST = "the service lost it when it was put back to an older copy"
Step = Callable[[Callable[[float], object]], Awaitable[None]]


class Upkeep:
    """The background requests of one Chat; `step` is that Chat's method."""

    def __init__(
        self, core: Core, api: Api, accounts: Accounts, *, inbound: Inbound, outbound: Outbound, step: Step
    ) -> None:
        self._core = core
        self._api = api
        self._accounts = accounts
        self._inbound = inbound
        self._outbound = outbound
        self._step = step

    def needed(self, errand: Errand) -> bool:
        """Return True if the errand still has a purpose."""
        match errand:
            case MembersOf(conv):
                one = self._core.conversations.get(conv)
                return one is not None and not one.left
            case KeysOf(user):
                announced = user in self._core.newer
                return announced or self._inbound.waits_for(user) or self._outbound.waits_for(user)
            case ReceiptsOf() | Publish():
                return True

    async def do(self, errand: Errand) -> None:
        """Execute the errand once. Raises ApiProblem."""
        match errand:
            case MembersOf(conv):
                await self._fetch_members(conv)
            case ReceiptsOf(conv):
                await self._fetch_receipts(conv)
            case KeysOf(user):
                await self._fetch_keys(user)
            case Publish():
                await self._publish()

    async def _fetch_receipts(self, conv: int) -> None:
        try:
            found = await self._api.receipts(conv)
        except ApiProblem as problem:
            if problem.definite:
                return  # not a member any more
            raise

        def told(_now: float) -> None:
            one = self._core.conversation(conv)
            for progress in found:
                self.receipt(one, progress.user, ReceiptKind.DELIVERED, progress.delivered)
                self.receipt(one, progress.user, ReceiptKind.READ, progress.read)

        await self._step(told)

    async def _publish(self) -> None:
        self._must_be_listed()
        try:
            done = await self._accounts.publish()
        except ApiProblem as problem:
            if problem.status == 409:
                learned = await self._accounts.fetch(self._core.me)
                await self._step(lambda _now: self._accounts.outranked(learned))
                self._must_be_listed()
            raise
        await self._step(lambda _now: self._published(done))

    def _must_be_listed(self) -> None:
        if not self._accounts.listed:
            raise ClientError(f"this device is not one of {self._core.name}'s any more; its messages can still be read")

    async def _fetch_keys(self, user: int) -> None:
        try:
            learned = await self._accounts.fetch(user)
        except NoKeys:
            await self._step(lambda _now: self._no_keys(user))
            raise
        except ApiProblem:
            await self._step(lambda _now: self._inbound.keys_stay_away(user))
            raise
        await self._step(lambda _now: self._keys_came(user, learned))
        self._must_be_listed()

    def _no_keys(self, user: int) -> None:
        self._accounts.absent(user)
        self._inbound.keys_stay_away(user)

    def _keys_came(self, user: int, learned: Learned) -> None:
        self._accounts.learn(user, learned)
        if self._core.newer.get(user, 0) <= self._core.cipher.list_version(user):
            self._core.newer.pop(user, None)
        self._inbound.keys_came(user)

    def _published(self, done: Published) -> None:
        if self._accounts.published(done):
            self._core.want(Publish())
        if self._accounts.is_news(done):  # senders must know the devices to encrypt for
            for one in self._core.conversations.values():
                if one.known and not one.left:
                    self._outbound.tell_about(one)

    async def _fetch_members(self, conv: int) -> None:
        before = self._core.conversation(conv).cursor
        try:
            found = await self._api.members(conv)
        except ApiProblem as problem:
            if problem.status not in (403, 404):
                raise
            await self._step(lambda _now: self.gone(conv))
            return
        if self._core.conversation(conv).cursor != before:
            raise ApiProblem("the members changed during the request; the answer may be outdated")
        members = {member.user: member.first for member in found.members}
        await self._step(lambda _now: self.learn_members(conv, members, direct=found.kind == "direct"))

    def gone(self, conv: int) -> None:
        """In a step: note that this user is not a member of the conversation any more."""
        one = self._core.conversations[conv]
        if not one.left:
            one.left, one.known = True, True
            one.members.pop(self._core.me, None)
            self._core.state.put_conversation(one)
            self._core.state.put_members(one)
            self._outbound.give_up(one)
            line = Line(row=self._core.state.next_row(), conv=conv, kind=LineKind.NOTICE, seq=one.cursor)
            line.at_ms, line.text = self._core.wall_ms(), "you are not a member of this group any more"
            self._core.put_line(one, line, new=True)
            self._inbound.resume()
            self._core.updates.append(ConversationChanged(conv))

    def learn_members(self, conv: int, members: dict[int, int], *, direct: bool) -> Conversation:
        """In a step: store the kind and the members of a conversation, as fetched from the service."""
        core = self._core
        one = core.conversations.get(conv) or core.made(conv, direct=direct)
        one.direct, one.known, one.left, one.members = direct, True, core.me not in members, dict(members)
        others = [user for user in members if user != core.me]
        one.peer = others[0] if direct and others else 0
        core.state.put_conversation(one)
        core.state.put_members(one)
        core.updates.append(ConversationChanged(conv))
        self._inbound.resume()
        return one

    def rolled_back(self, one: Conversation, head: int, cursor: int) -> None:
        """In a step: the service was restored from an older copy. Keep the messages that it lost, and mark them as
        lost.
        """
        core, lost = self._core, cursor - head
        self._inbound.rewind(one.conv, head)
        core.state.rewind(one, head)
        for line in [line for line in one.lines if line.seq > head]:
            line.seq = head
            if line.user == core.me and line.kind is LineKind.TEXT:
                line.failed = LOST
            core.put_line(one, line, new=False)
        one.receipts = {key: min(seq, head) for key, seq in one.receipts.items()}
        one.read = min(one.read, head)
        core.state.put_conversation(one)
        text = f"the service was put back to an older copy: the {lost} newest here are on this device only"
        notice = Line(row=core.state.next_row(), conv=one.conv, kind=LineKind.NOTICE, seq=head, at_ms=core.wall_ms())
        notice.text = text
        core.put_line(one, notice, new=True)
        core.say(f"{core.title(one)}: {text}")

    def receipt(self, one: Conversation, by: int, kind: int, seq: int) -> None:
        """In a step: store a receipt of user `by`: they have received or read everything up to `seq`."""
        if by == self._core.me and kind == ReceiptKind.READ and seq > one.read:  # read on another device
            one.read = seq
            self._core.state.put_conversation(one)
        if seq > one.receipts.get((by, kind), 0):
            one.receipts[by, kind] = seq
            self._core.state.put_receipt(one.conv, by, kind, seq)
            self._core.updates.append(ConversationChanged(one.conv))
