"""The API's application on a real socket, with a registry in memory and a sequencer that agrees to everything."""

import asyncio
import time
from collections.abc import Callable, Coroutine

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from sut.deploy.topology import Service, Topology
from sut.protocol.tokens import issue
from sut.services.api.http import make_app

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

    async def create(self, conv: int, creator: int, *, kind: str, members: tuple[int, ...]) -> int:
        return self._answer("create", conv, creator, kind, members)

    async def add(self, conv: int, by: int, user: int) -> int:
        return self._answer("add", conv, by, user)

    async def remove(self, conv: int, by: int, user: int) -> int:
        return self._answer("remove", conv, by, user)

    def _answer(self, *asked: object) -> int:
        self.asked.append(asked)
        if self.denies:
            raise self.denies
        return 7


class NoRegistry:
    """In the place of the registry: no gateway has a lease."""

    async def gateways(self) -> dict[str, tuple[int, str]]:
        return {}


def token(user: int = 1, device: int = 11, *, key: bytes = KEY, ttl_s: float = 60, now_s: float | None = None) -> str:
    """A device's token."""
    return issue(key, user, device, ttl_s, time.time() if now_s is None else now_s)


def application(control: Agreeing) -> web.Application:
    """All routes."""
    return make_app(TOPOLOGY, control, NoRegistry())  # type: ignore[arg-type]


def with_api(scenario: Callable[[TestClient, Agreeing], Coroutine[None, None, None]]) -> None:
    """Run a scenario against the API."""

    async def live() -> None:
        control = Agreeing()
        async with TestClient(TestServer(application(control))) as client:
            await scenario(client, control)

    asyncio.run(live())
