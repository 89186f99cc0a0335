"""Lines of a log: a driver's troubles take one each, our own defects bring their traceback."""

import json
import logging
from typing import Any

from sut.deploy.supervise.log_lines import Lines, OneLine


def formatted(name: str, message: str) -> str:
    try:
        raise ConnectionResetError(104, "Connection reset\nby peer")
    except ConnectionResetError as error:
        record = logging.LogRecord(name, logging.WARNING, __file__, 1, message, (), (type(error), error, None))
        record.exc_info = (type(error), error, error.__traceback__)
    record.created, record.msecs = 1_700_000_000.25, 250.0
    return OneLine().format(record)


def test_a_drivers_error_is_one_line_with_the_errors_words() -> None:
    line = formatted("cassandra.cluster", "Error connecting to 127.0.0.1:9042:")
    assert line == (
        "2023-11-14T22:13:20.250 WARNING cassandra.cluster: Error connecting to 127.0.0.1:9042:"
        " ConnectionResetError: [Errno 104] Connection reset by peer"
    )


def test_our_own_error_keeps_its_traceback() -> None:
    text = formatted("cassandra_store", "no good")
    assert text.startswith("2023-11-14T22:13:20.250 WARNING cassandra_store: no good\nTraceback")
    assert "test_log_lines.py" in text


def as_json(level: int, text: str, *, error: BaseException | None = None, **extra: Any) -> dict[str, Any]:
    """The fields of a JSON line."""
    record = logging.LogRecord("accept", level, __file__, 1, text, (), None)
    if error is not None:
        record.exc_info = (type(error), error, error.__traceback__)
    record.__dict__.update(extra)
    record.created = 1_700_000_000.25
    line = Lines("chat-1").format(record)
    assert "\n" not in line
    told: dict[str, Any] = json.loads(line)
    return told


def test_a_json_line_has_the_ids_that_it_is_about_and_nothing_else() -> None:
    assert as_json(logging.WARNING, "append failed: no disk", partition=3, conversation=1 << 60, body=b"secret") == {
        "time_ms": 1_700_000_000_250,
        "level": "warning",
        "logger": "accept",
        "service": "chat-1",
        "text": "append failed: no disk",
        "partition": 3,
        "conversation": 1 << 60,
    }


def test_a_traceback_is_a_field_of_its_line() -> None:
    try:
        raise ValueError("no good")
    except ValueError as error:
        told = as_json(logging.ERROR, "a bug", error=error)
    assert told["text"] == "a bug"
    assert told["traceback"].startswith("Traceback (most recent call last)")
    assert told["traceback"].endswith("ValueError: no good")
