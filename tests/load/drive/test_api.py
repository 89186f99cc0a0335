"""The API client: idempotent retries until the outcome is known, batches, kept-alive connections, bounds."""

import random
import socket
import threading
from http import HTTPStatus

import pytest

from load.drive.api import MAX_MADE, MAX_MEMBERS, ApiClient, ApiError, batches, parallel
from sut.protocol.push_tokens import device_of


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.sleeps: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += seconds


def client(url: str, time: Time | None = None, **options: float) -> ApiClient:
    time = time or Time()
    return ApiClient(url, rng=random.Random(1), clock=time, sleep=time.sleep, **options)


def test_tokens_come_in_batches(chat) -> None:
    tokens = client(chat.api_url).tokens("key", range(1, 2502))
    assert tokens == {device: f"1:{device}" for device in range(1, 2502)}


def test_phones_are_registered_in_batches_by_turns_at_both_providers(chat) -> None:
    chat.http_failures = [HTTPStatus.SERVICE_UNAVAILABLE] * 2
    client(chat.api_url).register("key", range(1, 1502))
    assert len(chat.phones) == 1501
    assert all(user == device for device, (user, _, _) in chat.phones.items())
    for device, (_, provider, token) in chat.phones.items():
        assert provider == ("fcm" if device % 2 else "apns")
        assert device_of(provider, token) == device


def test_a_creation_of_unknown_outcome_is_repeated_and_made_once(chat) -> None:
    time = Time()
    chat.http_failures = [HTTPStatus.SERVICE_UNAVAILABLE] * 5
    conv = client(chat.api_url, time).create("1:7", kind="group", members=[7, 8], key="a")
    assert list(chat.conversations) == [conv]
    assert chat.conversations[conv].members == {7, 8}
    assert len(time.sleeps) == 5
    assert time.sleeps[-1] > time.sleeps[0]
    assert max(time.sleeps) <= 1.0


def test_many_conversations_are_created_in_requests_of_bounded_size(chat) -> None:
    wanted = [("direct", (user, user + 1), "d") for user in range(1, 2 * MAX_MADE + 2)]
    chat.http_failures = [HTTPStatus.SERVICE_UNAVAILABLE] * 2
    made = client(chat.api_url).create_all("key", wanted)
    assert [sorted(chat.conversations[conv].members) for conv in made] == [list(members) for _, members, _ in wanted]
    assert [len(batch) for batch in batches(wanted)] == [MAX_MADE, MAX_MADE, 1]
    groups = [("group", range(1, 1 + size), "g") for size in (MAX_MEMBERS - 1, 1, 1, MAX_MEMBERS + 1, 1)]
    assert [len(batch) for batch in batches(groups)] == [2, 1, 1, 1]
    assert not list(batches([]))


def test_a_repeated_membership_change_has_the_number_it_took(chat) -> None:
    api = client(chat.api_url)
    conv = api.create("1:7", kind="group", members=[7, 8], key="a")
    chat.http_failures = [HTTPStatus.SERVICE_UNAVAILABLE] * 2
    assert api.add("1:7", conv, 9) == 1
    assert api.remove("1:7", conv, 9) == 2
    assert chat.conversations[conv].members == {7, 8}


def test_a_refusal_is_definite_and_not_repeated(chat) -> None:
    time = Time()
    chat.http_failures = [HTTPStatus.FORBIDDEN]
    with pytest.raises(ApiError, match="403: as the test asked") as caught:
        client(chat.api_url, time).create("1:7", kind="group", members=[7], key="a")
    assert caught.value.definite
    assert not time.sleeps


def test_it_gives_up_with_the_outcome_unknown(chat) -> None:
    time = Time()
    api = client(chat.api_url, time, give_up_s=3.0)
    conv = api.create("1:7", kind="group", members=[7, 8], key="a")
    chat.http_failures = [HTTPStatus.SERVICE_UNAVAILABLE] * 100
    with pytest.raises(ApiError, match="503") as caught:
        api.add("1:7", conv, 9)
    assert not caught.value.definite
    assert 1.5 <= time.now <= 3.0


def test_nobody_listening_is_one_line() -> None:
    with pytest.raises(ApiError, match=r"GET /v1/discovery at 127\.0\.0\.1:1: .*refused") as caught:
        client("http://127.0.0.1:1").gateways()
    assert "\n" not in str(caught.value)


def test_a_wrong_key_and_a_strange_answer_are_one_line(chat) -> None:
    with pytest.raises(ApiError, match="401: wrong API key"):
        client(chat.api_url).tokens("other", [1])
    chat.http_failures = [HTTPStatus.OK]
    with pytest.raises(ApiError, match="not as documented"):
        client(chat.api_url).gateways()


def test_a_dead_kept_connection_is_replaced_without_a_retry(chat) -> None:
    time = Time()
    api = client(chat.api_url, time)
    api.gateways()
    api._local.connection.sock.shutdown(2)
    assert api.gateways() == (chat.url,)
    assert not time.sleeps


def test_parallel_keeps_order_and_bounds_and_raises_the_first_error() -> None:
    lock = threading.Lock()
    running = most = 0

    def work(item: int) -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        threading.Event().wait(0.002)
        with lock:
            running -= 1
        if item == 77:
            raise ApiError("seventy-seven")
        return item * 2

    assert parallel(work, range(60), at_once=8) == [2 * item for item in range(60)]
    assert most <= 8
    assert parallel(work, [], at_once=8) == []
    with pytest.raises(ApiError, match="seventy-seven"):
        parallel(work, range(100), at_once=8)


def test_a_refused_connection_is_told_in_words() -> None:
    with socket.socket() as taken:  # bound and not listening: nobody else gets the port
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(ApiError) as caught:
            client(f"http://127.0.0.1:{port}").gateways()
    assert str(caught.value) == f"GET /v1/discovery at 127.0.0.1:{port}: Connection refused"
