"""What a person reads of an error of the network."""

import asyncio
import socket

from sut.client.errors import sentence


def test_a_refused_connection_is_told_in_words() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]

    async def dial() -> str:
        try:
            await asyncio.open_connection("127.0.0.1", port)
        except OSError as error:
            return sentence(error)
        return ""

    assert asyncio.run(dial()) == "Connection refused"


def test_an_error_without_text_is_told_by_its_kind_and_numbers_in_brackets_are_left_out() -> None:
    assert sentence(TimeoutError()) == "TimeoutError"
    assert sentence(OSError("Multiple exceptions: [Errno 111] a, [Errno 101] b")) == "Multiple exceptions: a, b"
