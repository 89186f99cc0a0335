"""The format stands in one place, and what derives from it is current."""

import json
from pathlib import Path

import msgspec
import pytest

from load.history import schema
from load.history.control import CONTROL
from load.history.events import DTYPE, LINES, Event, slot_of

ROOT = Path(__file__).resolve().parents[3]


def test_the_schema_in_the_docs_is_current() -> None:
    kept = ROOT / "docs" / "exchange.schema.json"
    assert kept.read_bytes() == schema.text(), "run: python -m load.history.schema > docs/exchange.schema.json"


def test_the_schema_tells_each_kind_its_meaning_and_its_fields() -> None:
    told = json.loads(schema.text())["$defs"]
    assert len(told) == len(LINES) + len(CONTROL) + 1  # Bounds
    for line, event in LINES.items():
        made = told[line.__name__]
        assert made["description"] == event.meaning
        assert list(made["properties"]) == ["e", "t", *(field.name for field in event.fields)]
        assert made["properties"]["e"]["enum"] == [event.label]


@pytest.mark.parametrize("event", Event)
def test_every_field_has_its_column_and_its_slot_in_the_record(event: Event) -> None:
    slots = {"", *(name for name, _ in DTYPE)}
    assert {field.slot for field in event.fields} <= slots
    assert len({field.column for field in event.fields}) == len(event.fields)
    for field in event.fields:
        assert field.slot in ("", slot_of(field.column)), "a column is read from one slot, whatever the event"


@pytest.mark.parametrize("event", Event)
def test_a_line_lacks_nothing_but_what_has_a_default(event: Event) -> None:
    (line,) = (line for line, of in LINES.items() if of is event)
    required = {field.name for field in msgspec.structs.fields(line) if field.required}
    assert required == {"t", *(field.name for field in event.fields if field.default is msgspec.NODEFAULT)}
