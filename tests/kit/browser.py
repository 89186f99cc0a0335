"""A page in headless Chromium, driven over its own debugging protocol. Needs a Chromium on PATH, and nothing else."""

import base64
import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

from tests.kit.pace import scaled
from tests.kit.waits import wait_until

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
"""The browser's path; None without one."""


class Page:
    """One page. `errors`: what its scripts threw."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._number = 0
        self.errors: list[str] = []
        self._ask("Runtime.enable")
        self._ask("Page.enable")

    def open(self, url: str) -> None:
        self._ask("Page.navigate", url=url)
        wait_until(lambda: self.run("document.readyState") == "complete")

    def run(self, script: str) -> Any:
        """The value of an expression in the page."""
        told = self._ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    def text(self) -> str:
        """What a person can read on it."""
        return str(self.run("document.body ? document.body.innerText : ''"))

    def buttons(self) -> set[str]:
        """The words on its buttons, in lower case."""
        found = self.run("[...document.querySelectorAll('button')].map(b => b.textContent.trim().toLowerCase())")
        return {word for word in found if word}

    def press(self, word: str) -> None:
        """Press the button with this word, once it is there."""
        wait_until(lambda: word in self.buttons(), told=self.text)
        self.run(
            "[...document.querySelectorAll('button')]"
            f".findLast(b => b.textContent.trim().toLowerCase() === {json.dumps(word)}).click()"
        )

    def fill(self, name: str, value: object) -> None:
        """Write into the input of this name, as a person's keys would."""
        there = f"document.querySelector('input[name={name}]')"
        wait_until(lambda: self.run(f"!!{there}"), told=self.text)
        setter = "Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').set"

        def kept() -> bool:
            """True if it is still there a moment later: a page that has just been drawn sets its defaults."""
            self.run(f"{setter}.call({there}, {json.dumps(str(value))})")
            self.run(f"{there}.dispatchEvent(new Event('input', {{bubbles: true}}))")
            time.sleep(0.2)
            return bool(self.run(f"{there}.value === {json.dumps(str(value))}"))

        wait_until(kept, told=self.text)

    def resize(self, width: int, height: int = 900, *, dark: bool = False) -> None:
        """Show the page in a window of this size, in the light or the dark scheme."""
        self._ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._ask("Emulation.setEmulatedMedia", features=[scheme])

    def picture(self, path: Path) -> None:
        """Write the whole page as a PNG."""
        told = self._ask("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(told["data"]))

    def _ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        self._connection.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            told = json.loads(self._connection.recv(timeout=scaled(30)))
            if told.get("method") == "Runtime.exceptionThrown":
                self.errors.append(str(told["params"]["exceptionDetails"]))
            if told.get("id") == self._number:
                assert "error" not in told, told
                result: dict[str, Any] = told["result"]
                return result


@contextmanager
def browser(directory: Path) -> Iterator[Page]:
    """A page in a browser of its own, whose files are in `directory`; ended with the block."""
    assert CHROMIUM is not None
    command = [
        *(CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
        "--window-size=1280,900",
        *("--remote-debugging-port=0", f"--user-data-dir={directory}", "about:blank"),
    ]
    port_file = directory / "DevToolsActivePort"
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: port_file.exists() and "\n" in port_file.read_text(), 30)
        port = port_file.read_text().splitlines()[0]
        new = urllib.request.Request(f"http://127.0.0.1:{port}/json/new?about:blank", method="PUT")
        with urllib.request.urlopen(new, timeout=scaled(30)) as answer:
            url = json.load(answer)["webSocketDebuggerUrl"]
        with connect(url, max_size=None, proxy=None) as connection:
            yield Page(connection)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
