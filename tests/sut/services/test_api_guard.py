"""What the API says to requests that are not as documented: a status, one line of JSON, and never a bug's 500."""

import asyncio
import logging
import socket

import pytest

from sut.protocol.frames import Nack
from sut.services.api import guard
from sut.services.api.control import Denied
from tests.kit.pace import scaled
from tests.sut.services.api_world import API_KEY, token, with_api

JSON = {"Content-Type": "application/json"}
TOKENS = b'{"devices": [{"user": 1, "device": 11}]}'
GROUP = b'{"kind": "group", "members": [2], "key": "k"}'


async def check(client, method: str, path: str, *, status: int, data: bytes | None = None, **headers: str):
    """The request is refused with this status; returns the answer."""
    wanted = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = await client.request(method, path, data=data, headers=wanted)
    problem = await answer.json()
    assert answer.status == status, problem
    assert list(problem) == ["error"]
    assert "\n" not in problem["error"]
    return answer


def operator() -> dict[str, str]:
    return {"Authorization": f"Bearer {API_KEY}"}


def device(user: int = 1) -> dict[str, str]:
    return {"Authorization": f"Bearer {token(user, 11)}"}


@pytest.mark.parametrize(
    ("data", "content_type", "status"),
    [
        (b"{", "application/json", 400),
        (b"", "application/json", 400),
        (b"[]", "application/json", 400),
        (b'{"devices": []}', "application/json", 400),
        (b'{"devices": [{"user": 0, "device": 1}]}', "application/json", 400),
        (b'{"devices": [{"user": 9223372036854775808, "device": 1}]}', "application/json", 400),
        (b'{"devices": [{"user": 1e400, "device": 1}]}', "application/json", 400),
        (b'{"devices": [{"user": 1, "device": 1, "\xff": 1}]}', "application/json", 400),
        (b'{"devices": [{"user": 1, "device": 1}], "more": 1}', "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (TOKENS, "text/plain", 415),
        (TOKENS, "application/x-www-form-urlencoded", 415),
        (b" " * (guard.MAX_REQUEST + 1), "application/json", 413),
    ],
)
def test_a_bad_body_is_refused(data: bytes, content_type: str, status: int) -> None:
    async def scenario(client, _control) -> None:
        headers = {"Content_Type": content_type, **operator()}
        await check(client, "POST", "/v1/tokens", status=status, data=data, **headers)

    with_api(scenario)


@pytest.mark.parametrize("key", [b'"\xff\xfe"', b'"\\ud800"', b'"\xed\xa0\x80"', b'""', b'"' + b"x" * 201 + b'"'])
def test_a_key_that_is_not_text_is_refused(key: bytes) -> None:
    async def scenario(client, control) -> None:
        data = b'{"kind": "group", "members": [2], "key": ' + key + b"}"
        await check(client, "POST", "/v1/conversations", status=400, data=data, **JSON, **device())
        assert control.asked == []

    with_api(scenario)


@pytest.mark.parametrize("conversation", ["0", "9223372036854775808", "9" * 19, "9" * 20, "9" * 5000, "x", "-1", "٣"])
def test_an_id_that_cannot_be_is_not_found(conversation: str) -> None:
    async def scenario(client, control) -> None:
        path = f"/v1/conversations/{conversation}/members"
        await check(client, "POST", path, status=404, data=b'{"user": 2}', **JSON, **device())
        await check(client, "DELETE", f"{path}/2", status=404, **device())
        await check(client, "DELETE", f"/v1/conversations/1/members/{conversation}", status=404, **device())
        assert control.asked == []

    with_api(scenario)


@pytest.mark.parametrize(("text", "status"), [("2.0", 200), ("2e0", 200), ("2.5", 400), ("1e400", 400), ('"2"', 200)])
def test_a_whole_number_is_one_however_it_is_written(text: str, status: int) -> None:
    async def scenario(client, control) -> None:
        headers = JSON | device()
        answer = await client.post("/v1/conversations/5/members", data=f'{{"user": {text}}}', headers=headers)
        assert answer.status == status
        assert control.asked == ([("add", 5, 1, 2)] if status == 200 else [])

    with_api(scenario)


def test_an_unknown_parameter_and_method_and_path_are_refused() -> None:
    async def scenario(client, _control) -> None:
        await check(client, "GET", "/v1/health?deep=1", status=400)
        await check(client, "GET", "/v1/nothing", status=404)
        answer = await check(client, "PUT", "/v1/tokens", status=405)
        assert answer.headers["Allow"] == "POST"
        answer = await check(client, "TRACE", "/v1/conversations/1/members/2", status=405)
        assert answer.headers["Allow"] == "DELETE,PUT"

    with_api(scenario)


def test_a_401_says_how_to_authenticate() -> None:
    async def scenario(client, _control) -> None:
        answer = await check(client, "POST", "/v1/tokens", status=401, data=TOKENS, **JSON)
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")

    with_api(scenario)


def raw(port: int, request: bytes) -> bytes:
    """What the API answers to these bytes."""
    with socket.create_connection(("127.0.0.1", port), timeout=scaled(5)) as sock:
        sock.sendall(request)
        answer = b""
        while b"\r\n\r\n" not in answer and (data := sock.recv(65536)):
            answer += data
    return answer


@pytest.mark.parametrize("value", [b"Bearer \xff\xfe", b"Bearer \xed\xa0\x80", "Bearer ключ".encode()])
def test_a_key_of_any_bytes_is_a_wrong_key(value: bytes) -> None:
    async def scenario(client, _control) -> None:
        for path in (b"/v1/tokens", b"/v1/conversations"):
            request = b"POST %b HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: %b\r\n\r\n" % (path, value)
            answer = await asyncio.to_thread(raw, client.port, request)
            assert answer.startswith(b"HTTP/1.1 401 "), answer

    with_api(scenario)


def test_a_slow_body_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "BODY_TIMEOUT_S", 0.2)

    async def scenario(client, _control) -> None:
        request = (
            b"POST /v1/tokens HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n"
            b"Content-Length: 100\r\nAuthorization: Bearer %b\r\n\r\n{" % API_KEY.encode()
        )
        assert (await asyncio.to_thread(raw, client.port, request)).startswith(b"HTTP/1.1 408 ")

    with_api(scenario)


def test_a_direct_conversation_with_oneself_or_two_others_cannot_be() -> None:
    async def scenario(client, _control) -> None:
        for members in ("[1]", "[2, 3]"):
            data = f'{{"kind": "direct", "members": {members}, "key": "k"}}'.encode()
            await check(client, "POST", "/v1/conversations", status=409, data=data, **JSON, **device())

    with_api(scenario)


@pytest.mark.parametrize(
    ("code", "status"), [(Nack.FOREIGN, 404), (Nack.NOT_MEMBER, 404), (Nack.GROUP_FULL, 409), (199, 409)]
)
def test_a_refusal_of_the_sequencer_has_its_status(code: int, status: int) -> None:
    async def scenario(client, control) -> None:
        control.denies = Denied(code)
        await check(client, "POST", "/v1/conversations", status=status, data=GROUP, **JSON, **device())

    with_api(scenario)


def test_a_bug_is_a_500_with_one_line_and_a_traceback_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(client, control) -> None:
        control.denies = ZeroDivisionError("so it goes")
        with caplog.at_level(logging.ERROR, "api"):
            await check(client, "POST", "/v1/conversations", status=500, data=GROUP, **JSON, **device())
        assert "ZeroDivisionError" in caplog.text

    with_api(scenario)
