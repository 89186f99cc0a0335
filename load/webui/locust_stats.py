# mypy: disable-error-code="no-untyped-call"
"""Locust's own statistics: acks and displays are its requests, each with a row of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from locust.env import Environment


class RequestEvents:
    """Reports acks and displays to Locust's statistics as requests."""

    def __init__(self, environment: Environment) -> None:
        self._fire = environment.events.request.fire

    def acked(self, latency_ns: int) -> None:
        """Report an acknowledged send."""
        self._tell("send -> ack", latency_ns)

    def shown(self, latency_ns: int, *, group: bool, size: int) -> None:
        """Report a displayed message."""
        self._tell("send -> shown (group)" if group else "send -> shown (1:1)", latency_ns, size)

    def failed(self, text: str) -> None:
        """Report a send that was refused or given up."""
        self._tell("send -> ack", 0, error=RuntimeError(text))

    def _tell(self, name: str, latency_ns: int, size: int = 0, error: Exception | None = None) -> None:
        self._fire(
            request_type="chat",
            name=name,
            response_time=latency_ns / 1e6,
            response_length=size,
            exception=error,
            context={},
        )
