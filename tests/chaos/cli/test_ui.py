"""What `petrel ui` tells the terminal of what Locust logs."""

from __future__ import annotations

from chaos.cli.ui import news


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
