"""The frames of the wire: what is encoded is decoded, and nothing else is."""

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sut.protocol import frames
from sut.protocol.frames import (
    MAX_BODY,
    MAX_FETCH,
    MAX_FRAME,
    MAX_SEQ,
    MAX_SYNC_CURSORS,
    Ack,
    Beat,
    Close,
    Drain,
    Entry,
    Error,
    Fetch,
    FrameError,
    Heartbeat,
    History,
    Message,
    Nack,
    Notify,
    Page,
    Recv,
    Refused,
    Send,
    Sync,
    Synced,
    Type,
    Welcome,
    decode_client,
    decode_server,
    encode,
)

u8, u16, u32, u64 = (st.integers(0, 2**bits - 1) for bits in (8, 16, 32, 64))
seqs = st.integers(0, MAX_SEQ)
entries = st.lists(st.builds(Entry, u64, seqs, u16), max_size=5).map(tuple)
bodies = st.binary(min_size=1, max_size=200)
messages = st.builds(Message, u64, seqs, u16, u64, u64, u64, bodies)

from_device = st.one_of(
    st.builds(Send, u64, u64, bodies),
    st.builds(Recv, u64, u64),
    st.builds(Fetch, u32, u64, u64, u16),
    st.builds(History, u32, u64, u64, u16),
    st.builds(Sync, u32, u64, st.lists(st.tuples(u64, u64), max_size=5).map(tuple)),
    st.just(Heartbeat()),
)
pages = st.builds(Page, u32, u64, u64, u64, st.lists(messages, max_size=4).map(tuple)).map(
    lambda page: page._replace(messages=tuple(m._replace(conv=page.conv) for m in page.messages))
)
from_gateway = st.one_of(
    st.builds(Welcome, u64, u64, u64, u32, u32),
    st.builds(Ack, u64, u64, u64),
    st.builds(Refused, u64, u64, u8),
    st.builds(Notify, entries),
    messages,
    pages,
    st.builds(Synced, u32, u8, entries),
    st.builds(Beat, u8),
    st.builds(Drain, u32),
    st.builds(Error, u32, u8),
)


@given(from_device)
def test_a_device_frame_survives_the_wire(frame: frames.ClientFrame) -> None:
    data = encode(frame)
    assert data[0] < 0x80
    assert decode_client(data) == frame


@given(from_gateway)
def test_a_gateway_frame_survives_the_wire(frame: frames.ServerFrame) -> None:
    data = encode(frame)
    assert data[0] > 0x80
    assert decode_server(data) == frame


@pytest.mark.parametrize("decode", [decode_client, decode_server])
@given(st.binary(max_size=120))
def test_noise_is_a_frame_or_a_frame_error(decode: Callable[[bytes], frames.ClientFrame], noise: bytes) -> None:
    try:
        frame = decode(noise)
    except FrameError as error:
        assert "\n" not in str(error)
    else:
        assert encode(frame) == noise  # one way to write each frame


@given(from_device, st.data())
def test_a_device_frame_cut_short_is_refused(frame: frames.ClientFrame, data: st.DataObject) -> None:
    whole = encode(frame)
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    with contextlib.suppress(FrameError):
        assert decode_client(cut) != frame


