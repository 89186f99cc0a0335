"""Keeps one device connected: discovery, token, WebSocket, and the timers of the protocol's client machine.

`Link` owns the socket and the waits; its `Desk` handles the events of the machine. The link touches the machine only
under the desk's lock. Frames reach the socket only after the desk has committed the state that they depend on.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, WebSocketException

from sut.client.errors import ApiProblem, ClientError, sentence
from sut.client.service.api import Api
from sut.protocol.device.client import Client
from sut.protocol.device.liveness import SLOWEST_BPS
from sut.protocol.frames import Close, FrameError

CONNECT_S: Final = 5.0
SEND_S: Final = 5.0
"""Seconds for a gateway to take frames, plus their transfer time at SLOWEST_BPS.

After that the connection is dropped.
"""
AVOID_S: Final = 3.0
"""Seconds for which a gateway that failed is avoided, if there is another one."""
LONGEST_SLEEP_S: Final = 60.0
REVOKED: Final = 4410
"""The WebSocket close code for a device that was revoked."""
MAX_MESSAGE: Final = 4 << 20
"""The largest WebSocket message in bytes. A PAGE of 200 bodies of 16 KB is below it."""
_LOGGER = logging.getLogger(__name__)


class Status(NamedTuple):
    """The status of the connection, for the person. `until`: when a wait ends, by the link's clock."""

    state: str
    """One of: waiting to be added, connecting, syncing, online, waiting, stopped."""
    gateway: str = ""
    reason: str = ""
    until: float = 0.0


class Desk(Protocol):
    """The owner of the machine.

    It runs `act` under its lock, handles and saves the events, and then sends the frames.
    """

    @property
    def machine(self) -> Client:
        """The client machine. It may be touched only in `act`."""

    async def step(self, act: Callable[[float], object]) -> None:
        """Call `act` with the current time, and handle everything that follows from it."""

    def status(self, status: Status) -> None:
        """Take the new status of the connection."""


class Dead(Exception):
    """The connection is not usable any more; the text says why."""


class Noticing(ClientConnection):
    """A connection that reports every chunk of bytes. On a slow link an unfinished message takes a while to arrive."""

    def data_received(self, data: bytes) -> None:
        """Report the bytes, then process them. See asyncio.Protocol."""
        self.heard()
        super().data_received(data)

    def heard(self) -> None:
        """Called for each chunk of bytes. The owner of the connection replaces it."""


