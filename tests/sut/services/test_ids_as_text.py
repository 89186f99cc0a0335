"""Ids as text: each answer has them beside the numbers, each request takes either, and a client in JavaScript, whose
numbers are exact to 2^53 only, uses what it has read.
"""

import asyncio
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient

from sut.services.api import ids, openapi
from tests.kit.pace import scaled
from tests.sut.services.api_world import API_KEY, Agreeing, token, with_api

SCRIPT = Path(__file__).parents[2] / "kit/ids_in_javascript.mjs"
NODE = shutil.which("node")
USER, DEVICE = (1 << 53) + 1, 6_917_529_027_641_081_855
EDGES = [1, 9, 10, (1 << 53) + 1, 10**18 - 1, 10**18, ids.MAX_ID - 1, ids.MAX_ID]


@pytest.mark.skipif(NODE is None, reason="needs `node` on PATH: Node.js 18 or newer")
def test_a_client_in_javascript_uses_the_ids_that_it_has_read() -> None:
    async def scenario(client: TestClient, control: Agreeing) -> None:
        address = str(client.make_url("")).rstrip("/")
        done = await asyncio.to_thread(
            subprocess.run,
            [str(NODE), str(SCRIPT), address, API_KEY, str(USER), str(DEVICE)],
            check=False, capture_output=True, text=True, timeout=scaled(20),
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        said = json.loads(done.stdout)
        (_, conv, *creation), added, removed = control.asked
        assert creation == [USER, "g", (USER, USER + 2)]
        assert added == ("add", conv, USER, USER + 2)
        assert removed == ("remove", conv, USER, USER + 2)
        assert (said["device"], said["conversation"], said["other"]) == (str(DEVICE), str(conv), str(USER + 2))
        assert said["deviceAsNumber"] == "6917529027641081856", "the number is another device there"

    with_api(scenario)


@pytest.mark.parametrize("number", EDGES)
def test_an_id_has_one_text(number: int) -> None:
    assert ids.parse(str(number)) == number
    assert re.search(ids.ID_PATTERN, str(number))


@pytest.mark.parametrize(
    "text", ["", "0", "01", "+1", "-1", " 1", "1 ", "1\n", "1.0", "1e3", "0x1", "\u0661", "1_0", "9" * 5000]
)
def test_another_text_is_no_id(text: str) -> None:
    assert ids.parse(text) is None


@pytest.mark.parametrize("number", [ids.MAX_ID + 1, ids.MAX_ID + 10, 9_300_000_000_000_000_000, 10**19])
def test_a_number_beyond_the_largest_is_no_id(number: int) -> None:
    assert ids.parse(str(number)) is None
    assert not re.search(ids.ID_PATTERN, str(number))


@pytest.mark.parametrize(
    ("user", "status"),
    [
        (2, 200),
        ("2", 200),
        (str(ids.MAX_ID), 200),
        (2.5, 400),
        ("02", 400),
        ("2.0", 400),
        (str(ids.MAX_ID + 1), 400),
        (True, 400),
        (None, 400),
        ([2], 400),
        ({}, 400),
    ],
)
def test_a_request_takes_text_and_number(user: object, status: int) -> None:
    async def scenario(client: TestClient, control: Agreeing) -> None:
        headers = {"Authorization": f"Bearer {token(1, 11)}"}
        answer = await client.post("/v1/conversations/5/members", json={"user": user}, headers=headers)
        assert answer.status == status, await answer.text()
        assert control.asked == ([("add", 5, 1, int(str(user)))] if status == 200 else [])
        if status == 400:
            assert "$.user" in (await answer.json())["error"]

    with_api(scenario)


def test_a_list_of_ids_may_mix_both() -> None:
    async def scenario(client: TestClient, control: Agreeing) -> None:
        headers = {"Authorization": f"Bearer {token(1, 11)}"}
        body = {"kind": "group", "members": ["2", 3, str(ids.MAX_ID)], "key": "k"}
        assert (await client.post("/v1/conversations", json=body, headers=headers)).status == 201
        assert control.asked[0][4] == (1, 2, 3, ids.MAX_ID)
        assert all(type(user) is int for user in control.asked[0][4])  # type: ignore[attr-defined]

    with_api(scenario)


def test_every_id_of_an_answer_is_documented_in_both_forms() -> None:
    schemas = openapi.document()["components"]["schemas"]
    answers = {
        name for name, schema in schemas.items() if any(field.endswith("_id") for field in schema.get("properties", ()))
    }
    assert answers == {
        "Token", "Registration", "RevokedDevice", "Created", "Member", "HistoryMessage", "Progress", "Seen", "BundleOf",
    }  # fmt: skip
    for schema in (schemas[name] for name in answers):
        for name, kind in schema["properties"].items():
            if name.endswith("_id"):
                assert kind["type"] == "string"
                assert schema["properties"][name.removesuffix("_id")]["deprecated"]
                assert {name, name.removesuffix("_id")} <= set(schema["required"])


def test_no_answer_has_an_id_as_a_number_alone() -> None:
    schemas = openapi.document()["components"]["schemas"]
    for schema in schemas.values():
        properties = schema.get("properties", {})
        for name in {"user", "device", "conversation", "client_seq"} & properties.keys():
            if properties[name].get("type") == "integer":
                assert f"{name}_id" in properties, schema["title"]
