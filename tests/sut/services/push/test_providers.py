"""APNs and FCM, each adapter against a stand-in that speaks the true protocol over TLS: what each answer means."""

import asyncio
import itertools
import json
import re
import time
from pathlib import Path

import httpx
import jwt
import pytest

from sut.adapters.push.apns import Apns, ApnsKey
from sut.adapters.push.fcm import Fcm
from sut.deploy.servers.push_files import PushFiles, read_service_account
from sut.deploy.servers.stand_in_files import KEY_ID, TEAM_ID, TOPIC
from sut.ports import Provider, Push, Verdict
from sut.protocol.push_tokens import device_of, push_token
from sut.services.push.process import TIMEOUT_S, _tls
from sut.standins.behaviour import Behaviour, Behaviours
from sut.standins.h2_server import Harm, Request
from tests.kit.pace import scaled
from tests.sut.services.push.conftest import Providers, running, trusting_nobody

BOTH: list[Provider] = ["apns", "fcm"]
CONV = (1 << 63) - 1
both = pytest.mark.parametrize("name", BOTH)


def ill(name: Provider, behaviour: Behaviour) -> Behaviours:
    return Behaviours(apns=behaviour) if name == "apns" else Behaviours(fcm=behaviour)


@both
def test_a_token_says_whose_it_is_and_others_nothing(name: Provider) -> None:
    for device in (1, 77, CONV):
        for generation in (0, 3):
            assert device_of(name, push_token(name, device, generation)) == device
    good = push_token(name, 5)
    wrong = good[:-4] + ("0000" if good[-4:] != "0000" else "1111")
    assert [device_of(name, text) for text in (wrong, "", "zz", good[:-1], "é" * 64)] == [None] * 5
    assert device_of("fcm" if name == "apns" else "apns", good) is None


@both
async def test_pushes_share_a_connection(name: Provider, tmp_path: Path) -> None:
    async with running(tmp_path) as providers:
        adapter = providers.adapters[name]
        begun_ns = time.time_ns()
        answers = await asyncio.gather(*(adapter.push(push_token(name, n), Push(CONV, n)) for n in range(1, 101)))
        assert {answer.verdict for answer in answers} == {Verdict.ACCEPTED}
        server = providers.stand_ins.apns_server if name == "apns" else providers.stand_ins.fcm_server
        assert len(server.connections) == (1 if name == "apns" else 2)  # one more is for access tokens
        lines = [json.loads(line) for line in providers.accepted().splitlines()]
        assert sorted(line["device"] for line in lines) == list(range(1, 101))
        for line in lines:
            assert (line["e"], line["conv"], line["seq"]) == ("push", CONV, line["device"])
            assert begun_ns - 1e9 < line["t"] < time.time_ns() + 1e9
            assert line["token"] == push_token(name, line["device"])


@both
@pytest.mark.parametrize(
    ("behaviour", "verdict", "reason"),
    [
        (Behaviour(gone=1), Verdict.UNREGISTERED, "410 Unregistered|404 UNREGISTERED"),
        (Behaviour(throttled=1, retry_after_s=7), Verdict.LATER, "429 TooManyRequests|429 QUOTA_EXCEEDED"),
        (Behaviour(failing=1), Verdict.LATER, "50[03] [A-Za-z]+"),
        (Behaviour(reset=1), Verdict.LATER, "StreamReset"),
        (Behaviour(cut=1), Verdict.UNREACHABLE, "the connection ended"),
        (Behaviour(goaway=1), Verdict.UNREACHABLE, "the connection ended"),
        (Behaviour(drained=1), Verdict.ACCEPTED, ""),
        (Behaviour(lost=1), Verdict.UNREACHABLE, "the connection ended"),
        (Behaviour(slow=1, slow_s=30), Verdict.LATER, "no answer within"),
        (Behaviour(silent=1), Verdict.LATER, "no answer within"),
        (Behaviour(away=True), Verdict.UNREACHABLE, "ConnectionRefused"),
        (Behaviour(expired=1), Verdict.LATER, "403 ExpiredProviderToken|401 UNAUTHENTICATED"),
    ],
    ids=[
        "gone",
        "throttled",
        "failing",
        "reset",
        "cut",
        "goaway",
        "drained",
        "lost",
        "slow",
        "silent",
        "away",
        "expired",
    ],
)
async def test_each_trouble_has_its_verdict_and_passes(
    name: Provider, behaviour: Behaviour, verdict: Verdict, reason: str, tmp_path: Path
) -> None:
    async with running(tmp_path) as providers:
        adapter, token = providers.adapters[name], push_token(name, 5)
        assert (await adapter.push(token, Push(1, 1))).verdict == Verdict.ACCEPTED
        await providers.stand_ins.behave(ill(name, behaviour))
        await asyncio.sleep(0.05)
        answer = await adapter.push(token, Push(1, 2))
        if behaviour.away:  # it noticed only now that the connection is gone
            answer = await adapter.push(token, Push(1, 2))
        assert answer.verdict == verdict
        assert pytest.approx(7 if behaviour.throttled else answer.retry_after_s) == answer.retry_after_s

        assert re.search(reason, answer.reason), answer.reason
        await providers.stand_ins.behave(Behaviours())
        assert (await adapter.push(token, Push(1, 3))).verdict == Verdict.ACCEPTED
        pushed = [json.loads(line)["seq"] for line in providers.accepted().splitlines()]
        assert pushed == ([1, 2, 3] if behaviour.lost or behaviour.drained else [1, 3])


