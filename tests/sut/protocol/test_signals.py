"""The frames of receipts, typing and presence: what is encoded is decoded, and the page shows the same bytes."""

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sut.protocol import frames
from sut.protocol.frames import MAX_FRAME, MAX_SEQ, FrameError, decode_client, decode_server, encode
from sut.protocol.signals import (
    MAX_WATCHED,
    PresenceNews,
    Read,
    Receipt,
    Receipts,
    Seen,
    SignalType,
    Typing,
    Typist,
    Typists,
    Watch,
)

u8, u16, u64 = (st.integers(0, 2**bits - 1) for bits in (8, 16, 64))
from_device = st.one_of(
    st.builds(Read, u64, u64),
    st.builds(Typing, u64, u8),
    st.builds(Watch, st.lists(u64, max_size=5).map(tuple)),
)
from_gateway = st.one_of(
    st.lists(st.builds(Receipt, u64, st.integers(0, MAX_SEQ), u16, u64), max_size=4).map(tuple).map(Receipts),
    st.lists(st.builds(Typist, u64, u64, u8), max_size=4).map(tuple).map(Typists),
    st.lists(st.builds(Seen, u64, u8, u64), max_size=4).map(tuple).map(PresenceNews),
)
EXAMPLES = [
    (Read(1, 3), "06 0000000000000001 0000000000000003"),
    (Typing(1, 1), "07 0000000000000001 01"),
    (Watch((7, 9)), "08 0000000000000007 0000000000000009"),
    (Receipts((Receipt(1, 4, 1, 7),)), "8b 0000000000000001 000000000004 0001 0000000000000007"),
    (Typists((Typist(1, 7, 1),)), "8c 0000000000000001 0000000000000007 01"),
    (
        PresenceNews((Seen(7, 1, 0), Seen(9, 0, 1_700_000_000_000))),
        "8d 0000000000000007 01 0000000000000000 0000000000000009 00 0000018bcfe56800",
    ),
]
PAGE = (Path(__file__).parents[3] / "docs/protocol.md").read_text(encoding="utf-8")


@given(from_device)
def test_a_device_frame_survives_the_wire(frame: frames.ClientFrame) -> None:
    data = encode(frame)
    assert data[0] < 0x80
    assert decode_client(data) == frame
    with pytest.raises(FrameError, match="unknown"):
        decode_server(data)


@given(from_gateway)
def test_a_gateway_frame_survives_the_wire(frame: frames.ServerFrame) -> None:
    data = encode(frame)
    assert data[0] > 0x80
    assert decode_server(data) == frame
    with pytest.raises(FrameError, match="unknown"):
        decode_client(data)


@pytest.mark.parametrize("decode", [decode_client, decode_server])
@given(st.sampled_from(list(SignalType)), st.binary(max_size=80))
def test_noise_is_a_frame_or_a_frame_error(
    decode: Callable[[bytes], frames.ClientFrame], kind: int, noise: bytes
) -> None:
    with contextlib.suppress(FrameError):
        assert encode(decode(bytes([kind]) + noise)) == bytes([kind]) + noise


@pytest.mark.parametrize(("frame", "text"), EXAMPLES, ids=lambda value: type(value).__name__)
def test_the_bytes_are_those_of_the_page(frame: frames.ClientFrame | frames.ServerFrame, text: str) -> None:
    assert encode(frame) == bytes.fromhex(text)


def test_the_page_shows_these_bytes() -> None:
    block = PAGE.split("Examples:\n", 1)[1].split("```")[1]
    shown = "".join(line[44:] for line in block.splitlines()).replace(" ", "")
    assert shown == "".join(text.replace(" ", "") for _, text in EXAMPLES)


def test_the_page_names_every_type() -> None:
    for kind in SignalType:
        assert f"| 0x{kind:02X} | {kind.name} |" in PAGE


@pytest.mark.parametrize("cut", [1, 5])
@pytest.mark.parametrize("frame", [frame for frame, _ in EXAMPLES], ids=lambda frame: type(frame).__name__)
def test_a_frame_cut_short_is_refused(frame: frames.ClientFrame | frames.ServerFrame, cut: int) -> None:
    data = encode(frame)
    decode = decode_client if data[0] < 0x80 else decode_server
    with pytest.raises(FrameError):
        decode(data[:-cut])


def test_a_watch_has_a_limit_that_fits_a_frame() -> None:
    most = encode(Watch(tuple(range(MAX_WATCHED))))
    assert len(most) <= MAX_FRAME
    assert decode_client(most) == Watch(tuple(range(MAX_WATCHED)))
    with pytest.raises(FrameError, match="501"):
        decode_client(most + bytes(8))