class Link:
    """The connection of one device. Set desk.send = link.send, then call `run` once."""

    def __init__(self, api: Api, desk: Desk, *, clock: Callable[[], float]) -> None:
        self._api = api
        self._desk = desk
        self._clock = clock
        self._socket: ClientConnection | None = None
        self._avoid: dict[str, float] = {}
        self._urls: tuple[str, ...] = ()
        self._alarm = asyncio.Event()
        self.dead = ""
        """Why the machine wants the connection dropped; empty while it does not. The desk sets it on Stalled."""

    async def run(self) -> None:
        """Connect again and again until cancelled. Raises ClientError when a new attempt would be pointless."""
        fresh_token = False
        while True:
            reason = "connection lost"
            url = ""
            try:
                self._desk.status(Status("connecting"))
                url = await self._pick()
                token = await self._api.token(fresh=fresh_token)
                fresh_token = False
                await self._one_connection(url, token)
            except Dead as error:
                reason = str(error)
            except FrameError as error:
                reason = f"the gateway broke the protocol: {error}"
            except ConnectionClosed as closed:
                reason = self._ended(closed)
            except InvalidStatus as refused:
                fresh_token = refused.response.status_code == 401
                reason = (
                    f"refused with {refused.response.status_code}: {refused.response.body.decode(errors='replace')}"
                )
                self._avoid[url] = self._clock() + AVOID_S
            except ApiProblem as problem:
                if problem.definite:
                    raise ClientError(str(problem)) from None
                reason = str(problem)
            except (OSError, TimeoutError, InvalidHandshake, WebSocketException) as error:
                reason = sentence(error)
                self._avoid[url] = self._clock() + AVOID_S
            await self._wait(" ".join(reason.split()))

    async def send(self, frames: list[bytes]) -> None:
        """Write frames to the socket, if there is one, and let the timer read the machine's next wakeup. Called by the
        desk.
        """
        self._alarm.set()
        socket = self._socket
        if socket is None or self.dead:
            return
        try:
            async with asyncio.timeout(SEND_S + sum(map(len, frames)) / SLOWEST_BPS):
                for frame in frames:
                    await socket.send(frame)
        except TimeoutError:
            self.dead = "the gateway accepts no data"
        except ConnectionClosed:
            pass  # the reader raises it

    async def _pick(self) -> str:
        with contextlib.suppress(ApiProblem):
            self._urls = await self._api.gateways()
        now = self._clock()
        self._avoid = {url: until for url, until in self._avoid.items() if until > now}
        good = [url for url in self._urls if url not in self._avoid] or list(self._urls)
        if not good:
            self._urls = await self._api.gateways()  # raises the reason
            raise Dead("no gateway is known")
        return good[0]

    async def _one_connection(self, url: str, token: str) -> None:
        machine, self.dead = self._desk.machine, ""
        socket = await connect(
            f"{url}?log=1",
            additional_headers={"Authorization": f"Bearer {token}"},
            ssl=self._api.trust if url.startswith("wss:") else None,
            compression=None,
            proxy=None,
            open_timeout=CONNECT_S,
            close_timeout=1.0,
            ping_interval=None,
            max_size=MAX_MESSAGE,
            create_connection=Noticing,
        )
        assert isinstance(socket, Noticing)
        socket.heard = lambda: machine.heard(self._clock())  # type: ignore[method-assign]
        gateway = self._api.label(urlsplit(url).netloc)
        self._socket = socket
        tasks: list[asyncio.Task[None]] = []
        try:
            self._desk.status(Status("syncing", gateway))
            await self._desk.step(machine.connected)
            tasks = [asyncio.create_task(self._read(socket)), asyncio.create_task(self._tick())]
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            self._socket = None
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await socket.close()

    async def _read(self, socket: ClientConnection) -> None:
        machine = self._desk.machine
        while True:
            data = await socket.recv(decode=False)
            if isinstance(data, str):
                raise Dead("the gateway sent a text frame")
            await self._desk.step(lambda now, data=data: machine.receive(data, now))  # type: ignore[misc]

    async def _tick(self) -> None:
        machine = self._desk.machine
        while True:
            if self.dead:
                raise Dead(self.dead)
            self._alarm.clear()
            wait_s = min(max(0.0, machine.next_wakeup() - self._clock()), LONGEST_SLEEP_S)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._alarm.wait()
                    continue
            await self._desk.step(machine.tick)

    async def _wait(self, reason: str) -> None:
        wait_s = 0.0

        def ended(now: float) -> None:
            nonlocal wait_s
            wait_s = self._desk.machine.disconnected(now)

        await self._desk.step(ended)
        self._desk.status(Status("waiting", reason=reason, until=self._clock() + wait_s))
        _LOGGER.info("disconnected: %s; next attempt in %.1f s", reason, wait_s)
        await asyncio.sleep(wait_s)
        await self._desk.step(self._desk.machine.tick)

    @staticmethod
    def _ended(closed: ConnectionClosed) -> str:
        """Return why the gateway closed the connection. Raises ClientError when this device must not reconnect."""
        code = closed.rcvd.code if closed.rcvd is not None else 0
        if code == Close.REPLACED:
            raise ClientError("another program connected as this device; this one stops")
        if code == REVOKED:
            raise ClientError("this device was revoked")
        return f"closed by the gateway with {code}" if code else "the connection broke"
