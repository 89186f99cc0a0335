"""One embedded system for all tests of the client, and people who chat through it inside the test's process."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from sut.client.actions import Actions
from sut.client.chat import Chat
from sut.client.core import LineChanged, Said, StatusChanged, Update
from sut.client.model import Conversation, Delivery, Line, LineKind
from sut.client.names import DEVICE
from sut.client.service.api import Access
from sut.client.terminal.start import state_path
from sut.deploy.system import System
from sut.deploy.topology import Settings
from tests.kit import shared
from tests.kit.waits import until
from tests.kit.whole import embedded

PATIENCE_S = 60.0
"""For what takes tenths of a second on a machine that does nothing else."""


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    yield shared.keep(embedded(tmp_path_factory.mktemp("system"), Settings(heartbeat_s=2)))
    shared.end()


def access_to(running: System) -> Access:
    labels = {f"{one.host}:{one.ports['ws']}": one.name for one in running.topology.of_kind("gateway")}
    return Access(running.topology.api_url, operator_key=running.topology.api_key, labels=labels)


class Person:
    """Somebody with a client, and what it told them."""

    def __init__(self, chat: Chat, updates: list[Update], being: asyncio.Task[None] | None = None) -> None:
        self.chat = chat
        self._being = being
        self.core = chat.core
        self.do = Actions(chat)
        self._updates = updates

    @property
    def said(self) -> list[str]:
        return [update.text for update in self._updates if isinstance(update, Said)]

    @property
    def shown(self) -> list[Line]:
        """Lines in the order in which they came to the screen."""
        return [update.line for update in self._updates if isinstance(update, LineChanged) and update.new]

    @property
    def ended(self) -> str:
        """Why the client stopped by itself; empty: it has not."""
        if self._being is None or not self._being.done():
            return ""
        return str(self._being.exception())

    @property
    def states(self) -> list[str]:
        return [update.status.state for update in self._updates if isinstance(update, StatusChanged)]

    def sees(self, other: Person) -> bool | None:
        """Whether the other one is online; None: it was not told."""
        presence = self.core.presence.get(other.core.me)
        return presence.online if presence is not None else None

    def talk(self, conv: int) -> Conversation:
        return self.core.conversations[conv]

    def texts(self, conv: int) -> list[str]:
        one = self.core.conversations.get(conv)
        lines = one.lines if one is not None else []
        return [f"{self.core.called(line.user)}: {line.text}" for line in lines if line.kind is LineKind.TEXT]

    def deliveries(self, conv: int) -> list[Delivery]:
        one = self.talk(conv)
        return [one.delivery(line, self.core.me) for line in one.lines if line.user == self.core.me]

    async def until(
        self,
        condition: Callable[[], object],
        timeout_s: float = PATIENCE_S,
        *,
        others: tuple[Person, ...] = (),
        fails: bool = True,
    ) -> None:
        """Look until it holds; fail when it does not in time, and tell of these others too.

        `fails`: also when the client stops before.
        """

        def held() -> object:
            assert not self.ended or not fails or condition(), f"{self.ended}\n{self.story()}"
            return condition()

        await until(held, timeout_s, told=lambda: "\n".join(one.story() for one in (self, *others)))

    def story(self) -> str:
        """What is known of this client, for whoever reads why a test failed."""
        texts = {conv: [line.text for line in one.lines] for conv, one in self.core.conversations.items()}
        waits = f"{self.chat.outbound.waiting} to send, errands {list(self.chat.errands.waiting)}"
        return f"{self.core.name}: {texts}; {waits}; said {self.said}; was {self.states}; {self.chat.connection}"


@contextlib.asynccontextmanager
async def person(
    access: Access, name: str, directory: Path, *, device: str = DEVICE, joins: bool = True
) -> AsyncIterator[Person]:
    """Somebody at their terminal, connected (or, without `joins`, maybe not); at the end they leave it.

    All tests share one system: a name that another test has used, with another state, is that person's second device.
    """
    updates: list[Update] = []
    path = state_path(directory, system="", name=name, device=device)
    async with Chat.open(access, name=name, device_name=device, path=path, listener=updates.append) as chat:
        being = asyncio.create_task(chat.run())
        one = Person(chat, updates, being)
        try:
            await one.until(lambda: chat.core.online or (one.said and not joins))
            yield one
        finally:
            being.cancel()
            await asyncio.gather(being, return_exceptions=True)
