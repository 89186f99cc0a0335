"""The screen: conversations at the left, lines and input at the right, the connection status at the bottom.

It shows the model of the chat and never changes it. Typed lines go through slash.do one after the other, as in the
plain mode. An update only marks the screen as dirty; it is redrawn at most 20 times a second.
"""

from __future__ import annotations

import asyncio
from typing import ClassVar, Final

from rich.text import Text
from textual import on
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.events import MouseScrollDown, MouseScrollUp
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from sut.client.actions import Actions
from sut.client.chat import Chat
from sut.client.core import Said, Update
from sut.client.errors import ClientError, Replaced, UserMistake
from sut.client.terminal import slash
from sut.client.terminal.tui import paint
from sut.client.terminal.tui.typed import Typed

DRAW_S: Final = 0.05
CLOCK_S: Final = 0.5
"""Seconds between redraws of what changes with time: the countdown and the typing notice."""
MAX_TYPED: Final = 1_000
"""The number of typed lines that may wait to be executed."""


class ChatApp(App[None]):
    """The application of one person's chat."""

    TITLE = "petrel chat"
    CSS_PATH = "style.tcss"
    ENABLE_COMMAND_PALETTE = False
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (60, "-wide")]  # noqa: RUF012 (the form that Textual expects)
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+c", "quit", "End", priority=True),
        Binding("ctrl+n,alt+down", "step(1)", "Next conversation", priority=True),
        Binding("ctrl+p,alt+up", "step(-1)", "Previous conversation", priority=True),
        Binding("pageup", "page(-1)", "Back", priority=True),
        Binding("pagedown", "page(1)", "Forward", priority=True),
        Binding("escape", "dismiss", "Close"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._chat: Chat | None = None
        self._actions: Actions | None = None
        self.front = 0
        """The conversation in front; 0 for none."""
        self.failure: Exception | None = None
        """The error that stopped the client. The caller raises it after the screen is closed."""
        self._typed: asyncio.Queue[str] = asyncio.Queue(MAX_TYPED)
        self._dirty = True
        self._at_end = True
        """True while the newest lines are in view: the screen then scrolls to every new line."""
        self._order: list[int] = []

    def attach(self, chat: Chat) -> None:
        """Set the chat to show. Call it before the application runs."""
        self._chat, self._actions = chat, Actions(chat)
        self.front = next((one.conv for one in chat.core.recent()), 0)

    def show(self, update: Update) -> None:
        """Take one update; the chat's listener."""
        self._dirty = True
        if isinstance(update, Said):
            self.call_later(self.say, update.text)

    def compose(self) -> ComposeResult:
        """Return the widgets of the screen; called by Textual."""
        with Horizontal(id="main"):
            yield OptionList(id="side")
            with Vertical():
                yield Static(id="title")
                with VerticalScroll(id="talk", can_focus=False):
                    yield Static(id="lines")
                yield Static(id="typing")
                yield Static(id="said")
                yield Typed(placeholder="Write a message, or /help", id="typed")
        yield Static(id="status")

    def on_mount(self) -> None:
        """Start the timers and the workers; called by Textual."""
        self.query_one("#typed", Input).focus()
        self.set_interval(DRAW_S, self._draw_if_dirty)
        self.set_interval(CLOCK_S, self._draw_clock)
        self.run_worker(self._run_chat(), exit_on_error=False)
        self.run_worker(self._do_typed(), exit_on_error=False)
        if self._actions is not None:
            self.run_worker(self._actions.look(self.front), group="look", exit_on_error=False)
        self._draw_if_dirty()

    @property
    def chat(self) -> Chat:
        """Return the chat that was attached."""
        assert self._chat is not None, "attached"
        return self._chat

    def say(self, text: str, *, wrong: bool = False) -> None:
        """Show a text above the input until the next line is typed."""
        said = self.query_one("#said", Static)
        said.update(Text(text, "bright_red" if wrong else ""))
        said.set_class(bool(text), "-shown")

    # What the person does.

    @on(Typed.Line)
    def _submitted(self, event: Typed.Line) -> None:
        self.say("")
        try:
            self._typed.put_nowait(event.text)
        except asyncio.QueueFull:
            self.say("too many lines at once; wait a moment", wrong=True)

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        if not self.front or self._actions is None or event.value.startswith("/"):
            return
        said = self._actions.typing(self.front) if event.value else self._actions.stop_typing(self.front)
        self.run_worker(said, group="typing", exit_on_error=False)

    @on(OptionList.OptionHighlighted)
    @on(OptionList.OptionSelected)
    def _chosen(self, event: OptionList.OptionHighlighted | OptionList.OptionSelected) -> None:
        if event.option_list.has_focus and event.option.id:
            self._go(int(event.option.id))
        if isinstance(event, OptionList.OptionSelected):
            self.query_one("#typed", Input).focus()

    def action_step(self, by: int) -> None:
        """Go `by` conversations further in the list."""
        if self._order:
            place = self._order.index(self.front) if self.front in self._order else -by
            self._go(self._order[(place + by) % len(self._order)])

    def action_page(self, by: int) -> None:
        """Scroll the lines by `by` pages."""
        talk = self.query_one("#talk", VerticalScroll)
        page = max(1, talk.size.height - 2)
        talk.scroll_to(y=talk.scroll_y + by * page, animate=False, immediate=True)
        self._scrolled()

    def action_dismiss(self) -> None:
        """Close the text above the input, and move the focus to the input."""
        self.say("")
        self.query_one("#typed", Input).focus()

    def _go(self, conv: int) -> None:
        if conv != self.front:
            self.front, self._dirty = conv, True
            assert self._actions is not None
            self.run_worker(self._actions.look(conv), group="look", exit_on_error=False)
            self._at_end = True

    async def _do_typed(self) -> None:
        assert self._actions is not None
        while True:
            typed = await self._typed.get()
            try:
                result = await slash.do(self._actions, self.chat.core, self.front, typed)
            except UserMistake as mistake:
                self.say(str(mistake), wrong=True)
                continue
            except Exception as error:  # noqa: BLE001 (the caller of the application reports it)
                self.failure = error
                self.exit()
                return
            if result.said:
                self.say(result.said)
            self._go(result.conv)
            if result.quit:
                self.exit()

    async def _run_chat(self) -> None:
        try:
            await self.chat.run()
        except Replaced as error:
            self.failure = error
            self.exit()
        except ClientError as error:
            self.failure = error
            self.say(f"{error}\nThe messages can still be read; /quit ends.", wrong=True)
        except Exception as error:  # noqa: BLE001 (the caller of the application reports it)
            self.failure = error
            self.exit()

    # What the person sees.

    def _draw_if_dirty(self) -> None:
        if not self._dirty:
            return
        self._dirty = False
        core = self.chat.core
        self._draw_side()
        one = core.conversations.get(self.front)
        if one is None and self._order:
            self.front = self._order[0]
            one = core.conversations[self.front]
        self.query_one("#title", Static).update(paint.title(core, one))
        shown = paint.lines(core, one) if one is not None else Text(paint.EMPTY, "dim")
        self.query_one("#lines", Static).update(shown)
        self._draw_clock()
        self.call_after_refresh(self._follow)

    def _draw_side(self) -> None:
        core, side = self.chat.core, self.query_one("#side", OptionList)
        self._order = [one.conv for one in core.recent()]
        with self.prevent(OptionList.OptionHighlighted):
            side.clear_options()
            side.add_options(
                [Option(paint.entry(core, core.conversations[conv]), id=str(conv)) for conv in self._order]
            )
            side.highlighted = self._order.index(self.front) if self.front in self._order else None

    def _draw_clock(self) -> None:
        core = self.chat.core
        self.query_one("#typing", Static).update(paint.typing(core, core.conversations.get(self.front)))
        self._follow()
        bottom = paint.status(core, self.chat.connection, self.chat.outbound.waiting)
        self.query_one("#status", Static).update(bottom)

    def _follow(self) -> None:
        """After the layout: scroll to the end if the newest lines were in view before."""
        if self._at_end:
            self.query_one("#talk", VerticalScroll).scroll_end(animate=False, immediate=True)
        self._mark_read()

    def on_resize(self) -> None:
        """Scroll again after a resize, which wraps the lines anew."""
        self.call_after_refresh(self._follow)

    @on(MouseScrollUp)
    @on(MouseScrollDown)
    def _scrolled(self) -> None:
        talk = self.query_one("#talk", VerticalScroll)
        self._at_end = talk.scroll_y >= talk.max_scroll_y
        self._mark_read()

    def _mark_read(self) -> None:
        """Mark the conversation in front as read, if its newest lines are in view."""
        one = self.chat.core.conversations.get(self.front)
        if one is None or self._actions is None or one.last_seq() <= one.read:
            return
        if self.app_focus and self._at_end:
            self.run_worker(self._actions.read(one.conv), group="read", exit_on_error=False)
