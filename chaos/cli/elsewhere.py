"""The options of a run on a system that somebody else started, and their translation for the deployment."""

from __future__ import annotations

import argparse
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from chaos.cli.command import a_path
from chaos.errors import UsageError

if TYPE_CHECKING:
    from sut.deploy.elsewhere import Elsewhere


def options(sub: argparse.ArgumentParser) -> None:
    """Add the options to a command."""
    group = sub.add_argument_group(
        "a system that somebody else started",
        "driven instead of starting one. It is never stopped, and its processes are never killed: only the links that "
        "--break names can be broken. Nothing is sent to a host that --allow does not name.",
    )
    group.add_argument(
        "--topology", type=a_path, metavar="FILE", help="its topology.json; others must not be able to read it"
    )
    group.add_argument("--allow", metavar="HOST[,...]", help="every host of it that this run may send packets to")
    group.add_argument(
        "--break", dest="may_break", metavar="LINK[,...]", help="links that faults may break; default: none"
    )


def from_options(options: argparse.Namespace, directory: Path) -> Elsewhere | None:
    """Return the system that the options name; None if the run starts its own. Raises UsageError."""
    if options.topology is None:
        for option, value in (("--allow", options.allow), ("--break", options.may_break)):
            if value is not None:
                raise UsageError(f"{option} goes with --topology")
        return None
    if any((options.kafka, options.cassandra, options.sentinels, options.variant)):
        raise UsageError("--topology names a whole system: no server and no variant goes with it")
    if not options.allow:
        raise UsageError("--topology needs --allow: name every host that this run may send packets to")
    from sut.deploy import elsewhere
    from sut.deploy.topology import TopologyError

    try:
        return elsewhere.planned(
            options.topology,
            directory=directory,
            run_id=secrets.token_hex(8),
            allowed=_names(options.allow),
            may_break=_names(options.may_break or ""),
        )
    except TopologyError as error:
        raise UsageError(str(error)) from None


def _names(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
