"""`petrel ui`: a system with Locust's web UI."""

from __future__ import annotations

import argparse

from chaos.cli import servers
from chaos.cli.asked import check_profile
from chaos.cli.command import a_path, command, out, profile
from chaos.errors import UsageError


def _options(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--users", type=int, default=1000, metavar="N", help="devices that the UI offers to start")
    sub.add_argument("--port", type=int, default=0, metavar="N", help="of the page; default: a free one")
    sub.add_argument(
        "--host", default="127.0.0.1", metavar="ADDRESS", help="that the page listens on (default: loopback)"
    )
    sub.add_argument(
        "--locustfile", type=a_path, metavar="FILE", help="with users of your own; default: those by a plan"
    )


@command("ui", "start a system and Locust's web UI; Ctrl-C ends both", _options, profile, out, servers.options)
def ui(options: argparse.Namespace) -> int:
    """Serve the page until Ctrl-C."""
    from chaos.cli import ui as pages
    from load.workload import MAX_GREENLETS

    check_profile(options.profile)
    if not 1 <= options.users <= MAX_GREENLETS:
        raise UsageError(f"--users is from 1 to {MAX_GREENLETS}, not {options.users}")
    theirs = servers.from_options(options, options.profile)
    return pages.serve(
        profile=options.profile, users=options.users, out=options.out, servers=theirs, port=options.port,
        host=options.host, locustfile=options.locustfile,
    )  # fmt: skip
