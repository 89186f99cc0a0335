"""The AsyncAPI document: every frame is in it, its example is a frame, and the file beside it is the present one."""

import re
from pathlib import Path

import pytest

from sut.protocol import asyncapi
from sut.protocol.asyncapi import TYPES, Described, described
from sut.protocol.frames import Close, Type, decode_client, decode_server, encode
from sut.protocol.signals import SignalType
from tests.sut.protocol.test_frames import PAGE

DOCUMENT = Path(asyncapi.__file__).with_name("asyncapi.json")
BITS = {"u8": 8, "u16": 16, "u32": 32, "u48": 48, "u64": 64}
FRAMES = described()


def test_every_type_is_in_it_once() -> None:
    assert [one.code for one in FRAMES] == sorted((*Type, *SignalType))
    document = asyncapi.document()
    names = set(TYPES.values())
    assert len(names) == len(FRAMES)
    assert set(document["components"]["messages"]) == set(document["operations"]) == names
    assert set(document["channels"]["connection"]["messages"]) == names
    assert set(document["x-close-codes"]) == {str(int(code)) for code in Close}


def test_the_document_in_the_repository_is_the_present_one() -> None:
    fresh = asyncapi.encoded()
    assert DOCUMENT.read_bytes() == fresh, f"write it again: python -m {asyncapi.__name__} > {DOCUMENT.name}"


@pytest.mark.parametrize("one", FRAMES, ids=lambda one: one.name)
def test_the_example_is_that_frame(one: Described) -> None:
    example = asyncapi.document()["components"]["messages"][one.name]["examples"][0]["payload"]
    data = bytes.fromhex(example)
    frame = decode_client(data) if one.code < 0x80 else decode_server(data)
    assert data[0] == one.code
    assert encode(frame) == data


@pytest.mark.parametrize("one", FRAMES, ids=lambda one: one.name)
def test_the_layout_is_the_pages(one: Described) -> None:
    row = next(line for line in PAGE.splitlines() if line.startswith(f"| 0x{one.code:02X} | {one.name} |"))
    shown = row.split("|")[3]
    entry = "conv u64, seq u48, flags u16"
    wanted = re.findall(r"(\w+) (u\d+)", re.sub(r"\bEntry\b", entry, one.layout))
    assert wanted == re.findall(r"(\w+) (u\d+)", re.sub(r"\bentry\b", entry, shown))


@pytest.mark.parametrize("one", FRAMES, ids=lambda one: one.name)
def test_the_example_is_as_long_as_the_layout_says(one: Described) -> None:
    layout = re.sub(r"\bEntry\b", "conv u64, seq u48, flags u16", one.layout)
    fixed = sum(BITS[kind] for kind in re.findall(r"u\d+", layout)) // 8
    assert len(one.example) == 1 + fixed + 2 * len(re.findall(r"\bbody\b", layout))


def test_every_reference_leads_somewhere() -> None:
    document = asyncapi.document()
    text = asyncapi.encoded().decode()
    references = re.findall(r'"\$ref": "#/([^"]+)"', text)
    assert len(references) == text.count("$ref") > 0
    for reference in references:
        here = document
        for part in reference.split("/"):
            here = here[part]
        assert here
