"""The screen, without a terminal: keys go in, what is drawn comes out. The other person has no screen at all."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import OptionList, Static

from sut.client.chat import Chat
from sut.client.service.api import Access
from sut.client.terminal.tui.app import ChatApp
from sut.client.terminal.tui.typed import Typed
from sut.deploy.system import System
from tests.kit.waits import until
from tests.sut.client.conftest import PATIENCE_S, access_to, person

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]


class Screen:
    """A running application."""

    def __init__(self, app: ChatApp, pilot: Pilot[None]) -> None:
        self.app = app
        self.pilot = pilot

    def text(self, name: str) -> str:
        return str(self.app.query_one(f"#{name}", Static).content)

    def side(self) -> list[str]:
        return [str(option.prompt).rstrip() for option in self.app.query_one("#side", OptionList).options]

    async def type(self, text: str) -> None:
        self.app.query_one("#typed", Typed).value = text
        await self.pilot.press("enter")

    async def until(self, condition: Callable[[], object]) -> None:
        def told() -> str:
            shown = {name: self.text(name) for name in ("title", "lines", "typing", "said", "status")}
            return f"{self.side()} {shown}"

        await until(condition, PATIENCE_S, told=told, sleep=self.pilot.pause)


@contextlib.asynccontextmanager
async def screen(
    access: Access, name: str, directory: Path, size: tuple[int, int] = (100, 30)
) -> AsyncIterator[Screen]:
    app = ChatApp()
    async with Chat.open(access, name=name, path=directory / f"{name}.db", listener=app.show) as chat:
        app.attach(chat)
        async with app.run_test(size=size) as pilot:
            shown = Screen(app, pilot)
            await shown.until(lambda: "connected to gateway-" in shown.text("status"))
            yield shown


def test_a_conversation_on_the_screen(running: System, tmp_path: Path) -> None:
    async def scenario() -> None:
        access = access_to(running)
        async with person(access, "zoe", tmp_path) as zoe, screen(access, "abe", tmp_path) as abe:
            assert "/new NAME begins a conversation" in abe.text("lines")
            await abe.type("/new zoe")
            await abe.until(lambda: abe.side() == ["○ zoe"] or abe.side() == ["● zoe"])
            await abe.pilot.press(*"hellp", "backspace", "o", "enter")
            await abe.until(lambda: abe.text("lines").endswith("abe  hello ✓✓"))
            conv = next(iter(zoe.core.conversations))
            await zoe.do.typing(conv)
            await abe.until(lambda: abe.text("typing") == "zoe is typing…")
            await zoe.do.send(conv, "[bold]hello[/bold] yourself")
            await abe.until(lambda: abe.text("lines").endswith("zoe  [bold]hello[/bold] yourself"))
            await abe.until(lambda: abe.text("typing") == "")
            assert abe.text("title").split() == ["zoe", "online"]
            await zoe.until(lambda: zoe.deliveries(conv)[-1].name == "READ")
            group = await zoe.do.group("Club", ["abe"])
            await zoe.do.send(group, "to all")
            await abe.until(lambda: abe.side()[0].split() == ["#", "Club", "1"])
            await abe.pilot.press("ctrl+p")
            await abe.until(lambda: abe.text("lines").endswith("zoe  to all"))
            await abe.until(lambda: abe.side()[0].split() == ["#", "Club"])
            assert "2 members" in abe.text("title")
            await abe.type("/who")
            await abe.until(lambda: abe.text("said").split() == ["abe", "you", "zoe", "online"])
            await abe.pilot.press("escape")
            assert abe.text("said") == ""
            await abe.type("/fly")
            await abe.until(lambda: "there is no /fly" in abe.text("said"))
            await abe.type("/leave")
            await abe.until(lambda: "not a member any more" in abe.text("title"))
            await abe.pilot.press("ctrl+c")
            await abe.until(lambda: not abe.app.is_running)

    asyncio.run(scenario())


def test_it_survives_any_size_and_many_lines(running: System, tmp_path: Path) -> None:
    async def scenario() -> None:
        access = access_to(running)
        async with person(access, "yul", tmp_path) as yul, screen(access, "bea", tmp_path) as bea:
            await bea.type("/new yul")
            await bea.until(bea.side)
            for number in range(60):
                await bea.type(f"line {number}")
            await bea.until(lambda: "line 59 ✓" in bea.text("lines"))
            talk = bea.app.query_one("#talk")
            await bea.until(lambda: talk.max_scroll_y > 0 and talk.scroll_y == talk.max_scroll_y)
            for width, height in ((40, 10), (200, 50), (1, 1), (100, 30)):
                await bea.pilot.resize_terminal(width, height)
                await bea.pilot.pause(0.1)
                assert bea.app.query_one("#side").display is (width >= 60)
            await bea.until(lambda: talk.scroll_y == talk.max_scroll_y)
            await bea.pilot.press("pageup")
            await bea.until(lambda: talk.scroll_y < talk.max_scroll_y)
            conv = next(iter(yul.core.conversations))
            before = talk.scroll_y
            await yul.do.send(conv, "down there")
            await bea.until(lambda: "down there" in bea.text("lines"))
            await bea.pilot.pause(0.3)
            assert talk.scroll_y == before, "who reads back is not pulled down"
            assert bea.side()[0].split()[-1] == "1", "and has not read it"
            for _ in range(5):
                await bea.pilot.press("pagedown")
            await bea.until(lambda: bea.side()[0].split()[-1] == "yul")

    asyncio.run(scenario())


def test_a_client_that_must_stop_says_why_and_can_still_be_read(running: System, tmp_path: Path) -> None:
    async def scenario() -> None:
        access = access_to(running)
        async with screen(access, "cal", tmp_path) as cal:
            twin = tmp_path / "twin"
            twin.mkdir()
            with sqlite3.connect(tmp_path / "cal.db") as from_, sqlite3.connect(twin / "cal.db") as to:
                from_.backup(to)  # a copy of the state, which nobody should use
            async with person(access, "cal", twin):
                await cal.until(lambda: cal.text("status").startswith("● stopped: another program connected"))
            assert cal.app.failure is not None
            await cal.type("/quit")
            await cal.until(lambda: not cal.app.is_running)

    asyncio.run(scenario())