@both
async def test_one_trouble_does_not_touch_the_pushes_beside_it(name: Provider, tmp_path: Path) -> None:
    """A reset or slow stream is one push's; with a cut all of the connection ask again."""
    async with running(tmp_path) as providers:
        adapter = providers.adapters[name]
        await providers.stand_ins.behave(ill(name, Behaviour(reset=0.3, throttled=0.2, gone=0.2)))
        answers = await asyncio.gather(*(adapter.push(push_token(name, n), Push(1, 1)) for n in range(1, 101)))
        counts = {verdict: sum(answer.verdict == verdict for answer in answers) for verdict in Verdict}
        assert counts[Verdict.ACCEPTED] > 20
        assert counts[Verdict.UNREGISTERED] > 1
        assert counts[Verdict.LATER] > 20
        assert len(providers.accepted().splitlines()) == counts[Verdict.ACCEPTED]


@both
async def test_one_unanswered_push_costs_one_push(name: Provider, tmp_path: Path) -> None:
    """64 are in flight when the time of one is over; the others are accepted, each once."""
    async with running(tmp_path) as providers:
        adapter = providers.adapters[name]
        assert (await adapter.push(push_token(name, 100), Push(1, 1))).verdict == Verdict.ACCEPTED
        await providers.stand_ins.behave(ill(name, Behaviour(silent=1)))
        unanswered = asyncio.create_task(adapter.push(push_token(name, 101), Push(1, 1)))
        await asyncio.sleep(TIMEOUT_S / 2)
        await providers.stand_ins.behave(ill(name, Behaviour(slow=1, slow_s=0.75 * TIMEOUT_S)))
        others = await asyncio.gather(*(adapter.push(push_token(name, n), Push(1, 1)) for n in range(1, 64)))
        assert (await unanswered).verdict == Verdict.LATER
        assert {answer.verdict for answer in others} == {Verdict.ACCEPTED}
        got = [json.loads(line)["device"] for line in providers.accepted().splitlines()]
        assert sorted(got) == [*range(1, 64), 100]


@both
async def test_a_polite_goaway_makes_no_push_go_twice(name: Provider, tmp_path: Path) -> None:
    async with running(tmp_path) as providers:
        adapter = providers.adapters[name]
        await providers.stand_ins.behave(ill(name, Behaviour(drained=0.1, slow=0.5, slow_s=0.2)))
        for wave in range(3):
            devices = range(wave * 64 + 1, wave * 64 + 65)
            answers = await asyncio.gather(*(adapter.push(push_token(name, n), Push(1, 1)) for n in devices))
            assert Verdict.UNREACHABLE not in {answer.verdict for answer in answers}
            accepted = {n for n, answer in zip(devices, answers, strict=True) if answer.verdict == Verdict.ACCEPTED}
            got = [json.loads(line)["device"] for line in providers.accepted().splitlines()]
            assert sorted(n for n in got if n in devices) == sorted(accepted)
            assert len(accepted) > 32


