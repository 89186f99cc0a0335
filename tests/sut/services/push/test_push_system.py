"""A thousand phones in pockets, on the real embedded system: each learns of each message within 5 s of its ack, once
or more, also across a SIGKILL of the push service, and whatever is wrong with the providers. Nobody online is told.
"""

import asyncio
import contextlib
import json
import os
import signal
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, NamedTuple, cast

import pytest
import websockets

from sut.deploy.probes.health import problem
from sut.deploy.supervise.state import read_state
from sut.deploy.system import System
from sut.deploy.topology import Settings
from sut.process.revoked import CLOCKS_S
from sut.protocol import frames as f
from sut.protocol.push_tokens import push_token
from tests.kit.pace import scaled
from tests.kit.waits import until
from tests.kit.whole import call, create, embedded, gateways, tokens

pytestmark = [pytest.mark.long, pytest.mark.slow, pytest.mark.timeout(300)]

OFFLINE = range(1001, 2001)
SENDER, READER = 1, 11
GROUPS = 20
EVERY_S = 0.25
"""Between two messages, each to 50 phones that are off: 200 pushes a second."""
MESSAGES = 2 * GROUPS
BOUND_S = 5.0


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    directory = tmp_path_factory.mktemp("push")
    with embedded(directory, Settings(heartbeat_s=30)) as started:
        yield started


def refused(running: System, path: str, body: object, key: str, method: str = "POST") -> int:
    with pytest.raises(urllib.error.HTTPError) as error:
        call(running.topology, path, body, key, method)
    return error.value.code


def behave(running: System, **behaviour: object) -> None:
    """Tell the stand-ins how ill they are."""
    port = running.topology.service("provider-1").ports["control"]
    url = f"http://127.0.0.1:{port}/behaviour"
    request = urllib.request.Request(url, json.dumps(behaviour).encode(), method="PUT")
    with urllib.request.urlopen(request, timeout=scaled(10)):
        pass


def register(running: System, *devices: int, generation: int = 0) -> None:
    wanted = [
        {"user": d, "device": d, "push": {"provider": p, "token": push_token(p, d, generation)}}
        for d in devices
        for p in (("apns", "fcm")[d % 2],)
    ]
    answer = call(running.topology, "/v1/devices", {"devices": wanted}, running.topology.api_key)
    assert answer == {"registered": len(devices)}


class Got(NamedTuple):
    """A push that a phone got."""

    t: int
    device: int
    conv: int
    seq: int


def pushes(running: System) -> list[Got]:
    path = running.topology.path / "pushes" / "provider-1.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [Got(line["t"], line["device"], line["conv"], line["seq"]) for line in lines]


def now_ns(running: System) -> int:
    """The run's clock."""
    state = read_state(running.topology.path)
    assert state is not None
    return time.monotonic_ns() + state.clock_offset_ns


@contextlib.asynccontextmanager
async def phone(running: System, token: str) -> AsyncIterator[Any]:
    urls = gateways(running.topology)
    headers = {"Authorization": f"Bearer {token}"}
    async with websockets.connect(urls[0], additional_headers=headers, compression=None) as socket:
        assert isinstance(f.decode_server(cast("bytes", await socket.recv())), f.Welcome)
        yield socket


async def send(running: System, socket: Any, conv: int, client_seq: int) -> tuple[int, int]:
    """(the message's number, when its ack was there)."""
    await socket.send(f.encode(f.Send(conv, client_seq, b"the secret")))
    while True:
        async with asyncio.timeout(scaled(10)):
            frame = f.decode_server(await socket.recv())
        if isinstance(frame, f.Ack) and frame.client_seq == client_seq:
            return frame.seq, now_ns(running)


async def read_on(socket: Any) -> None:
    """Read as a client does that is there, until it is cancelled."""
    async for _ in socket:
        pass


def delays_s(running: System, acks: dict[tuple[int, int], int], members: dict[int, list[int]]) -> list[float]:
    """For each acked message and each phone that was off: until a push that covers it; inf: none."""
    got: defaultdict[tuple[int, int], list[Got]] = defaultdict(list)
    for push in pushes(running):
        got[push.device, push.conv].append(push)
    return [
        min((max(0, p.t - acked) / 1e9 for p in got[device, conv] if p.seq >= seq), default=float("inf"))
        for (conv, seq), acked in acks.items()
        for device in members[conv]
    ]


def p99(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.99)]


