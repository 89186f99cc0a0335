"""The API's application on a real socket, with real files for devices and keys, a registry in memory, a sequencer that
agrees to everything, and conversations that are nobody's.
"""

import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from pathlib import Path

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from sut.adapters.sqlite.devices import SqliteDevices
from sut.adapters.sqlite.keys import SqliteKeys
from sut.deploy.topology import Service, Topology
from sut.process.revoked import Revoked
from sut.process.trace import OFF, Trace
from sut.protocol.frames import Nack
from sut.protocol.tokens import issue
from sut.services.api.control import Creation, Denied
from sut.services.api.http import make_app
from sut.services.api.model import Seen, SeenUsers

KEY = bytes(range(32))
API_KEY = "the operator's key"
TOPOLOGY = Topology(
    run_id="test",
    profile="test",
    dir="/nonexistent",
    token_key=KEY.hex(),
    api_key=API_KEY,
    services=(Service(name="gateway-1", kind="gateway", ports={"ws": 1, "peer": 2}),),
)


class Agreeing:
    """In the place of Control: every change gets number 7, or what `denies` says."""

    def __init__(self) -> None:
        self.denies: Exception | None = None
        self.asked: list[tuple[object, ...]] = []

    async def create(self, creations: Sequence[Creation]) -> None:
        for made in creations:
            self._answer("create", *made)

    async def add(self, conv: int, by: int, user: int) -> int:
        return self._answer("add", conv, by, user)

    async def remove(self, conv: int, by: int, user: int) -> int:
        return self._answer("remove", conv, by, user)

    async def name(self, conv: int, by: int, user: int, role: int) -> int:
        return self._answer("name", conv, by, user, role)

    def _answer(self, *asked: object) -> int:
        self.asked.append(asked)
        if self.denies:
            raise self.denies
        return 7


class NoRegistry:
    """In the place of the registry: no gateway has a lease."""

    async def gateways(self) -> dict[str, tuple[int, str]]:
        return {}


class Nobodys:
    """In the place of Conversations and People: nobody is in any conversation, and nobody is there."""

    async def members(self, conv: int, user: int) -> None:
        raise Denied(Nack.FOREIGN)

    async def messages(self, conv: int, user: int, *, before: int, limit: int) -> None:
        raise Denied(Nack.FOREIGN)

    async def receipts(self, conv: int, user: int) -> None:
        raise Denied(Nack.FOREIGN)

    async def seen(self, users: list[int]) -> SeenUsers:
        return SeenUsers([Seen(user, str(user), online=False, last_seen_ms=0) for user in users])


def token(user: int = 1, device: int = 11, *, key: bytes = KEY, ttl_s: float = 60, now_s: float | None = None) -> str:
    """A device's token."""
    return issue(key, user, device, ttl_s, time.time() if now_s is None else now_s)


@contextlib.asynccontextmanager
async def application(
    control: Agreeing, revoked: Revoked | None = None, trace: Trace = OFF
) -> AsyncIterator[web.Application]:
    """All routes."""
    with tempfile.TemporaryDirectory() as directory:
        devices, keys = SqliteDevices(Path(directory), 8), SqliteKeys(Path(directory), 8)
        nobodys = Nobodys()
        try:
            yield make_app(
                TOPOLOGY,
                control,  # type: ignore[arg-type]
                NoRegistry(),  # type: ignore[arg-type]
                revoked,
                conversations=nobodys,  # type: ignore[arg-type]
                devices=devices,
                keys=keys,
                people=nobodys,  # type: ignore[arg-type]
                trace=trace,
            )
        finally:
            await trace.close()
            await devices.close()
            await keys.close()


def with_api(
    scenario: Callable[[TestClient, Agreeing], Coroutine[None, None, None]],
    revoked: Revoked | None = None,
    *,
    traced: Path | None = None,
) -> None:
    """Run a scenario against the API. `traced`: the file of its stamps."""

    async def live() -> None:
        control = Agreeing()
        trace = Trace(traced, every=1) if traced is not None else OFF
        async with application(control, revoked, trace) as app, TestClient(TestServer(app)) as client:
            await scenario(client, control)

    asyncio.run(live())
