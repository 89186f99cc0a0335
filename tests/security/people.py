"""Users and devices against a running system, over its real API and gateways; for tests that try what they may not."""

import asyncio
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterable
from typing import Any

import websockets
from websockets.exceptions import ConnectionClosed

from sut.deploy.topology import Topology
from sut.protocol import frames as f


class Answer(Exception):
    """A refusal of the API: `status`, and what it says."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status}: {text}")
        self.status = status


class Api:
    """The HTTP API, as one client after the other."""

    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self._secure = ssl.create_default_context(cafile=topology.tls.ca) if topology.tls is not None else None

    def call(self, method: str, path: str, key: str = "", body: object = None) -> Any:
        """The answer. Raises Answer when it is a refusal."""
        data = json.dumps(body).encode() if body is not None else None
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
        request = urllib.request.Request(self._topology.api_url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=10, context=self._secure) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise Answer(error.code, json.load(error)["error"]) from None

    def status(self, method: str, path: str, key: str = "", body: object = None) -> int:
        """The status that the call is refused with; 200 when it is not."""
        try:
            self.call(method, path, key, body)
        except Answer as answer:
            return answer.status
        return 200

    def tokens(self, devices: Iterable[tuple[int, int]]) -> list[str]:
        """A token for each (user, device)."""
        wanted = {"devices": [{"user": user, "device": device} for user, device in devices]}
        return [item["token"] for item in self.call("POST", "/v1/tokens", self._topology.api_key, wanted)["tokens"]]

    def group(self, token: str, members: list[int], key: str) -> int:
        """A group of the token's user."""
        body = {"kind": "group", "members": members, "key": key}
        return int(self.call("POST", "/v1/conversations", token, body)["conversation"])


class Phone:
    """A device on a connection."""

    def __init__(self, socket: websockets.ClientConnection) -> None:
        self.socket = socket

    async def next(self, timeout_s: float = 5.0) -> f.ServerFrame:
        """The next frame."""
        async with asyncio.timeout(timeout_s):
            data = await self.socket.recv()
        assert isinstance(data, bytes)
        return f.decode_server(data)

    async def tell(self, frame: f.ClientFrame) -> None:
        """Send a frame that is not answered."""
        await self.socket.send(f.encode(frame))

    async def ask(self, frame: f.ClientFrame, timeout_s: float = 5.0) -> f.ServerFrame:
        """The answer, past notifications that come between."""
        await self.tell(frame)
        while isinstance(answer := await self.next(timeout_s), f.Notify | f.Message):
            pass
        return answer

    async def beats(self) -> bool:
        """Whether the connection still lives."""
        return isinstance(await self.ask(f.Heartbeat()), f.Beat)

    async def close_code(self, timeout_s: float = 5.0) -> int:
        """With what the gateway ends the connection; what comes before is dropped."""
        async with asyncio.timeout(timeout_s):
            while True:
                try:
                    await self.socket.recv()
                except ConnectionClosed as error:
                    return error.rcvd.code if error.rcvd else 1006


async def phone(topology: Topology, token: str, gateway: int = 0) -> Phone:
    """A device that has been welcomed at the gateway of this index."""
    url = topology.gateway_url(topology.of_kind("gateway")[gateway], "/v1/ws")
    secure = ssl.create_default_context(cafile=topology.tls.ca) if topology.tls is not None else None
    headers = {"Authorization": f"Bearer {token}"}
    socket = await websockets.connect(url, additional_headers=headers, compression=None, ssl=secure, close_timeout=1)
    connected = Phone(socket)
    assert isinstance(await connected.next(), f.Welcome)
    return connected
