"""What a chat service had taken when it died goes to another one, once."""

from sut.gateway.handed import KEEP_TICKS, Handed
from sut.protocol.frames import Recv, Send
from sut.protocol.peer import FetchPage, Submit, TypingIn
from tests.kit.waits import until
from tests.sut.gateway.world import World, in_world

SUBMIT = Submit(1, 3, 31, 9, 1, b"hi")
FETCH = FetchPage(1, 3, 1, 9, 4, 50)


def test_frames_of_a_life_that_is_over_are_lost_once() -> None:
    handed = Handed(2)
    handed.note(0, 1, SUBMIT, 100)
    handed.note(1, 1, FETCH, 100)
    assert handed.lost(0, 1, 101) == [], "it lives"
    assert handed.lost(0, 0, 101) == [SUBMIT], "its link is down"
    assert handed.lost(0, 0, 101) == []
    assert handed.lost(1, 2, 101) == [FETCH], "its link was down, and is a new one"


def test_old_frames_and_those_that_want_no_answer_are_not_kept() -> None:
    handed = Handed(1)
    handed.note(0, 1, SUBMIT, 100)
    handed.note(0, 1, TypingIn(3, 31, 9, 1), 110)
    assert handed.lost(0, 1, 101 + KEEP_TICKS) == []
    assert handed.lost(0, 0, 102 + KEEP_TICKS) == []


def test_a_send_that_a_chat_service_took_before_it_died_reaches_the_next_one(tmp_path) -> None:
    async def scenario(world: World) -> None:
        async with world.device(user=3, device=31) as device:
            await device.send(Recv(9, 4))
            await device.send(Send(9, 1, b"hi"))
            await until(lambda: len(world.forwarded) == 2)
            world.forwarded.clear()
            await world.chat.close()
            world.chat = world.new_chat()
            await world.chat.start(*world.address("chat-1"))
            await until(lambda: world.forwarded)
            assert world.forwarded == [SUBMIT]

    in_world(scenario, tmp_path)
