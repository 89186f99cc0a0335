"""The input line. Textual's Input handles printable keys at once, and passes all other keys through the application.

On fast typing or a slow machine, letters typed after Enter were therefore handled before it. This class handles the
keys for which the order matters in the order in which they arrive.
"""

from __future__ import annotations

import inspect

from textual.events import Key, Paste
from textual.message import Message
from textual.widgets import Input


class Typed(Input):
    """An input line that handles its keys in the order in which they arrive."""

    class Line(Message):
        """The person finished a line with Enter."""

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
        """Insert the pasted lines as one line: no text is lost, and pasting never sends."""
        if text := " ".join(event.text.split("\n")).strip():
            self.insert_text_at_cursor(text)
        event.stop()
        event.prevent_default()

    def _line(self) -> None:
        text = self.value
        self.clear()
        self.post_message(self.Line(text))
