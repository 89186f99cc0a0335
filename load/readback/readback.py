"""The final read-back: after the run, every device reads all it may see, from number 0, on a fresh connection.

    python -m load.readback.readback SWARM_JSON

A device reads two sets of conversations. The service reports one by SYNC from 0. The history names the other: the user
is or was a member there. Each is fetched page by page to its head. In a swarm above FULLY, a conversation in which
nobody sent and nothing was changed by the history is not fetched, but for one in QUIET, and that by its first member. A
whole SYNC that has no news of it is believed.
FINAL is written for each message, and FINAL_DONE for each conversation read to its end, even an empty one. A
conversation that cannot be read after bounded retries is a hole in the history, and the exit status is 70.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import ssl
import sys
import threading
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple, NoReturn

import msgspec
import uvloop

from load.device.secure import client_context
from load.drive.api import ApiClient, ApiError
from load.drive.probe import draw, probe
from load.history.control import ControlWriter
from load.history.events import Event
from load.history.writer import HistoryError, HistoryTail, HistoryWriter
from load.readback.reader import ANSWER_S, AskAgain, Reader, Unreadable
from load.readback.wire import Closed, Wire, connect
from load.workload import ConfigError, SwarmConfig
from load.workload import load as load_config
from sut.protocol.frames import FrameError

AT_ONCE: Final = 64
"""Number of devices that read at the same time."""
ATTEMPTS: Final = 12
"""Connections that one device may use; a growing wait follows a failed one, 20 s in all at most."""
WAIT_CAP_S: Final = 3.0
FULLY: Final = 5000
"""Up to this many devices each member fetches each conversation, even one in which nothing happened."""
QUIET: Final = 16
"""In a larger swarm, one in so many of the conversations in which nothing happened is fetched."""
SHARE: Final = 1000
"""Devices for which a second process is worth its start."""
EXIT_USAGE: Final = 64
EXIT_HARNESS: Final = 70


async def read_device(
    reader: Reader,
    *,
    token: str,
    gateways: Callable[[], Awaitable[tuple[str, ...]]],
    rng: random.Random,
    after: Callable[[Wire], Awaitable[object]] | None = None,
    secure: ssl.SSLContext | None = None,
) -> list[str]:
    """Read one device with bounded retries. Returns a line for each part that could not be read.

    `after` is called with the connection when all is read.
    """
    holes: list[str] = []
    reason = "no gateway"
    failures = 0
    while failures < ATTEMPTS:
        if failures:
            await asyncio.sleep(rng.uniform(0.5, 1) * min(WAIT_CAP_S, 0.1 * 2**failures))
        failures += 1
        urls = await gateways()
        if not urls:
            continue
        try:
            wire = await connect(rng.choice(urls), token, secure=secure, timeout_s=ANSWER_S)
            try:
                await reader.read(wire)
                if after is not None:
                    await after(wire)
            finally:
                wire.close()
            return holes
        except Unreadable as error:
            holes.append(f"device {reader.device}, conversation {error.conv}: {error}")
            reader.forget(error.conv)
            failures -= 1  # bounded by the number of conversations
        except (AskAgain, FrameError, OSError, TimeoutError, Closed) as error:
            reason = str(error) or type(error).__name__
    holes.append(f"device {reader.device} could not be read in {ATTEMPTS} attempts: {reason}")
    return holes


class Known(NamedTuple):
    """The conversations by the history."""

    of: Mapping[int, set[int]]
    """User -> every conversation in which the user is or was a member."""
    reader: Mapping[int, int]
    """Conversation in which nobody sent and nothing was changed -> the user who reads it all the same; 0: nobody."""

    def expected(self, user: int) -> list[int]:
        """Return the conversations that this user reads in any case."""
        return sorted(conv for conv in self.of.get(user, ()) if self.reader.get(conv, user) == user)


def known_of(directory: Path, *, fully: bool) -> Known:
    """Read the history. `fully`: every member fetches every conversation. Raises OSError."""
    of: defaultdict[int, set[int]] = defaultdict(set)
    first: dict[int, int] = {}
    busy: set[int] = set()
    for path in sorted(directory.glob("*.bin")):
        tail = HistoryTail(path)
        for record in tail.read():
            kind, conv = record[7], record[3]
            if kind == Event.MEMBER:
                of[record[4]].add(conv)
                first.setdefault(conv, record[4])
                if record[5]:
                    busy.add(conv)
            elif kind == Event.SEND:
                busy.add(conv)
        tail.close()
    if fully:
        return Known(of, {})
    quiet = sorted(first.keys() - busy)
    return Known(of, {conv: 0 if at % QUIET else first[conv] for at, conv in enumerate(quiet)})


class Discovery:
    """The gateways, requested at most once a second."""

    def __init__(self, api: ApiClient) -> None:
        self._api = api
        self._urls: tuple[str, ...] = ()
        self._asked_at = float("-inf")
        self._lock = asyncio.Lock()

    async def __call__(self) -> tuple[str, ...]:
        """Return their URLs; the last known ones while the API does not answer."""
        loop = asyncio.get_running_loop()
        async with self._lock:
            if loop.time() - self._asked_at >= 1.0:
                with contextlib.suppress(ApiError):
                    self._urls = await asyncio.to_thread(self._api.gateways)
                self._asked_at = loop.time()
            return self._urls


async def read_some(
    config: SwarmConfig, history: HistoryWriter, known: Known, devices: Sequence[int]
) -> tuple[int, list[str]]:
    """Read these devices.

    Returns the number of FINAL rows and a line for each unread part. Raises ApiError.
    """
    api = ApiClient(config.api_url, ca_file=config.ca_file, allowed=config.allowed)
    secure = client_context(config.ca_file) if config.api_url.startswith("https:") else None
    tokens = await asyncio.to_thread(api.tokens, config.api_key, devices)
    gateways = Discovery(api)
    rng = random.Random()
    everybody = range(config.first_id, config.first_id + config.users)
    probes = draw(known.of, share=config.probe_share, seed=config.seed, users=everybody)
    waiting = iter(devices)
    rows = 0
    holes: list[str] = []

    async def work() -> None:
        nonlocal rows
        for device in waiting:
            expected = known.expected(device)
            reader = Reader(device, expected, history, quiet=known.of.get(device, set()).difference(expected))
            conv = probes.get(device)
            after = partial(probe, device=device, conv=conv, history=history) if conv is not None else None
            found = await read_device(
                reader, token=tokens[device], gateways=gateways, rng=rng, after=after, secure=secure
            )
            holes.extend(found)
            rows += reader.rows

    async with asyncio.TaskGroup() as group:
        for _ in range(min(AT_ONCE, len(devices))):
            group.create_task(work())
    return rows, holes


class Done(msgspec.Struct, frozen=True):
    """What a process has read: the number of messages, and a line for each part that it could not read."""

    rows: int = 0
    holes: tuple[str, ...] = ()


def read(config: SwarmConfig, known: Known, devices: Sequence[int]) -> Done:
    """Read these devices into history files of this process. Raises OSError, HistoryError before it begins."""
    name = f"readback-{os.getpid()}"
    control = ControlWriter(config.history / f"{name}.jsonl", process=name)
    history = HistoryWriter(config.history / f"{name}.bin")
    control.phase("final")
    rows, holes = 0, list[str]()
    try:
        rows, holes = uvloop.run(read_some(config, history, known, devices))
    except* (ApiError, HistoryError, OSError) as errors:
        holes = [f"the read-back stopped: {errors.exceptions[0]}"]
    history.close()
    for hole in holes:
        control.hole(hole)
    control.phase("end")
    control.close()
    return Done(rows, tuple(holes))


def read_all(config: SwarmConfig) -> Done:
    """Read every device, a share in each of some processes. Raises OSError, HistoryError before it begins."""
    known = known_of(config.history, fully=config.users <= FULLY)
    devices = range(config.first_id, config.first_id + config.users)
    processes = max(1, min(os.cpu_count() or 1, config.users // SHARE))
    lifeline, held = os.pipe()
    others = []
    for number in range(1, processes):
        reader, writer = os.pipe()
        if (pid := os.fork()) == 0:
            os.close(held)
            threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()
            _live(writer, lambda number=number: read(config, known, devices[number::processes]))  # type: ignore[misc]
        os.close(writer)
        others.append((pid, reader))
    done = [read(config, known, devices[::processes])]
    done += [_result(pid, reader) for pid, reader in others]
    os.close(lifeline)
    os.close(held)
    return Done(sum(one.rows for one in done), tuple(hole for one in done for hole in one.holes))


def _live(writer: int, work: Callable[[], Done]) -> NoReturn:
    """Be one of the other processes: work, write the result, and end."""
    status = 1
    try:
        done = work()
        with os.fdopen(writer, "wb") as out:
            out.write(msgspec.json.encode(done))
        status = 0
    finally:
        os._exit(status)


def _end_with(lifeline: int) -> None:
    """End this process when the one that holds the other end of the pipe has ended."""
    os.read(lifeline, 1)
    os._exit(1)


def _result(pid: int, reader: int) -> Done:
    with os.fdopen(reader, "rb") as said:
        told = said.read()
    status = os.waitpid(pid, 0)[1]
    if status:
        return Done(holes=(f"a process of the read-back ended, {os.waitstatus_to_exitcode(status)}",))
    return msgspec.json.decode(told, type=Done)


def main(arguments: list[str] | None = None) -> int:
    """Read back one run. Returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m load.readback.readback", description="Read back what a swarm may see."
    )
    parser.add_argument("swarm_json", type=Path)
    try:
        config = load_config(parser.parse_args(arguments).swarm_json)
    except ConfigError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return EXIT_USAGE
    try:
        done = read_all(config)
    except (OSError, HistoryError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return EXIT_HARNESS
    if done.holes:
        print(f"{len(done.holes)} not read; the first: {done.holes[0]}", file=sys.stderr)  # noqa: T201
        return EXIT_HARNESS
    print(f"read back {config.users} devices, {done.rows} messages")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
