"""A whole embedded system in a test: started and stopped, and called over HTTP as any client calls it."""

import contextlib
import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sut.deploy import system
from sut.deploy.system import System
from sut.deploy.topology import Settings, Topology
from tests.kit.pace import scaled

STOP_S = 15.0


@contextlib.contextmanager
def embedded(directory: Path, settings: Settings) -> Iterator[System]:
    """A system of the embedded profile in `directory`, for as long as the block runs."""
    started = system.start(profile="embedded", directory=directory, settings=settings, on_progress=lambda _line: None)
    try:
        yield started
    finally:
        started.stop(STOP_S)


def call(topology: Topology, path: str, body: object, key: str, method: str = "POST") -> Any:
    """The answer of the API, decoded; no body where `body` is None. Raises urllib.error.HTTPError."""
    data = json.dumps(body).encode() if body is not None else None
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    request = urllib.request.Request(topology.api_url + path, data, headers, method=method)
    with urllib.request.urlopen(request, timeout=scaled(10)) as answer:
        return json.load(answer)


def tokens(topology: Topology, *users: int) -> dict[int, str]:
    """A token for each user's device, which has the user's number."""
    wanted = {"devices": [{"user": user, "device": user} for user in users]}
    return {item["device"]: item["token"] for item in call(topology, "/v1/tokens", wanted, topology.api_key)["tokens"]}


def gateways(topology: Topology) -> list[str]:
    """The gateways' URLs, as discovery tells them."""
    urls: list[str] = call(topology, "/v1/discovery", None, "", "GET")["gateways"]
    return urls


def create(topology: Topology, token: str, kind: str, members: list[int], key: str) -> int:
    """The id of the new conversation of the token's user with these; the same again for the same `key`."""
    wanted = {"kind": kind, "members": members, "key": key}
    conv: int = call(topology, "/v1/conversations", wanted, token)["conversation"]
    return conv
