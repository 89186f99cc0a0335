"""Three people with real encryption over the whole embedded system; and then nothing of what they said is in it."""

from __future__ import annotations

import asyncio
import base64
import json
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
import websockets

from chaos.run.canary import Hunt, new_mark
from sut.crypto.account import Account
from sut.crypto.errors import NoSession, Unreadable
from sut.crypto.prekeys import Bundle
from sut.deploy.topology import Settings, Topology
from sut.protocol import frames as f
from tests.kit.pace import scaled
from tests.kit.whole import call, create, embedded, gateways, tokens

NOW_S = 1_800_000_000
T = TypeVar("T")


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("system")


@pytest.fixture(scope="module")
def running(directory: Path):
    with embedded(directory, Settings(heartbeat_s=5)) as started:
        yield started


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


class Person:
    """A chat client with encryption, as simple as can be: one device, keys over HTTP, frames over a WebSocket."""

    def __init__(self, topology: Topology, user: int, token: str) -> None:
        self.topology, self.user, self.token = topology, user, token
        self.account = Account.create(user=user, device=user, now_s=NOW_S)
        self.client_seq = 0
        self.publish()

    def publish(self) -> int:
        publication = self.account.publication()
        body = {
            "identity_key": text(publication.identity_key),
            "signed_prekey": {
                "number": publication.signed_number,
                "key": text(publication.signed_key),
                "signature": text(publication.signature),
            },
            "one_time": [{"number": number, "key": text(key)} for number, key in publication.one_time],
            "device_list": {"version": 1, "data": text(self.account.device_list)},
        }
        left = call(self.topology, "/v1/keys", body, self.token, "PUT")["one_time"]
        self.account.published(publication)
        return left

    def learn(self, user: int) -> None:
        decode = base64.b64decode
        found = call(self.topology, f"/v1/users/{user}/keys", None, self.token, "GET")
        bundles = [
            Bundle(
                one["device"],
                decode(one["identity_key"]),
                one["signed_prekey"]["number"],
                decode(one["signed_prekey"]["key"]),
                decode(one["signed_prekey"]["signature"]),
                *((one["one_time"]["number"], decode(one["one_time"]["key"])) if one["one_time"] else (0, b"")),
            )
            for one in found["devices"]
        ]
        self.account.learn(user, decode(found["device_list"]), bundles)

    def knowing(self, action: Callable[[], T]) -> T:
        while True:
            try:
                return action()
            except NoSession as error:
                for user in error.users:
                    self.learn(user)

    def direct(self, conv: int, other: int, said: bytes) -> bytes:
        return self.knowing(lambda: self.account.seal_direct(conv, [other], said))

    def group(self, conv: int, users: tuple[int, ...], said: bytes) -> list[bytes]:
        return self.knowing(lambda: self.account.seal_group(conv, users, said))

    async def connect(self) -> None:
        urls = gateways(self.topology)
        headers = {"Authorization": f"Bearer {self.token}"}
        self.socket = await websockets.connect(urls[0], additional_headers=headers, compression=None)
        assert isinstance(await self.next(), f.Welcome)

    async def next(self):
        async with asyncio.timeout(scaled(5)):
            return f.decode_server(await self.socket.recv())

    async def ask(self, frame, kind):
        await self.socket.send(f.encode(frame))
        while not isinstance(answer := await self.next(), kind):
            pass
        return answer

    async def say(self, conv: int, *bodies: bytes) -> int:
        for body in bodies:
            self.client_seq += 1
            seq = (await self.ask(f.Send(conv, self.client_seq, body), f.Ack)).seq
        return seq

    async def read(self, conv: int, after: int = 0) -> list[bytes | None]:
        """What others said above a number, decrypted."""
        page = await self.ask(f.Fetch(1, conv, after, 100), f.Page)
        return [
            self.knowing(lambda m=m: self.account.open(conv, sender=(m.user, m.device), body=m.body)).plaintext
            for m in page.messages
            if not m.flags and m.device != self.user
        ]