BYTES_COLUMN = 44
EXAMPLES = [
    (Send(1, 2, b"hi"), "01 0000000000000001 0000000000000002 6869"),
    (Recv(1, 3), "02 0000000000000001 0000000000000003"),
    (Fetch(9, 1, 3, 100), "03 00000009 0000000000000001 0000000000000003 0064"),
    (Sync(9, 0, ((1, 3),)), "04 00000009 0000000000000000 0000000000000001 0000000000000003"),
    (Heartbeat(), "05"),
    (History(9, 1, 4, 50), "09 00000009 0000000000000001 0000000000000004 0032"),
    (
        Welcome(7, 8, 5, 30_000, MAX_BODY),
        "81 0000000000000007 0000000000000008 0000000000000005 00007530 00004000",
    ),
    (Ack(1, 2, 4), "82 0000000000000001 0000000000000002 0000000000000004"),
    (Refused(1, 2, Nack.FOREIGN), "83 0000000000000001 0000000000000002 81"),
    (
        Notify((Entry(1, 4, 0), Entry(5, 6, 1))),
        "84 0000000000000001 000000000004 0000 0000000000000005 000000000006 0001",
    ),
    (
        Message(1, 4, 0, 7, 8, 2, b"hi"),
        "85 0000000000000001 000000000004 0000 0000000000000007 0000000000000008 0000000000000002 6869",
    ),
    (
        Page(9, 1, 4, 4, (Message(1, 4, 0, 7, 8, 2, b"hi"),)),
        "86 00000009 0000000000000001 0000000000000004 0000000000000004 0001"
        " 000000000004 0000 0000000000000007 0000000000000008 0000000000000002 00000002 6869",
    ),
    (Synced(9, 1, (Entry(1, 4, 0),)), "87 00000009 01 0000000000000001 000000000004 0000"),
    (Beat(1), "88 01"),
    (Drain(1000), "89 000003e8"),
    (Error(9, Nack.UNAVAILABLE), "8a 00000009 01"),
]  # fmt: skip
"""README.md shows these bytes."""


@pytest.mark.parametrize(("frame", "text"), EXAMPLES, ids=lambda value: type(value).__name__)
def test_the_bytes_are_those_of_the_page(frame: frames.ClientFrame | frames.ServerFrame, text: str) -> None:
    assert encode(frame) == bytes.fromhex(text)


PAGE = (Path(__file__).parents[3] / "docs/protocol.md").read_text(encoding="utf-8")


def test_the_page_shows_these_bytes() -> None:
    block = PAGE.split("Examples, in hex", 1)[1].split("```")[1]
    shown = "".join(line[BYTES_COLUMN:] for line in block.splitlines()).replace(" ", "")
    described = {line.split()[0] for line in block.splitlines() if line[:1].strip()}
    expected = [(text, type(frame).__name__.upper()) for frame, text in EXAMPLES]
    assert shown == "".join(text.replace(" ", "") for text, name in expected if name in described)
    assert len(described) == 10


def test_the_page_names_every_type_and_code() -> None:
    for kind in Type:
        assert f"| 0x{kind:02X} | {kind.name} |" in PAGE
    for nack in Nack:
        assert f"| {int(nack)} | {nack.name} |" in PAGE
    for close in Close:
        assert f"\n| {int(close)} |" in PAGE


@pytest.mark.parametrize("number", [MAX_BODY, MAX_FRAME])
def test_the_page_has_the_limits(number: int) -> None:
    assert f"{number:,}" in PAGE


def test_every_type_has_an_example() -> None:
    assert {int(text[:2], 16) for _, text in EXAMPLES} == set(Type)


@pytest.mark.parametrize(
    "data",
    [
        encode(Send(1, 2, b"")),
        encode(Send(1, 2, bytes(MAX_BODY + 1))),
        encode(Sync(1, 0, ((1, 2),) * (MAX_SYNC_CURSORS + 1))),
        encode(Sync(1, 0, ((1, 2),)))[:-1],
        encode(Heartbeat()) + b"x",
        encode(Recv(1, 2)) + b"x",
        b"",
        b"\x06",
        b"\x81",
    ],
)
def test_refused_from_a_device(data: bytes) -> None:
    with pytest.raises(FrameError):
        decode_client(data)


def test_limits_fit_each_other() -> None:
    assert len(encode(Send(2**64 - 1, 2**64 - 1, bytes(MAX_BODY)))) <= MAX_FRAME
    assert len(encode(Sync(1, 0, ((1, 2),) * MAX_SYNC_CURSORS))) <= MAX_FRAME
    assert MAX_FETCH < 2**16
    assert set(Close) >= {1001, 1002, 1003, 1009}


def test_only_codes_from_128_are_definite() -> None:
    assert {code for code in Nack if not Refused(1, 2, code).definite} == {Nack.UNAVAILABLE, Nack.OVERLOADED, Nack.BUSY}
