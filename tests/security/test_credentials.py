"""Who is not who they say: every forged, expired and malformed token at the gateway and at every route of the API.

Routes come from the table, so a new one is tried here without being written down.
"""

import asyncio
import time

import pytest

from sut.process.revoked import Revoked
from sut.protocol.tokens import issue
from sut.services.api.routes import ROUTES, Route, Who
from tests.security.credentials import forged
from tests.sut.gateway.world import World, in_world, upgrade
from tests.sut.services.api_world import API_KEY, KEY, token, with_api

PROTECTED = [route for route in ROUTES if route.who is not Who.ANYBODY]
BODY = b"{}"


def path_of(route: Route) -> str:
    return route.path.format(**dict.fromkeys(route.parameters, 5))


async def statuses(client, bearers: dict[str, str], routes: list[Route]) -> dict[tuple[str, str], int]:
    """What each route answers to each."""
    found = {}
    for route in routes:
        for name, bearer in bearers.items():
            headers = {"Content-Type": "application/json", "Authorization": f"Bearer {bearer}"}
            answer = await client.request(route.method, path_of(route), data=BODY, headers=headers)
            found[route.name, name] = answer.status
            assert (await answer.json()).keys() == {"error"}
    return found


def test_no_route_takes_a_token_that_proves_nothing() -> None:
    async def scenario(client, control) -> None:
        found = await statuses(client, forged(KEY), PROTECTED)
        assert set(found.values()) == {401}, {k: v for k, v in found.items() if v != 401}
        assert control.asked == []

    with_api(scenario)


def test_no_route_takes_the_other_kind_of_credential() -> None:
    async def scenario(client, _control) -> None:
        devices = [route for route in PROTECTED if route.who is Who.DEVICE]
        operators = [route for route in PROTECTED if route.who is Who.OPERATOR]
        assert set((await statuses(client, {"API key": API_KEY}, devices)).values()) == {401}
        wrong = {"token": token(), "part of the key": API_KEY[:-1], "more than the key": API_KEY + "x"}
        assert set((await statuses(client, wrong, operators)).values()) == {401}

    with_api(scenario)


@pytest.mark.parametrize("route", PROTECTED, ids=lambda route: route.name)
@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("Authorization", "")],
        [("Authorization", "Bearer")],
        [("Authorization", f"Basic {API_KEY}")],
        [("Authorization", API_KEY)],
        [("Authorization", f"Bearer {API_KEY}"), ("Authorization", f"Bearer {token()}")],
    ],
    ids=["none", "empty", "scheme alone", "another scheme", "no scheme", "two"],
)
def test_no_route_takes_a_header_that_is_none(route: Route, headers: list[tuple[str, str]]) -> None:
    async def scenario(client, _control) -> None:
        answer = await client.request(route.method, path_of(route), data=BODY, headers=headers)
        assert answer.status == 401

    with_api(scenario)


def test_a_good_credential_passes_where_the_others_did_not() -> None:
    async def scenario(client, _control) -> None:
        devices = [route for route in PROTECTED if route.who is not Who.OPERATOR]
        operators = [route for route in PROTECTED if route.who is not Who.DEVICE]
        for routes, bearer in ((devices, token()), (operators, API_KEY)):
            for route in routes:
                headers = {"Content-Type": "application/json", "Authorization": f"Bearer {bearer}"}
                answer = await client.request(route.method, path_of(route), data=BODY, headers=headers)
                assert answer.status != 401

    with_api(scenario)


def test_a_revoked_device_is_refused_by_every_route() -> None:
    revoked = Revoked(keep_s=600)

    async def scenario(client, _control) -> None:
        stolen = token(1, 11)
        devices = [route for route in PROTECTED if route.who is not Who.OPERATOR]
        create = [route for route in devices if route.name == "create"]
        assert 401 not in (await statuses(client, {"other": token(1, 12), "stolen": stolen}, create)).values()
        await revoked.revoke(1, 11)
        assert set((await statuses(client, {"stolen": stolen}, devices)).values()) == {401}
        assert 401 not in (await statuses(client, {"other": token(1, 12)}, create)).values()

    with_api(scenario, revoked)


def test_no_forged_token_opens_a_connection(tmp_path):
    async def scenario(world: World) -> None:
        address = world.address("gateway-1", "ws")
        for name, bad in forged(KEY).items():
            in_query = upgrade("x").replace(b"/v1/ws", b"/v1/ws?token=" + bad.encode())
            for request in (upgrade(bad), in_query.replace(b"Authorization: Bearer x\r\n", b"")):
                reader, writer = await asyncio.open_connection(*address)
                writer.write(request)
                answer = await reader.read()
                writer.close()
                assert answer.startswith((b"HTTP/1.1 401 ", b"HTTP/1.1 431 ")), (name, answer)
                assert answer.count(b"\n") == answer.count(b"\r\n") + 1
        stats = await world.stats()
        assert (stats["handshakes"], stats["connections"]) == (0, 0)
        assert stats["refused"] == 2 * len(forged(KEY))

    in_world(scenario, tmp_path)


def test_a_token_that_expires_keeps_its_connection_and_opens_no_other(tmp_path):
    async def scenario(world: World) -> None:
        short = issue(KEY, 1, 11, 1, time.time())
        reader, writer = await asyncio.open_connection(*world.address("gateway-1", "ws"))
        writer.write(upgrade(short))
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        await asyncio.sleep(2.1)
        assert (await world.stats())["connections"] == 1
        again, other = await asyncio.open_connection(*world.address("gateway-1", "ws"))
        other.write(upgrade(short))
        assert b"token has expired" in await again.read()
        writer.close()
        other.close()

    in_world(scenario, tmp_path)
