"""A send that is repeated because its answer was lost: without an idempotency key it is a second message.

A server process appends what it gets and answers. One answer in ten is lost with its connection, as when a phone
changes its network. The client connects again and repeats what has no answer. The figure counts stored messages.
"""

from __future__ import annotations

import os
import random
import socket
import threading
from typing import Final

from chaos.bench.antipatterns.pattern import Figure, Pattern, Place, Result, child

MESSAGES: Final = 2000
LOST: Final = 0.1
WRONG: Final = "no idempotency key"
RIGHT: Final = "a key from the client, kept by the server"


def serve(with_key: bool) -> None:
    """Take messages until standard input ends, then print how many are stored."""
    stored: list[str] = []
    known: set[str] = set()
    lost = random.Random(7)
    listener = socket.create_server(("127.0.0.1", 0))

    def take() -> None:
        while True:
            connection, _ = listener.accept()
            with connection, connection.makefile("r") as lines:
                for line in lines:
                    if not with_key or line not in known:
                        stored.append(line)
                        known.add(line)
                    if lost.random() < LOST:
                        break  # the answer is lost with the connection
                    connection.sendall(b"ok\n")

    threading.Thread(target=take, daemon=True).start()
    print(listener.getsockname()[1], flush=True)  # noqa: T201
    os.read(0, 1)
    print(len(stored), flush=True)  # noqa: T201


def _stored(*, with_key: bool) -> int:
    with child(__name__, "key" if with_key else "none") as server:
        address, number = ("127.0.0.1", int(server.line)), 0
        while number < MESSAGES:
            with socket.create_connection(address, timeout=30) as connection, connection.makefile("r") as answers:
                while number < MESSAGES:
                    connection.sendall(f"{number}\n".encode())
                    if not answers.readline():
                        break
                    number += 1
        server.say("")
        return int(server.read())


def measure(place: Place) -> Result:
    """Send the same messages to both."""
    place.say(f"{MESSAGES:,} messages, one answer in {1 / LOST:g} is lost")
    wrong, right = _stored(with_key=False), _stored(with_key=True)
    return Result(
        name=PATTERN.name, wrong=WRONG, right=RIGHT,
        figures=(Figure(name="messages stored twice", wrong=float(wrong - MESSAGES), right=float(right - MESSAGES)),),
        anomaly=f"{wrong - MESSAGES} of {MESSAGES} messages are there twice" if wrong > MESSAGES else "",
    )  # fmt: skip


PATTERN: Final = Pattern(name="no_idempotency_key", wrong=WRONG, right=RIGHT, measure=measure)

if __name__ == "__main__":
    import sys

    serve(sys.argv[1] == "key")
