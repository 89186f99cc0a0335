"""Ids of the HTTP API: users, devices, conversations and client_seqs, up to 2^63 - 1. Their documented form is text.

JavaScript and others read a JSON number as a double, which is exact up to 2^53 only: 6917529027641081855 would become
6917529027641081856, another device. So an answer holds each id twice: as text in the field with "_id" behind its name,
and as a number for clients that were written before. A request may use either form for each id.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

import msgspec

MAX_ID: Final = (1 << 63) - 1


def _up_to(limit: int) -> str:
    """Return the pattern of the decimal numbers from 1 to `limit`, without leading zeros."""
    digits = str(limit)
    lower = [
        f"{digits[:at]}[{int(at == 0)}-{int(digit) - 1}]" + "[0-9]" * bool(rest) + f"{{{rest}}}" * (rest > 1)
        for at, digit in enumerate(digits)
        for rest in (len(digits) - at - 1,)
        if int(digit) > int(at == 0)
    ]
    return "|".join([f"[1-9][0-9]{{0,{len(digits) - 2}}}", *lower, digits])


ID_PATTERN: Final = f"^({_up_to(MAX_ID)})$"
_TEXT: Final = re.compile(_up_to(MAX_ID))

SCHEMAS: Final[dict[str, dict[str, Any]]] = {
    "IdText": {"type": "string", "pattern": ID_PATTERN, "description": "An id: a number from 1 to 2^63 - 1 in digits"},
    "Id": {
        "description": "An id, as text. As a number it is accepted too, which doubles cannot hold above 2^53",
        "anyOf": [
            {"$ref": "#/components/schemas/IdText"},
            {"type": "integer", "minimum": 1, "maximum": MAX_ID, "deprecated": True},
        ],
    },
}
"""The schemas of ids in requests, by name: as text alone, and in either form."""


class _WholeNumbers(type):
    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, int)


class Id(int, metaclass=_WholeNumbers):
    """The type of an id in a request. `decoded` and `schema` tell msgspec what it is; the value is a plain int."""


def parse(text: str) -> int | None:
    """Return the id that this text is, or None. An id has one text: no sign, no zero in front."""
    return int(text) if len(text) < 20 and _TEXT.fullmatch(text) else None


def decoded(kind: type, value: object) -> int:
    """Return the id of a request's value (msgspec's `dec_hook`). Raises ValueError."""
    assert kind is Id, kind
    number = parse(value) if isinstance(value, str) else value
    if not isinstance(number, int) or isinstance(number, bool) or not 0 < number <= MAX_ID:
        raise ValueError("Expected an id: a whole number from 1 to 2^63 - 1, as text of digits or as a number")
    return number


def schema(kind: type) -> dict[str, Any]:
    """Return the JSON schema of an id in a request (msgspec's `schema_hook`)."""
    assert kind is Id, kind
    return {"$ref": "#/components/schemas/Id"}


Number = Annotated[
    int,
    msgspec.Meta(
        description="The field with _id behind its name, as a number. Programs whose numbers are doubles must use that",
        extra_json_schema={"deprecated": True},
    ),
]
"""An id in an answer, as a number."""
Text = Annotated[str, msgspec.Meta(pattern="^(0|[1-9][0-9]{0,18})$")]
"""An id in an answer, as text. "0" where there is none."""


def both(number: int) -> tuple[int, str]:
    """Return an id in its two forms, for the two fields of an answer."""
    return number, str(number)
