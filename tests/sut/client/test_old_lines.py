"""Edits and deletions of lines that are not in memory: they are found on disk, or applied once they can be read."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from sut.client.device.state import State
from sut.client.messages import payload as payloads
from sut.client.messages.payload import Payload
from sut.client.model import MAX_LINES, Line, LineKind
from sut.protocol import content as contents
from sut.protocol.content import Content, Delete, Edit, Target, Text
from sut.protocol.frames import Message
from tests.sut.client.test_inbound import ANN, BOB, CONV, DEVICE, World
from tests.sut.client.test_unreadable import MAL, mal, restart


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path / "ann.db")
    made.introduce(made.ann, made.bob)
    made.know()
    yield made
    made.state.close()


def says(world: World, seq: int, content: Content) -> Message:
    payload = payloads.encode(Payload(payloads.VERSION, "bob", 7, contents.encode(content)))
    (sealed,) = world.bob.seal(CONV, [ANN], payload, direct=True)
    return Message(CONV, seq, 0, BOB, DEVICE, seq, sealed.body)


def on_disk(world: World, seq: int) -> Line:
    asyncio.run(world.state.commit())
    line = world.state.line_at(CONV, seq)
    assert line is not None
    return line


@pytest.mark.parametrize("again", [False, True])
def test_a_line_more_than_a_thousand_back_is_edited_and_deleted(world: World, again: bool) -> None:
    one = world.core.conversations[CONV]
    for seq in (1, 2):
        world.inbound.shown(says(world, seq, Text(f"old {seq}")))
    for seq in range(3, MAX_LINES + 3):
        row = world.state.next_row()
        world.core.put_line(one, Line(row=row, conv=CONV, seq=seq, user=ANN, device=11, client_seq=seq), new=True)
    if again:
        restart(world)
        one = world.core.conversations[CONV]
    assert one.at(1) is None and len(one.lines) == MAX_LINES
    world.inbound.shown(says(world, MAX_LINES + 3, Edit(Target(DEVICE, 1), "new 1")))
    world.inbound.shown(says(world, MAX_LINES + 4, Delete(Target(DEVICE, 2))))
    first, second = on_disk(world, 1), on_disk(world, 2)
    assert (first.text, first.edited) == ("new 1", True)
    assert (second.text, second.deleted) == ("", True)
    assert one.at(1) is None, "and it is not brought back to the screen"


def test_an_edit_of_a_line_that_cannot_be_read_yet_counts_when_it_can(world: World) -> None:
    sender = mal(world)
    written = [
        Message(CONV, seq, 0, MAL, 31, seq, sender.seal(CONV, [ANN], payload, direct=True)[0].body)
        for seq, payload in enumerate(
            (
                payloads.encode(Payload(payloads.VERSION, "", 7, contents.encode(content)))
                for content in (Text("first"), Edit(Target(31, 1), "second"), Text("x"), Delete(Target(31, 3)))
            ),
            start=1,
        )
    ]
    late, *rest = written
    world.introduce(world.ann, sender)
    for message in rest:
        world.inbound.shown(message)
    world.inbound.shown(late)
    texts = [(line.text, line.edited, line.deleted) for line in world.core.conversations[CONV].lines]
    assert texts == [("second", True, False), ("", False, True)]


def test_the_last_own_line_is_found_on_disk(tmp_path: Path) -> None:
    state = State(tmp_path / "ann.db")
    for seq, user in ((1, ANN), (2, BOB)):
        state.put_line(Line(row=state.next_row(), conv=CONV, seq=seq, user=user, text=str(seq), kind=LineKind.TEXT))
    asyncio.run(state.commit())
    found = state.last_own(CONV, ANN)
    assert found is not None and found.seq == 1
    state.close()
