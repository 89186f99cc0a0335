"""Questions over links on a machine that is slow: what a healthy link took is the measure, and a fault waits for it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest

from chaos.errors import FaultError
from chaos.faults.mechanisms.toxic import MAX_PATIENCE, Latency
from chaos.faults.proofs.passage import ASK_TIMES, Passage
from chaos.faults.world import World
from sut.deploy.topology import Link, Topology

ASK_S = 0.3


@contextmanager
def slow(after_s: float) -> Iterator[Link]:
    """Yield a link to a gateway that answers each request for its health so long after it."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer(sock: socket.socket) -> None:
            with sock:
                sock.recv(65536)
                time.sleep(after_s)
                sock.sendall(b"HTTP/1.1 200 OK\r\n\r\nok\n")

        def accept() -> None:
            while True:
                try:
                    sock, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=answer, args=(sock,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield Link(source="cell-1", target="gateway-1", port="ws", listen=server.getsockname()[1])
        server.shutdown(socket.SHUT_RDWR)


WORLD = cast("World", SimpleNamespace(topology=None))


def test_what_the_healthy_link_took_is_the_measure_for_later_questions() -> None:
    with slow(0.2) as link:
        way = Passage.opened(WORLD, ASK_S, link)
        assert way.before.how == "whole"
        assert way.ask_s >= ASK_TIMES * 0.2
        assert way.over(lambda answer: answer.how == "whole")


def test_a_fault_waits_longer_for_a_healthy_link_each_time_up_to_a_bound() -> None:
    with slow(2 * ASK_S) as link:

        class OfOne(Latency):
            ask_s = ASK_S

            @classmethod
            def links_of(cls, topology: Topology) -> Mapping[str, tuple[Link, ...]]:
                return {"it": (link,)}

            def add(self, link: str) -> None:
                raise AssertionError("nothing is injected")

        fault = OfOne(WORLD, "it", cast("Any", {}))
        with pytest.raises(FaultError, match="no answer"):
            fault.arm()
        deadline_s = time.monotonic() + 30
        while True:
            try:
                assert fault.arm()
            except FaultError:
                assert time.monotonic() < deadline_s
            else:
                break
        assert fault._patience <= MAX_PATIENCE