async def test_a_slow_access_token_is_asked_for_again_and_holds_up_one_attempt(tmp_path: Path) -> None:
    """All that wait for it learn in time that there is none, also those that came last."""
    async with running(tmp_path) as providers:
        adapter, server = providers.adapters["fcm"], providers.stand_ins.fcm_server
        fine, server._handler = server._handler, never
        begun_s = time.monotonic()
        answers = await asyncio.gather(*(adapter.push(push_token("fcm", n), Push(1, 1)) for n in range(1, 65)))
        assert {answer.verdict for answer in answers} == {Verdict.LATER}
        assert time.monotonic() - begun_s < 2 * TIMEOUT_S
        server._handler = fine
        for connection in server.connections:
            connection._handler = fine
        assert (await adapter.push(push_token("fcm", 1), Push(1, 2))).verdict == Verdict.ACCEPTED


async def never(_request: Request) -> Harm:
    """No answer to anything."""
    return Harm.SILENCE


@both
async def test_who_does_not_wait_for_retry_after_is_counted(name: Provider, tmp_path: Path) -> None:
    async with running(tmp_path) as providers:
        adapter, stand_ins = providers.adapters[name], providers.stand_ins
        await stand_ins.behave(ill(name, Behaviour(throttled=1, retry_after_s=1)))
        assert (await adapter.push(push_token(name, 1), Push(1, 1))).retry_after_s == 1
        assert (await adapter.push(push_token(name, 2), Push(1, 1))).retry_after_s == 1
        await stand_ins.behave(Behaviours())
        assert stand_ins.too_soon == 0
        await adapter.push(push_token(name, 1), Push(1, 1))
        assert stand_ins.too_soon == 1
        await asyncio.sleep(1.05)
        await adapter.push(push_token(name, 2), Push(1, 1))
        assert stand_ins.too_soon == 1


@both
async def test_a_token_of_nobody_is_refused_for_good(name: Provider, tmp_path: Path) -> None:
    async with running(tmp_path) as providers:
        for token in ("ab" * 32, "nobody", "a/b", "../x"):
            answer = await providers.adapters[name].push(token, Push(1, 1))
            assert answer.verdict == Verdict.REFUSED, answer
        assert providers.accepted() == ""


@both
async def test_a_provider_with_a_strange_certificate_is_nobody(name: Provider, tmp_path: Path) -> None:
    async with running(tmp_path) as providers:
        files, service = PushFiles(tmp_path), providers.topology.services[0]
        url = f"https://{service.host}:{service.ports[name]}"
        stranger: Apns | Fcm
        if name == "apns":
            key = ApnsKey(private_key=files.of("apns.p8").read_text(), key_id=KEY_ID, team_id=TEAM_ID)
            stranger = Apns(url, key=key, topic=TOPIC, tls=trusting_nobody(), timeout_s=scaled(2))
        else:
            account = read_service_account(files.of("fcm.json"))
            stranger = Fcm(url, account=account, tls=trusting_nobody(), timeout_s=scaled(2))
        answer = await stranger.push(push_token(name, 1), Push(1, 1))
        await stranger.close()
        assert answer.verdict == Verdict.UNREACHABLE
        assert "CERTIFICATE_VERIFY_FAILED" in answer.reason


def apns_of(providers: Providers, *, now: list[float], key_id: str = KEY_ID, topic: str = TOPIC) -> Apns:
    files, service = PushFiles(providers.topology.path), providers.topology.services[0]
    key = ApnsKey(private_key=files.of("apns.p8").read_text(), key_id=key_id, team_id=TEAM_ID)
    url = f"https://{service.host}:{service.ports['apns']}"
    return Apns(url, key=key, topic=topic, tls=_tls(files, "ca.pem"), timeout_s=scaled(2), now_s=lambda: now[0])


async def test_apns_tokens_are_replaced_between_20_and_60_minutes(tmp_path: Path) -> None:
    async with running(tmp_path) as providers:
        now = [time.time() - 3000]
        adapter = apns_of(providers, now=now)
        ages = []
        for minute in range(0, 121, 5):
            now[0] += 300 if minute else 0
            token = adapter._provider_token()
            ages.append((now[0] - jwt.decode(token, options={"verify_signature": False})["iat"]) / 60)
        assert max(ages) < 60
        drops = [before for before, after in itertools.pairwise(ages) if after < before]
        assert drops
        assert min(drops) >= 20
        await adapter.close()


async def test_apns_refuses_who_has_the_wrong_key_topic_or_an_old_token(tmp_path: Path) -> None:
    async with running(tmp_path) as providers:
        now = time.time()
        for adapter, verdict, reason in (
            (apns_of(providers, now=[now], key_id="OTHERKEY00"), Verdict.LATER, "InvalidProviderToken"),
            (apns_of(providers, now=[now - 3700]), Verdict.LATER, "ExpiredProviderToken"),
            (apns_of(providers, now=[now], topic="org.other"), Verdict.REFUSED, "DeviceTokenNotForTopic"),
        ):
            answer = await adapter.push(push_token("apns", 1), Push(1, 1))
            await adapter.close()
            assert (answer.verdict, answer.reason.partition(" ")[2]) == (verdict, reason)


