"""What `petrel ui` tells the terminal of what Locust logs."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.cli.ui import news, serve
from chaos.errors import UsageError


def test_the_terminal_gets_the_lines_of_our_own_logger_and_no_others() -> None:
    log = [
        "[2026-11-30 08:00:18,713] vm/INFO/locust.runners: Ramping to 20 users at a rate of 10.00 per second\n",
        "[2026-11-30 08:00:18,713] vm/INFO/petrel: 40 conversations in 1.1 s; the run is in /r/swarm-1/history\n",
        "[2026-11-30 08:00:19,100] vm/WARNING/load.drive.swarm: something/petrel: else\n",
        "  File /petrel: a line of a traceback\n",
        "[2026-11-30 08:01:18,713] vm/ERROR/petrel: the system of /r does not answer: GET /v1/petrel: refused\n",
    ]
    assert list(news(log)) == [
        "40 conversations in 1.1 s; the run is in /r/swarm-1/history",
        "the system of /r does not answer: GET /v1/petrel: refused",
    ]


def test_a_locust_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"mine\.py: no such Locust file"):
        serve(profile="embedded", users=2, out=tmp_path / "up", servers=None, locustfile=tmp_path / "mine.py")
    assert not (tmp_path / "up").exists()
