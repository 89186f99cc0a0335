"""Says 0, 1, 2... to somebody, each number once, however often it is killed: API_URL API_KEY STATE_FILE NAME COUNT."""

import asyncio
import sys
from pathlib import Path

from sut.client.actions import Actions
from sut.client.chat import Chat
from sut.client.service.api import Access


async def write(url: str, key: str, path: str, name: str, count: int) -> None:
    access = Access(url, operator_key=key)
    async with Chat.open(access, name="jon", path=Path(path), listener=lambda _update: None) as chat:
        being = asyncio.create_task(chat.run())
        actions = Actions(chat)
        conv = await actions.begin(name)
        for number in range(len(chat.core.conversations[conv].lines), count):
            await actions.send(conv, str(number))
            await asyncio.sleep(0.05)
        assert await actions.settled(30), "it was sent"
        being.cancel()


if __name__ == "__main__":
    asyncio.run(write(*sys.argv[1:5], int(sys.argv[5])))
