"""The input line. Textual's own does printable keys at once and all others by way of the application.

So with fast typing, or a slow machine, letters that were typed after Enter came before it. Here the keys that matter
for that are done in their order.
"""

from __future__ import annotations

import inspect

from textual.events import Key, Paste
from textual.message import Message
from textual.widgets import Input


class Typed(Input):
    """An input whose keys are done in the order in which they come."""

    class Line(Message):
        """A line was typed."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    async def _on_key(self, event: Key) -> None:
        action = {
            "enter": self._line,
            "backspace": self.action_delete_left,
            "delete": self.action_delete_right,
            "left": self.action_cursor_left,
            "right": self.action_cursor_right,
            "home": self.action_home,
            "end": self.action_end,
            "ctrl+u": self.action_delete_left_all,
            "ctrl+w": self.action_delete_left_word,
        }.get(event.key)
        if action is not None:
            event.stop()
            event.prevent_default()
            done = action()
            if inspect.isawaitable(done):
                await done

    def _on_paste(self, event: Paste) -> None:
        """Text of several lines becomes one line: nothing of it is lost, and nothing is sent by pasting."""
        if text := " ".join(event.text.split("\n")).strip():
            self.insert_text_at_cursor(text)
        event.stop()
        event.prevent_default()

    def _line(self) -> None:
        text = self.value
        self.clear()
        self.post_message(self.Line(text))
