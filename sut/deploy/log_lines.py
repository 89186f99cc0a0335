"""One line a log record, alike in every process: time in UTC to the millisecond, level, logger, text."""

from __future__ import annotations

import logging
import sys
import time


def configure(name: str) -> logging.Logger:
    """Log to standard error, which the supervisor appends to DIR/logs/NAME.log; returns the process's own logger."""
    formatter = logging.Formatter("{asctime}.{msecs:03.0f} {levelname} {name}: {message}", "%Y-%m-%dT%H:%M:%S", "{")
    formatter.converter = time.gmtime
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    return logging.getLogger(name)
