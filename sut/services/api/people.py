"""Receipts and presence over HTTP: what each user received and read of a conversation, and who is online.

Connected devices get both as events. This API is for devices that were away, and for clients without a connection.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from sut.ports import MessageStore, Presence, Unavailable
from sut.process.partitioning import partition_of
from sut.process.peer import PeerLink
from sut.protocol.frames import Nack
from sut.protocol.peer import ReadReceipts, ReceiptsOf
from sut.protocol.signals import ReceiptKind
from sut.services.api.control import Denied
from sut.services.api.ids import both
from sut.services.api.model import Progress, Progresses, Seen, SeenUsers
from sut.services.sequencer.state import Conversation
from sut.services.visibility import known_to

ASK_TIMEOUT_S: Final = 0.5


class People:
    """Asks the sequencers, the store and the presence store."""

    def __init__(self, *, sequencers: Mapping[int, PeerLink], store: MessageStore, presence: Presence) -> None:
        """`sequencers`: the link to the owner of each log partition."""
        self._sequencers = sequencers
        self._store = store
        self._presence = presence

    async def receipts(self, conv: int, user: int) -> Progresses:
        """Return the highest numbers of each user with receipts, to a present or past member. Raises Denied,
        Unavailable.

        A removed user learns nothing from after the removal: no number beyond it, and nothing of users who came later.
        The store follows with a delay; the sequencer knows the newest numbers, unless it has just started.
        """
        link = self._sequencers[partition_of(conv, len(self._sequencers))]
        try:
            answer = await link.ask(ReadReceipts(conv, user), ASK_TIMEOUT_S)
        except Unavailable:
            answer = ReceiptsOf(hit=False, items=())
        assert isinstance(answer, ReceiptsOf)
        head, known = answer.head, frozenset(answer.known)
        if not answer.hit and (image := await self._store.load(conv)) is not None:
            head, known = known_to(user, Conversation.from_image(image).spans, image.row.head)
        if user not in known:
            raise Denied(Nack.FOREIGN)
        highest = await self._store.receipts(conv)
        for by, kind, seq in answer.items:
            highest[by, kind] = max(seq, highest.get((by, kind), 0))
        highest = {(by, kind): min(seq, head) for (by, kind), seq in highest.items() if by in known}
        users = sorted({by for by, _ in highest})
        return Progresses(
            [
                Progress(*both(by), highest.get((by, ReceiptKind.DELIVERED), 0), highest.get((by, ReceiptKind.READ), 0))
                for by in users
            ]
        )

    async def seen(self, users: Sequence[int]) -> SeenUsers:
        """Return the users' presence in the order of `users`. Raises Unavailable."""
        found = await self._presence.look(users)
        return SeenUsers([Seen(*both(user), *found.get(user, (False, 0))) for user in users])
