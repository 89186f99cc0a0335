"""One line per log record, alike in every process: time in UTC to the millisecond, level, logger, text.

With PETREL_LOGS=json in the environment each line is a JSON object, for a log store. Ids that a record is about are
fields of it then; they come from the `extra` of the call. No log has a body of a message.

Only a bug of our own brings its traceback. Drivers attach one to each refused or broken connection, which is normal
here: only the error's text is kept.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from typing import Final

import msgspec

DRIVERS: Final = ("cassandra", "aiokafka", "kafka", "redis")
"""Loggers of the libraries that connect to servers."""
IDS: Final = ("conversation", "partition")
"""Fields of a JSON line besides those that each has."""


class OneLine(logging.Formatter):
    """The format; a driver's records never have more than one line."""

    def __init__(self) -> None:
        super().__init__("{asctime}.{msecs:03.0f} {levelname} {name}: {message}", "%Y-%m-%dT%H:%M:%S", "{")
        self.converter = time.gmtime

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, followed by the traceback for a bug of our own."""
        if record.name.partition(".")[0] not in DRIVERS:
            return super().format(record)
        error = record.exc_info[1] if record.exc_info else None
        text = record.getMessage() + (f" {type(error).__name__}: {error}" if error is not None else "")
        line = logging.LogRecord(record.name, record.levelno, record.pathname, record.lineno, "%s", (), None)
        line.created, line.msecs = record.created, record.msecs
        line.msg, line.args = " ".join(text.split()), ()
        return super().format(line)


class Lines(logging.Formatter):
    """JSON lines. A traceback is a field of its line, with its line ends."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service
        self._text = OneLine()

    def format(self, record: logging.LogRecord) -> str:
        """Return one JSON object: time (ms since 1970), level, logger, service, text, and the ids."""
        whole = self._text.format(record)
        _, _, text = whole.partition(f" {record.levelname} {record.name}: ")
        text, _, trace = text.partition("\nTraceback")
        told = {
            "time_ms": round(record.created * 1e3),
            "level": record.levelname.lower(),
            "logger": record.name,
            "service": self._service,
            "text": text,
        }
        told |= {key: record.__dict__[key] for key in IDS if key in record.__dict__}
        if trace:
            told["traceback"] = f"Traceback{trace}"
        return msgspec.json.encode(told).decode()


def configure(name: str) -> logging.Logger:
    """Log to standard error, which the supervisor appends to DIR/logs/NAME.log; returns the process's own logger."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines(name) if os.environ.get("PETREL_LOGS") == "json" else OneLine())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    return logging.getLogger(name)
