"""Where the rules are: in the process that holds the sockets, or in one behind it that holds none.

A rule takes RULE_S of CPU, as a costly check or an unlucky release does. Clients send heartbeats meanwhile. Then the
rules are released anew: their process is killed. The figures are the sockets cut, and the p99 of a heartbeat before.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from typing import Final

from chaos.bench.antipatterns.pattern import Child, Figure, Pattern, Place, Result, percentile

CLIENTS: Final = 100
RULE_S: Final = 0.03
RULES_PER_S: Final = 10.0
BEAT_S: Final = 0.5
DURATION_S: Final = 6.0
SETTLE_S: Final = 1.0
WRONG: Final = "rules in the gateway"
RIGHT: Final = "rules in a service behind it"


def rule() -> None:
    """Use the CPU as the rule does."""
    end_s = time.thread_time() + RULE_S
    while time.thread_time() < end_s:
        pass


async def gateway(rules_port: int) -> None:
    """Hold sockets until killed; a rule is applied here (port 0) or by the service at that port."""
    link = await asyncio.open_connection("127.0.0.1", rules_port) if rules_port else None

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            if line == b"beat\n":
                writer.write(b"beat\n")
            elif link is not None:
                with contextlib.suppress(OSError):
                    link[1].write(line)  # the answer would come back by the way of deliveries
            else:
                rule()

    await _listen(serve)


async def service() -> None:
    """Apply rules until killed."""

    async def serve(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        while await reader.readline():
            rule()

    await _listen(serve)


async def _listen(serve: object) -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)  # type: ignore[arg-type]
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201
    await asyncio.Event().wait()


async def _clients(port: int, killed: Child) -> tuple[float, int]:
    """Return the p99 of a heartbeat in ms, and how many sockets end when that process is killed."""
    took_s: list[float] = []
    ended = 0

    async def client(number: int) -> None:
        nonlocal ended
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.sleep(BEAT_S * number / CLIENTS)
        end_s = time.monotonic() + DURATION_S
        alive = True
        with contextlib.suppress(ConnectionError):
            while alive and (begun_s := time.monotonic()) < end_s:
                writer.write(b"beat\n")
                alive = bool(await reader.readline())
                took_s.append(time.monotonic() - begun_s)
                await asyncio.sleep(BEAT_S)
            if alive:
                await reader.read(1)  # nothing comes any more but the end
        ended += 1

    async def senders() -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(round(RULES_PER_S * DURATION_S)):
            writer.write(b"send\n")
            await asyncio.sleep(1 / RULES_PER_S)

    tasks = [asyncio.create_task(client(number)) for number in range(CLIENTS)]
    await senders()
    await asyncio.sleep(2 * BEAT_S + SETTLE_S)
    killed.kill()
    await asyncio.sleep(SETTLE_S)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return 1000 * percentile(took_s, 0.99), ended


def _run(*, together: bool) -> tuple[float, int]:
    children: list[Child] = []
    try:
        port = 0
        if not together:
            children.append(Child(__name__, "service"))
            port = int(children[0].ready())
        children.append(Child(__name__, "gateway", str(port)))
        return asyncio.run(_clients(int(children[-1].ready()), children[0]))
    finally:
        for one in children:
            one.kill()


def measure(place: Place) -> Result:
    """Measure both with the same clients."""
    place.say(f"{CLIENTS} clients, {RULES_PER_S:g} rules/s of {1000 * RULE_S:g} ms each, then a release")
    (wrong_ms, wrong_cut), (right_ms, right_cut) = _run(together=True), _run(together=False)
    return Result(
        name=PATTERN.name, wrong=WRONG, right=RIGHT,
        figures=(
            Figure(name="sockets cut by a release of the rules", wrong=float(wrong_cut), right=float(right_cut)),
            Figure(name="heartbeat, p99 ms", wrong=wrong_ms, right=right_ms),
        ),
        anomaly=f"a release cuts {wrong_cut} of {CLIENTS} sockets" if wrong_cut > right_cut else "",
        where_wrong_wins="one hop less for each message",
    )  # fmt: skip


PATTERN: Final = Pattern(name="rules_in_gateway", wrong=WRONG, right=RIGHT, measure=measure)

if __name__ == "__main__":
    asyncio.run(service() if sys.argv[1] == "service" else gateway(int(sys.argv[2])))