def test_the_api_guards_the_shelf(running) -> None:
    topology = running.topology
    token_of = tokens(topology, 11, 12)
    bob, alice = Person(topology, 12, token_of[12]), Person(topology, 11, token_of[11])
    assert call(topology, "/v1/keys/count", None, bob.token, "GET") == {"one_time": 100}
    assert bob.publish() == 100, "nothing new"

    def status(method: str, path: str, key: str, body: object = None) -> int:
        try:
            call(topology, path, body, key, method)
        except urllib.error.HTTPError as error:
            assert "error" in json.load(error)
            return error.code
        return 200

    assert status("GET", "/v1/keys/count", "forged") == 401
    assert status("PUT", "/v1/keys", "forged", {}) == 401
    assert status("GET", "/v1/users/12/keys", "forged") == 401
    assert status("PUT", "/v1/keys", alice.token, {"identity_key": text(b"short")}) == 400
    older = {"version": 1, "data": text(b"another list of this version")}
    keys = {"number": 1, "key": text(bytes(32)), "signature": text(bytes(64))}
    body = {"identity_key": text(bytes(32)), "signed_prekey": keys, "device_list": older}
    assert status("PUT", "/v1/keys", alice.token, body) == 409
    assert status("GET", f"/v1/users/{1 << 63}/keys", alice.token) == 404
    assert call(topology, "/v1/users/99/keys", None, alice.token, "GET") == {"devices": [], "device_list": ""}
    before = call(topology, "/v1/keys/count", None, bob.token, "GET")["one_time"]
    assert call(topology, "/v1/users/12/keys?one_time=no", None, alice.token, "GET")["devices"][0]["one_time"] is None
    assert call(topology, "/v1/keys/count", None, bob.token, "GET")["one_time"] == before
    taken = [call(topology, "/v1/users/12/keys", None, alice.token, "GET")["devices"][0]["one_time"] for _ in range(12)]
    numbers = [one["number"] for one in taken if one]
    assert len(numbers) == len(set(numbers)) == 8, "then the signed prekey has to do"
    assert call(topology, "/v1/keys/count", None, bob.token, "GET")["one_time"] == before - 8
    assert {status("GET", "/v1/users/12/keys?one_time=no", alice.token) for _ in range(700)} == {200, 429}


def test_three_people_chat_and_the_system_knows_not_a_byte_of_it(running, directory: Path) -> None:
    topology = running.topology
    token_of = tokens(topology, 1, 2, 3)
    canary, tracer = new_mark(), new_mark()
    secret = canary.encode()
    alice, bob, carol = (Person(topology, user, token_of[user]) for user in token_of)
    direct = create(topology, alice.token, "direct", [2], "d")
    group = create(topology, alice.token, "group", [2, 3], "g")

    async def scenario() -> None:
        for person in (alice, bob, carol):
            await person.connect()
        for turn in range(3):
            said = b"%d " % turn + secret
            last = await alice.say(direct, alice.direct(direct, 2, said))
            assert await bob.read(direct, last - 1) == [said]
            last = await bob.say(direct, bob.direct(direct, 1, said))
            assert await alice.read(direct, last - 1) == [said]
        read = {person.user: 0 for person in (alice, bob, carol)}
        for person in (alice, bob, carol):
            said = b"group " + secret
            last = await person.say(group, *person.group(group, (1, 2, 3), said))
            for reader in (alice, bob, carol):
                if reader is not person:
                    assert (await reader.read(group, max(read[reader.user], last - 1)))[-1] == said
        removed = call(topology, f"/v1/conversations/{group}/members/3", None, alice.token, "DELETE")["seq"]
        bodies = alice.group(group, (1, 2), b"carol is gone " + secret)
        await alice.say(group, *bodies)
        assert await bob.read(group, removed) == [b"carol is gone " + secret]
        assert await carol.read(group, removed) == [], "the service gives her nothing"
        for body in bodies:
            with pytest.raises(Unreadable):  # and with the bytes in hand she could not read them
                carol.account.open(group, sender=(1, 1), body=body)
        await alice.say(direct, tracer.encode() + b" in the clear")
        for person in (alice, bob, carol):
            await person.socket.close()

    asyncio.run(scenario())
    hunt = Hunt(directory, canary=canary, tracer=tracer)
    hunt.redis(topology)
    running.stop(15.0)  # the last test here
    hunt.files()
    found = hunt.save()
    assert found.found == ()
    assert found.unsearched == ()
    assert found.keys > 0
    places = {place.where.split("-0")[0] for place in found.tracer}
    assert {"data/log", "data/store"} <= places, "the hunt sees what is there"