async def test_apns_checks_headers_and_size(tmp_path: Path) -> None:
    async with running(tmp_path) as providers:
        service, files = providers.topology.services[0], PushFiles(tmp_path)
        token = jwt.encode(
            {"iss": TEAM_ID, "iat": int(time.time())},
            files.of("apns.p8").read_text(),
            algorithm="ES256",
            headers={"kid": KEY_ID},
        )
        good = {"authorization": f"bearer {token}", "apns-topic": TOPIC, "apns-push-type": "alert"}
        body = b'{"aps":{},"conv":1,"seq":1}'
        path = f"/3/device/{push_token('apns', 1)}"
        url = f"https://{service.host}:{service.ports['apns']}"
        async with httpx.AsyncClient(http2=True, verify=_tls(files, "ca.pem"), base_url=url) as client:

            async def ask(
                *, headers: dict[str, str] | None = None, body: bytes = body, path: str = path, method: str = "POST"
            ) -> tuple[int, str]:
                response = await client.request(method, path, content=body, headers=headers or good)
                assert response.http_version == "HTTP/2"
                return response.status_code, response.json()["reason"] if response.content else ""

            assert await ask() == (200, "")
            assert await ask(path="/3/x") == (404, "BadPath")
            assert await ask(method="PUT") == (405, "MethodNotAllowed")
            assert await ask(headers={"apns-topic": TOPIC}) == (403, "MissingProviderToken")
            assert await ask(headers=good | {"authorization": "bearer x.y.z"}) == (403, "InvalidProviderToken")
            assert await ask(headers=good | {"apns-topic": ""}) == (400, "MissingTopic")
            assert await ask(headers=good | {"apns-push-type": "loud"}) == (400, "InvalidPushType")
            assert await ask(headers=good | {"apns-priority": "7"}) == (400, "BadPriority")
            assert await ask(headers=good | {"apns-expiration": "soon"}) == (400, "BadExpirationDate")
            assert await ask(headers=good | {"apns-collapse-id": "x" * 65}) == (400, "BadCollapseId")
            assert await ask(headers=good | {"apns-id": "7"}) == (400, "BadMessageId")
            assert await ask(path="/3/device/" + "ab" * 32) == (400, "BadDeviceToken")
            assert await ask(body=b"") == (400, "PayloadEmpty")
            assert await ask(body=b"x" * 4097) == (413, "PayloadTooLarge")
        assert len(providers.accepted().splitlines()) == 1


async def test_fcm_fetches_one_access_token_for_many_pushes_and_another_when_it_expires(tmp_path: Path) -> None:
    async with running(tmp_path) as providers:
        files, service = PushFiles(tmp_path), providers.topology.services[0]
        now = [time.time()]
        adapter = Fcm(
            f"https://{service.host}:{service.ports['fcm']}",
            account=read_service_account(files.of("fcm.json")),
            tls=_tls(files, "ca.pem"),
            timeout_s=scaled(2),
            now_s=lambda: now[0],
        )
        await asyncio.gather(*(adapter.push(push_token("fcm", n), Push(1, 1)) for n in range(1, 21)))
        assert providers.stand_ins.fcm.grants == 1
        now[0] += 3500
        await adapter.push(push_token("fcm", 1), Push(1, 2))
        assert providers.stand_ins.fcm.grants == 1
        now[0] += 60
        answer = await adapter.push(push_token("fcm", 1), Push(1, 3))
        assert providers.stand_ins.fcm.grants == 1  # the account's clock is an hour ahead: Google refuses the assertion
        assert answer.verdict == Verdict.LATER
        now[0] = time.time() + 3600 * 2
        adapter._until_s = 0
        now[0] = time.time()
        assert (await adapter.push(push_token("fcm", 1), Push(1, 4))).verdict == Verdict.ACCEPTED
        assert providers.stand_ins.fcm.grants == 2
        await adapter.close()


async def test_no_body_ever_reaches_a_provider(tmp_path: Path) -> None:
    """A push has a conversation and a number: there is nowhere to put a text."""
    assert Push.__struct_fields__ == ("conv", "seq")
