"""Real locust commands, started as people and the runner start them, and ended with the test."""

import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from http import HTTPStatus
from pathlib import Path

import psutil

from load import workload as configs
from tests.kit.pace import scaled

LOCUSTFILE = str(Path(configs.__file__).parent / "locustfile.py")
EXAMPLE = str(Path(__file__).resolve().parents[2] / "docs" / "chat_user.py")
"""The Locust file of a user's own that docs/your-own-user.md shows."""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def press(web: str, path: str) -> None:
    """Press a button of the web UI at `web`: a POST since Locust 2.47, a GET before."""
    try:
        urllib.request.urlopen(urllib.request.Request(web + path, method="POST"), timeout=scaled(60)).close()
    except urllib.error.HTTPError as error:
        if error.code != HTTPStatus.METHOD_NOT_ALLOWED:
            raise
        urllib.request.urlopen(web + path, timeout=scaled(60)).close()


class Started:
    """A locust command under way."""

    def __init__(self, tmp_path: Path, *arguments: str, **environment: str) -> None:
        self.log = tmp_path / "locust.log"
        self.port = free_port()
        command = [sys.executable, "-m", "locust", "-f", LOCUSTFILE, "--master-bind-port", str(self.port),
                   "--master-port", str(self.port), *arguments]  # fmt: skip
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=os.environ | environment, cwd=tmp_path
            )

    def text(self) -> str:
        return self.log.read_text()

    def workers(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children()

    def stop(self) -> int:
        """As the runner does."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)
