"""Known bad: a TLS connection that ends under a push is no error that the push service knows, and ends the service."""

from __future__ import annotations

from sut.adapters.push import h2_client
from sut.deploy.topology import Topology
from sut.services.push.pieces import PushPieces
from tests.defects.tls_ended_push import trigger

CAUGHT_BY = ("push",)


class Raw(trigger.Ending):
    """Gives those who wait for an answer the error of the transport as it is."""

    def connection_lost(self, exc: Exception | None) -> None:
        for stream in self._streams.values():
            if exc is not None and not stream.answer.done():
                stream.answer.set_exception(exc)
        super().connection_lost(exc)


def push(topology: Topology) -> PushPieces:
    pieces = trigger.push(topology)
    h2_client._Connection = Raw  # type: ignore[misc]
    return pieces
