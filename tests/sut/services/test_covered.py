"""The way to a sequencer: its own link while that is up, else that of its understudy."""

from collections.abc import Mapping
from pathlib import Path
from typing import cast

import msgspec
import pytest

from sut.ports import Unavailable
from sut.process.peer import PeerConnection, PeerLink
from sut.protocol.peer import (
    HEAD_RECOVERING,
    Heads,
    HotPage,
    Members,
    PeerFrame,
    Poke,
    ReadAllHeads,
    ReadBefore,
    ReadHeads,
    ReadHot,
    ReadMembers,
    TypingIn,
)
from sut.services.covered import TAKEOVER_S, Covered, covered
from sut.services.sequencer.fresh import Fresh
from sut.services.sequencer.process import Answers
from sut.services.sequencer.worker import PartitionWorker
from tests.sut.deploy.test_pure import profile


class Link:
    """A link that is up or not, and answers one thing."""

    def __init__(self, target: str, *, up: bool, answer: PeerFrame | None = None) -> None:
        self.target = target
        self.up = up
        self.lives = 1
        self.asked: list[PeerFrame] = []
        self.sent: list[PeerFrame] = []
        self._answer = answer

    def send(self, frame: PeerFrame) -> bool:
        if self.up:
            self.sent.append(frame)
        return self.up

    @property
    def life(self) -> int:
        return self.lives if self.up else 0

    async def ask(self, frame: PeerFrame, _timeout_s: float) -> PeerFrame:
        self.asked.append(frame)
        if not self.up or self._answer is None:
            raise Unavailable(f"{self.target}: link is down")
        return self._answer


def way(link: Link, understudy: Link) -> Covered:
    return Covered(cast("PeerLink", link), cast("PeerLink", understudy))


async def test_what_is_for_a_sequencer_goes_to_it_while_it_is_linked_else_to_its_understudy() -> None:
    link, understudy = Link("one", up=True), Link("two", up=True)
    assert way(link, understudy).target == "one"
    typing = TypingIn(3, 1, 2, 1)
    assert way(link, understudy).send(typing)
    assert (link.sent, understudy.sent) == ([typing], [])
    link.up = False
    assert way(link, understudy).send(Poke(5))
    assert understudy.sent == [Poke(5)]
    understudy.up = False
    assert not way(link, understudy).send(Poke(7))


RECOVERING = HotPage(hit=False, member=False, head=HEAD_RECOVERING, page=b"")
PAGE = HotPage(hit=True, member=True, head=9, page=b"page")


@pytest.mark.parametrize("question", [ReadHot(5, 1, 8, 10), ReadBefore(5, 1, 9, 10)])
async def test_who_has_the_page_is_asked_while_the_new_process_recovers(question: ReadHot | ReadBefore) -> None:
    link, understudy = Link("one", up=True, answer=RECOVERING), Link("two", up=True, answer=PAGE)
    assert await way(link, understudy).ask(question, 0.5) == PAGE
    understudy.up = False
    assert await way(link, understudy).ask(question, 0.5) == RECOVERING


@pytest.mark.parametrize(
    "answer",
    [
        HotPage(hit=True, member=False, head=0, page=b""),  # it may not know yet who was added
        HotPage(hit=False, member=True, head=9, page=b""),
        RECOVERING,
    ],
)
async def test_only_a_page_of_the_understudy_counts_while_the_new_process_recovers(answer: HotPage) -> None:
    link, understudy = Link("one", up=True, answer=RECOVERING), Link("two", up=True, answer=answer)
    assert await way(link, understudy).ask(ReadHot(5, 1, 8, 10), 0.5) == RECOVERING


@pytest.mark.parametrize("answer", [PAGE, HotPage(hit=False, member=True, head=9, page=b"")])
async def test_a_sequencer_that_is_up_to_date_is_asked_alone(answer: HotPage) -> None:
    link, understudy = Link("one", up=True, answer=answer), Link("two", up=True, answer=PAGE)
    assert await way(link, understudy).ask(ReadHot(5, 1, 8, 10), 0.5) == answer
    assert understudy.asked == []


async def test_both_are_told_that_the_log_has_grown_while_both_may_work_on_it() -> None:
    now_s = [100.0]
    link, understudy = Link("one", up=True), Link("two", up=True)
    covered = Covered(cast("PeerLink", link), cast("PeerLink", understudy), clock=lambda: now_s[0])
    covered.send(Poke(3))
    now_s[0] += TAKEOVER_S
    covered.send(Poke(5))
    assert (link.sent, understudy.sent) == ([Poke(3), Poke(5)], [Poke(3)])
    link.lives += 1
    covered.send(Poke(7))
    assert understudy.sent[1:] == [Poke(7)]