def test_a_thousand_phones_learn_within_five_seconds_also_across_a_crash(
    running: System, capsys: pytest.CaptureFixture[str]
) -> None:
    register(running, *OFFLINE[:-2])
    register(running, *OFFLINE[-2:], SENDER, READER)
    keys = tokens(running.topology, SENDER, READER)
    members: dict[int, list[int]] = {}
    for place in range(GROUPS):
        off = [device for device in OFFLINE if device % GROUPS == place]
        members[create(running.topology, keys[SENDER], "group", [*off, READER], f"pockets {place}")] = off
    convs = list(members)

    async def scenario() -> tuple[list[float], list[float]]:
        async with phone(running, keys[SENDER]) as sender, phone(running, keys[READER]) as reader:
            reading = asyncio.create_task(read_on(reader))  # who reads nothing is not there
            burst: dict[tuple[int, int], int] = {}
            steady: dict[tuple[int, int], int] = {}
            for number, conv in enumerate(convs, start=1):
                seq, acked = await send(running, sender, conv, number)
                burst[conv, seq] = acked
            await until(lambda: len(pushes(running)) >= len(OFFLINE), timeout_s=60)
            for number in range(MESSAGES):
                begun_s = time.monotonic()
                conv = convs[number % GROUPS]
                seq, acked = await send(running, sender, conv, GROUPS + 1 + number)
                steady[conv, seq] = acked
                if number == MESSAGES // 2:  # some pushes are on their way, some records are not decided, some not read
                    os.kill(running.pid("push-1") or 0, signal.SIGKILL)
                await asyncio.sleep(max(0.0, begun_s + EVERY_S - time.monotonic()))
            await until(lambda: max(delays_s(running, steady, members)) < float("inf"), timeout_s=60)
            reading.cancel()
            return delays_s(running, burst, members), delays_s(running, steady, members)

    at_once, across = asyncio.run(scenario())
    assert running.state()["push-1"].restarts == 1
    got = pushes(running)
    with capsys.disabled():
        for name, values in (("at once", at_once), ("across a crash", across)):
            middle = sorted(values)[len(values) // 2]
            print(f"\n{name}: n {len(values)}, p50 {middle:.2f}, p99 {p99(values):.2f}, max {max(values):.2f} s")
        twice = len(got) - len({(push.device, push.conv, push.seq) for push in got})
        print(f"{len(got)} pushes, {twice} of them again")
    assert (len(at_once), len(across)) == (len(OFFLINE), MESSAGES * len(OFFLINE) // GROUPS)
    assert p99(at_once) <= scaled(BOUND_S)
    assert p99(across) <= scaled(BOUND_S)
    assert {push.device for push in got} == set(OFFLINE)
    assert "secret" not in (running.topology.path / "pushes" / "provider-1.jsonl").read_text()


def test_ill_providers_lose_nothing_and_do_not_hold_up_each_other(
    running: System, capsys: pytest.CaptureFixture[str]
) -> None:
    off = list(range(3001, 3101))
    register(running, *off, 4)
    keys = tokens(running.topology, 4)
    conv = create(running.topology, keys[4], "group", off, "ill")
    trouble = {"throttled": 0.1, "failing": 0.1, "slow": 0.1, "slow_s": 0.5, "lost": 0.02, "reset": 0.05, "cut": 0.01,
               "goaway": 0.01, "expired": 0.02}  # fmt: skip

    async def scenario() -> None:
        async with phone(running, keys[4]) as socket:
            behave(running, apns=trouble, fcm={"away": True})
            acks = {}
            for number in range(1, 4):
                seq, acked = await send(running, socket, conv, number)
                acks[conv, seq] = acked
                await asyncio.sleep(0.5)
            apns = {conv: [device for device in off if device % 2 == 0]}
            fcm = {conv: [device for device in off if device % 2 == 1]}
            await until(lambda: max(delays_s(running, acks, apns)) < float("inf"), timeout_s=60)
            with capsys.disabled():
                print(f"\nill: p99 {p99(delays_s(running, acks, apns)):.2f} s")
            assert not [push for push in pushes(running) if push.device in fcm[conv]]
            behave(running, apns=trouble, fcm=trouble)
            await until(lambda: max(delays_s(running, acks, fcm)) < float("inf"), timeout_s=60)
            mine = [push for push in pushes(running) if push.device in fcm[conv]]
            assert {push.seq for push in mine} == {3}  # three messages, one push: collapsed while nobody was there
        behave(running)

    asyncio.run(scenario())


def test_dead_tokens_are_retired_and_a_new_one_counts(running: System) -> None:
    off = list(range(4001, 4021))
    register(running, *off, 5)
    keys = tokens(running.topology, 5, 4001)
    conv = create(running.topology, keys[5], "group", off, "410")

    def got(seq: int) -> set[int]:
        return {push.device for push in pushes(running) if push.conv == conv and push.seq >= seq}

    async def scenario() -> None:
        async with phone(running, keys[5]) as socket:
            behave(running, apns={"gone": 1}, fcm={"gone": 1})
            await send(running, socket, conv, 1)
            await asyncio.sleep(4)
            behave(running)
            assert got(1) == set()
            await send(running, socket, conv, 2)
            await asyncio.sleep(4)
            assert got(1) == set()  # nobody has a token any more
            new = {"push": {"provider": "apns", "token": push_token("apns", 4001, 1)}}
            renewed = call(running.topology, "/v1/devices/4001/push", new, keys[4001], "PUT")
            assert renewed == {"user": 4001, "user_id": "4001", "device": 4001, "device_id": "4001"}
            await asyncio.sleep(2)
            await send(running, socket, conv, 3)
            await until(lambda: got(3) == {4001}, timeout_s=10)

    asyncio.run(scenario())


def test_devices_are_registered_renewed_and_revoked(running: System) -> None:
    api_key = running.topology.api_key
    register(running, 5001, 5002)
    register(running, 5001, 5002)
    keys = tokens(running.topology, 5001, 5002, 5003)
    mine = {"devices": [{"user": 5001, "device": 5011}]}
    call(running.topology, "/v1/devices", mine, api_key)
    keys[5011] = call(running.topology, "/v1/tokens", mine, api_key)["tokens"][0]["token"]
    renewed = call(running.topology, "/v1/tokens/refresh", None, keys[5001])
    assert renewed["device"] == 5001
    assert renewed["expires"] > time.time()
    push = {"push": {"provider": "fcm", "token": push_token("fcm", 5001)}}
    assert refused(running, "/v1/devices", mine, keys[5001]) == 401
    assert refused(running, "/v1/devices", {"devices": [{"user": 9, "device": 5001}]}, api_key) == 409
    assert refused(running, "/v1/devices/5001/push", push, keys[5002], "PUT") == 403
    assert refused(running, "/v1/devices/5001/push", push, api_key, "PUT") == 401
    bad = {"push": {"provider": "apns", "token": "not hexadecimal"}}
    assert refused(running, "/v1/devices/5001/push", bad, keys[5001], "PUT") == 400
    assert refused(running, "/v1/devices/5001", None, keys[5002], "DELETE") == 404
    done = call(running.topology, "/v1/devices/5001", None, keys[5011], "DELETE")
    assert (done["user"], done["device"]) == (5001, 5001)
    assert time.time() < done["at"] <= time.time() + CLOCKS_S  # clocks of other machines may be ahead
    assert refused(running, "/v1/tokens/refresh", None, renewed["token"]) == 401
    assert refused(running, "/v1/devices/5001/push", push, keys[5001], "PUT") == 401
    assert refused(running, "/v1/devices/5011", None, keys[5001], "DELETE") == 401
    assert refused(running, "/v1/devices", {"devices": [{"user": 5001, "device": 5001}]}, api_key) == 409
    stolen = {"devices": [{"user": 5002, "device": 5002}, {"user": 5001, "device": 5001}]}
    assert refused(running, "/v1/tokens", stolen, api_key) == 403
    assert refused(running, "/v1/devices/5003", None, api_key, "DELETE") == 400  # never registered: whose is it?
    assert refused(running, "/v1/devices/5002?user=5001", None, api_key, "DELETE") == 404
    for device, path in ((5002, "5002"), (5003, "5003?user=5003"), (5003, "5003")):
        call(running.topology, f"/v1/devices/{path}", None, api_key, "DELETE")
        assert refused(running, "/v1/tokens/refresh", None, keys[device]) == 401
        again = {"devices": [{"user": device, "device": device}]}
        assert refused(running, "/v1/tokens", again, api_key) == 403


def test_every_process_is_healthy(running: System) -> None:
    for name in ("push-1", "provider-1"):
        assert problem(running.topology, running.topology.service(name), 1.0) is None
    log = Path(running.topology.path / "logs" / "push-1.log").read_text()
    assert "Traceback" not in log
