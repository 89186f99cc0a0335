"""The exchange format as a JSON schema, made from load/history/events.py and load/history/control.py.

`python -m load.history.schema` prints it. docs/exchange.schema.json is its output; a test checks that it is current.
"""

from __future__ import annotations

import functools
import operator
import sys
from typing import Any

import msgspec

from load.history.control import CONTROL
from load.history.events import LINES

TITLE = "One line of a history in the exchange format"


def schema() -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of one line."""
    kinds: list[Any] = [*LINES, *CONTROL]
    made: dict[str, Any] = msgspec.json.schema(functools.reduce(operator.or_, kinds))
    about = "Lines of other kinds and other fields are allowed, and are not judged."
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": TITLE, "description": about, **made}


def text() -> bytes:
    """Return the content of docs/exchange.schema.json."""
    return msgspec.json.format(msgspec.json.encode(schema()), indent=1) + b"\n"


if __name__ == "__main__":
    sys.stdout.buffer.write(text())
