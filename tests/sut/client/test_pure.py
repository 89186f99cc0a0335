"""The parts without I/O: names, payloads, ticks, how things look, what typed lines mean."""

from __future__ import annotations

import asyncio
import random
import re
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sut.client.core import KeysOf, MembersOf, ReceiptsOf
from sut.client.errors import ApiProblem, UserMistake
from sut.client.messages import payload as payloads
from sut.client.messages.payload import About, Payload
from sut.client.model import Conversation, Delivery, Line
from sut.client.names import check_name, is_named, stand_in, user_of
from sut.client.service.errands import Errands
from sut.client.terminal import slash
from sut.protocol import content as contents
from sut.protocol.content import Delete, Edit, Target, Text
from tests.kit.waits import until


@pytest.mark.parametrize(("typed", "name"), [("alice", "alice"), (" @Bob ", "bob"), ("a.b-c_9", "a.b-c_9")])
def test_names_have_one_form(typed: str, name: str) -> None:
    assert check_name(typed) == name


@pytest.mark.parametrize("typed", ["", "a b", "élan", "-a", "x" * 33, "a/b", "../x", "a\nb", "\x1b[31m"])
def test_names_with_other_characters_are_refused(typed: str) -> None:
    with pytest.raises(UserMistake, match="is no name"):
        check_name(typed)


def test_an_id_is_the_names_for_ever() -> None:
    assert user_of("alice") == 4456811781552624274
    assert user_of("alice") != user_of("bob")
    assert is_named(user_of("alice"), "alice")
    assert not is_named(user_of("alice"), "bob")
    assert not is_named(user_of("alice"), "Alice"), "one form only"
    assert len(stand_in(user_of("alice"))) == 7


@given(st.binary(max_size=200))
def test_whatever_comes_out_of_the_encryption_is_a_payload_or_nothing(data: bytes) -> None:
    payloads.decode(data)


def test_what_others_write_cannot_steer_the_terminal() -> None:
    assert payloads.clean("a\x1b[31mb\x07\u202ec\x9b") == "a\ufffd[31mb\ufffd\ufffdc\ufffd"
    assert payloads.clean("zwei\nZeilen 👩\u200d🚀 café") == "zwei\nZeilen 👩\u200d🚀 café"
    assert len(payloads.clean("x" * 9_999)) == payloads.MAX_TEXT


def test_payloads_and_contents_come_back() -> None:
    for content in (Text("hi"), Edit(Target(3, 4), "ho"), Delete(Target(3, 4))):
        payload = Payload(payloads.VERSION, "ann", 5, contents.encode(content))
        back = payloads.decode(payloads.encode(payload))
        assert back == payload
        assert contents.decode(back.content) == content
    about = Payload(payloads.VERSION, "ann", 5, b"", About("t", ("ann", "bob")))
    assert payloads.decode(payloads.encode(about)) == about
    assert payloads.decode(payloads.encode(Payload(9, "ann", 5))) is None
    assert payloads.decode(payloads.encode(Payload(payloads.VERSION, "ann", 1 << 60))) is None, "no such year"


def test_ticks_count_those_who_were_there() -> None:
    one = Conversation(conv=1, direct=False, members={1: 1, 2: 1, 3: 8})
    line = Line(row=1, conv=1, user=1)
    assert one.delivery(line, 1) is Delivery.WAITING
    line.seq = 5
    assert one.delivery(line, 1) is Delivery.SENT
    one.receipts[2, 0] = 5
    assert one.delivery(line, 1) is Delivery.DELIVERED, "3 came later"
    one.receipts[2, 1] = 6
    assert one.delivery(line, 1) is Delivery.READ
    line.seq = 9
    assert one.delivery(line, 1) is Delivery.SENT
    line.failed = "no"
    assert one.delivery(line, 1) is Delivery.FAILED


class _Nobody:
    """Actions of somebody who may do nothing."""

    def __getattr__(self, name: str) -> object:
        raise AssertionError(f"{name} was called")


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("/fly", "there is no /fly"),
        ("/new", "usage: /new NAME"),
        ("/group", "usage: /group TITLE NAME..."),
        ("/group title", "usage: /group TITLE NAME..."),
        ("/group 'title bob", "a quote is not closed"),
        ("/leave now", "usage: /leave"),
        ("/edit", "usage: /edit TEXT"),
        ("/who", "choose a conversation first"),
    ],
)
def test_mistakes_are_said_and_nothing_is_done(typed: str, said: str) -> None:
    core = SimpleNamespace(conversations={})
    with pytest.raises(UserMistake, match=re.escape(said)):
        asyncio.run(slash.do(_Nobody(), core, 0, typed))  # type: ignore[arg-type]


def test_an_errand_is_done_again_until_it_succeeds_and_does_not_hold_up_others() -> None:
    done: list[object] = []
    failures = {KeysOf(1): 2}

    async def do(errand: object) -> None:
        if failures.get(errand, 0):
            failures[errand] -= 1
            raise ApiProblem("not now")
        done.append(errand)

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        errands = Errands(do=do, needed=lambda errand: errand != KeysOf(9), clock=loop.time, rng=random.Random(1))
        for errand in (KeysOf(1), KeysOf(9), MembersOf(2), MembersOf(2), ReceiptsOf(2)):
            errands.want(errand)
        running = asyncio.create_task(errands.run())
        await until(lambda: not errands.waiting, 20)
        running.cancel()

    asyncio.run(scenario())
    assert done == [MembersOf(2), ReceiptsOf(2), KeysOf(1)]
