"""Lines of a log: a driver's troubles take one each, our own defects bring their traceback."""

import logging

from sut.deploy.supervise.log_lines import OneLine


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