async def test_an_understudy_is_told_whose_heads_are_meant() -> None:
    link, understudy = Link("one", up=True, answer=Heads((7,))), Link("two", up=True, answer=Heads((8,)))
    covered = way(link, understudy)
    assert await covered.ask(ReadHeads(1, (5,)), 0.5) == Heads((7,))
    before, link.up = covered.life, False
    assert covered.life != before
    assert await covered.ask(ReadHeads(1, (5,)), 0.5) == Heads((8,))
    assert (link.asked, understudy.asked) == ([ReadHeads(1, (5,))], [ReadHeads(1, (5,), "one")])
    understudy.asked.clear()
    await covered.ask(ReadAllHeads((ReadHeads(1, (5,)), ReadHeads(2, ()))), 0.5)
    assert understudy.asked == [ReadAllHeads((ReadHeads(1, (5,), "one"), ReadHeads(2, (), "one")))]
    understudy.up = False
    with pytest.raises(Unavailable):
        await covered.ask(ReadHeads(1, (5,)), 0.5)


async def test_pages_come_from_the_understudy_as_they_are() -> None:
    page = HotPage(hit=True, member=True, head=4, page=b"x")
    link, understudy = Link("one", up=False), Link("two", up=True, answer=page)
    assert await way(link, understudy).ask(ReadHot(5, 1, 0, 10), 0.5) == page


def test_each_sequencer_has_another_one_as_its_understudy(tmp_path: Path) -> None:
    topology = profile(tmp_path)
    one, two = topology.of_kind("sequencer")
    assert (topology.understudy_of(one), topology.understudy_of(two)) == (two, one)
    links = {service.name: cast("PeerLink", Link(service.name, up=True)) for service in (one, two)}
    ways = covered(topology, links)
    assert [ways[p].target for p in sorted(ways)] == [topology.sequencer_of(p).name for p in sorted(ways)]
    assert ways[0] is ways[2], "one object a sequencer, by which questions are gathered"
    assert all(isinstance(way, Covered) for way in ways.values())


def test_a_lone_sequencer_has_none(tmp_path: Path) -> None:
    topology = profile(tmp_path)
    one, two = topology.of_kind("sequencer")
    alone = msgspec.structs.replace(topology, services=tuple(s for s in topology.services if s != two))
    assert alone.understudy_of(one) is None
    link = cast("PeerLink", Link(one.name, up=True))
    assert set(covered(alone, {one.name: link}).values()) == {link}


def test_about_a_partition_that_it_does_not_work_on_a_sequencer_answers_as_one_that_recovers() -> None:
    asked = Asker()
    answers = Answers({}, {"one": range(0, 8, 2), "two": range(1, 8, 2)}, name="two")
    for question in (ReadHot(5, 1, 0, 10), ReadHeads(1, (5, 6)), ReadMembers(5), Poke(3)):
        answers.on_frame(cast("PeerConnection", asked), 1, question)
    assert asked.heard == [
        HotPage(hit=False, member=False, head=HEAD_RECOVERING, page=b""),
        Heads((HEAD_RECOVERING, HEAD_RECOVERING), complete=False),
        Members(HEAD_RECOVERING, "", ()),
    ]


class Worker:
    """A worker without a conversation in memory."""

    def __init__(self, *, caught_up: bool) -> None:
        self.caught_up = caught_up
        self.fresh = Fresh()


def test_heads_are_complete_when_all_partitions_of_the_one_that_is_meant_are_up_to_date() -> None:
    """An understudy may not have taken over yet, and then it does not know what the user has just joined."""
    workers = {1: Worker(caught_up=True), 3: Worker(caught_up=True)}
    partitions = {"one": (0, 2), "two": (1, 3)}
    answers = Answers(cast("Mapping[int, PartitionWorker]", workers), partitions, name="two")

    def complete(of: str) -> bool:
        asked = Asker()
        answers.on_frame(cast("PeerConnection", asked), 1, ReadHeads(1, (), of))
        (heads,) = asked.heard
        assert isinstance(heads, Heads)
        return heads.complete

    assert [complete(of) for of in ("", "two", "one", "three")] == [True, True, False, False]
    workers |= {0: Worker(caught_up=True), 2: Worker(caught_up=False)}
    assert [complete(of) for of in ("", "one")] == [True, False]
    workers[2].caught_up = True
    assert complete("one")


class Asker:
    """The connection that a question came over."""

    def __init__(self) -> None:
        self.heard: list[PeerFrame] = []

    def send(self, frame: PeerFrame, _correlation: int) -> bool:
        self.heard.append(frame)
        return True
