"""The own lateness: what counts, how long, and what it does to time limits on others."""

from __future__ import annotations

import asyncio
import time

import pytest
import uvloop

from sut.adapters.shared.patience import patience
from sut.ports import Unavailable
from sut.process.lateness import HALVED_S, MAX_SLACK_S, SLACK_TIMES, Lateness, Recent, limit_s, slack_s
from sut.process.peer import PeerConnection, PeerLink, PeerServer
from sut.protocol.peer import ANSWER, Heads, PeerFrame, ReadHeads
from tests.kit.waits import until
from tests.sut.process.test_peer import free_port


def test_the_largest_of_late_counts_and_fades() -> None:
    recent = Recent()
    assert recent.at(5.0) == 0.0
    recent.note(0.4, 10.0)
    recent.note(0.1, 10.1)
    assert recent.at(10.0 + HALVED_S) == pytest.approx(0.2)
    recent.note(0.3, 10.0 + HALVED_S)
    assert recent.at(10.0 + HALVED_S) == 0.3


def test_a_loop_that_was_stopped_once_gives_no_slack_and_one_that_starves_does() -> None:
    lateness = Lateness()
    lateness.note(0.0, 1.0)
    lateness.note(5.0, 6.1)
    lateness.note(0.01, 6.2)
    assert lateness.slack_s(6.2) == pytest.approx(SLACK_TIMES * 0.01)
    for now_s in (7.0, 7.5, 8.0):
        lateness.note(0.4, now_s)
    assert lateness.slack_s(8.0) > 2 * 0.4
    for now_s in (10.0, 12.0):
        lateness.note(9.0, now_s)
    assert lateness.slack_s(12.0) == MAX_SLACK_S
    assert lateness.slack_s(100.0) < 0.01, "all is as before once the machine is free"


@pytest.mark.parametrize(
    ("took_s", "expected_s"), [(0.0, 0.3), (0.1, 0.3), (0.3, 0.6), (1.0, 2.0), (60.0, 0.3 + MAX_SLACK_S)]
)
def test_the_limit_is_twice_what_answers_took_lately_up_to_a_bound(took_s: float, expected_s: float) -> None:
    assert limit_s(0.3, took_s) == pytest.approx(expected_s)


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_a_time_limit_is_longer_on_a_loop_that_starves(run) -> None:
    async def scenario() -> float:
        slack_s()  # it measures from the first call on
        for _ in range(8):
            await asyncio.sleep(0.02)
            time.sleep(0.4)  # noqa: ASYNC251 (nobody gives this process a core)
        assert slack_s() > 0.4
        began_s = time.monotonic()
        with pytest.raises(TimeoutError):
            async with patience(0.2):
                await asyncio.sleep(30)
        return time.monotonic() - began_s

    assert 0.6 < run(scenario()) < 10.0


def test_a_peer_whose_answers_were_late_is_given_more_time_than_they_took() -> None:
    """The first question is given up, and its late answer is the measure for the next one."""
    delay_s = 0.5

    async def scenario() -> None:
        def slow(connection: PeerConnection, correlation: int, frame: PeerFrame) -> None:
            assert isinstance(frame, ReadHeads)
            answer = Heads(frame.convs)
            asyncio.get_running_loop().call_later(delay_s, connection.send, answer, correlation | ANSWER)

        port = free_port()
        server = PeerServer(node="chat-1", incarnation=7, on_frame=slow)
        await server.start("127.0.0.1", port)
        link = PeerLink(node="gateway-1", incarnation=1, target="chat-1", address=("127.0.0.1", port))
        link.start()
        await until(lambda: link.up)
        with pytest.raises(Unavailable, match="no answer"):
            await link.ask(ReadHeads(1, (1,)), delay_s / 5)
        await asyncio.sleep(2 * delay_s)
        assert await link.ask(ReadHeads(1, (2,)), delay_s / 5) == Heads((2,))
        await link.close()
        await server.close()

    asyncio.run(scenario())
