"""One line per log record, alike in every process: time in UTC to the millisecond, level, logger, text.

Only a bug of our own brings its traceback. Drivers attach one to each refused or broken connection, which is normal
here: only the error's text is kept.
"""

from __future__ import annotations

import logging
import sys
import time
from typing import Final

DRIVERS: Final = ("cassandra", "aiokafka", "kafka", "redis")
"""Loggers of the libraries that connect to servers."""


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


def configure(name: str) -> logging.Logger:
    """Log to standard error, which the supervisor appends to DIR/logs/NAME.log; returns the process's own logger."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(OneLine())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    return logging.getLogger(name)
