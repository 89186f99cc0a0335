"""`petrel chat USER`: the client for people."""

from __future__ import annotations

import argparse

from chaos.cli.command import a_path, command, directory


def _options(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("user", metavar="USER", help="your name: a-z, 0-9, '.', '_' and '-'")
    sub.add_argument("--device", metavar="NAME", default="terminal", help="which of your devices this is, by your word")
    sub.add_argument("--api", metavar="URL", help="the API of a system elsewhere, instead of --dir; needs --token")
    sub.add_argument("--token", metavar="TOKEN", help="a device token; default: one made with the local operator's key")
    sub.add_argument("--ca", type=a_path, metavar="FILE", help="the authority of a system that is reached by TLS")
    sub.add_argument("--state", type=a_path, metavar="DIR", help="keys and messages; default: in $XDG_STATE_HOME")
    sub.add_argument("--plain", action="store_true", help="lines in, lines out, without a screen")


@command("chat", "chat as somebody through a running system", _options, directory)
def chat(options: argparse.Namespace) -> int:
    """Chat until the user quits."""
    from chaos.cli import chat as client

    return client.chat(
        user=options.user,
        directory=options.dir,
        api=options.api,
        token=options.token,
        ca=options.ca,
        device=options.device,
        state=options.state,
        plain=options.plain,
    )
