"""`petrel up`, `status`, `down` and `doctor`: run a system by hand, without an experiment."""

from __future__ import annotations

import argparse

from chaos.cli import servers
from chaos.cli.asked import check_profile, check_variant
from chaos.cli.command import as_json, command, directory, profile, variant


def _tls(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--tls", action="store_true", help="clients come by TLS, with an authority made in DIR/tls")


@command("up", "start a system and leave it running", profile, _tls, variant, directory, servers.options)
def up(options: argparse.Namespace) -> int:
    """Start a system and leave it running."""
    from chaos.cli import lifecycle

    check_profile(options.profile)
    check_variant(options.variant)
    return lifecycle.up(
        profile=options.profile,
        directory=options.dir,
        variant=options.variant,
        tls=options.tls,
        servers=servers.from_options(options, options.profile),
    )


@command("status", "show a running system", directory)
def status(options: argparse.Namespace) -> int:
    """Show each process of a running system."""
    from chaos.cli import lifecycle

    return lifecycle.status(directory=options.dir)


@command("down", "stop a running system", directory)
def down(options: argparse.Namespace) -> int:
    """Stop a running system."""
    from chaos.cli import lifecycle

    return lifecycle.down(directory=options.dir)


@command("doctor", "say what this machine has and lacks for a profile", profile, directory, as_json)
def doctor(options: argparse.Namespace) -> int:
    """List what this machine has and lacks for a profile."""
    from chaos.cli import lifecycle

    check_profile(options.profile)
    return lifecycle.doctor(profile=options.profile, directory=options.dir, as_json=options.json)
