"""A command of `petrel`, and the options that several commands share.

A command registers itself: a file in chaos/cli/commands decorates a function with `command`. Such a file imports its
implementation inside that function, because `petrel --help` must not wait for it.
"""

from __future__ import annotations

import argparse
import pkgutil
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Final, NamedTuple

DIRECTORY: Final = Path("runs/up")
"""The default directory in which `petrel up` starts a system."""
Act = Callable[[argparse.Namespace], int]
"""Runs the command. Returns the exit status; raises ChaosError."""
Options = Callable[[argparse.ArgumentParser], None]
"""Adds options to a command."""
COMMANDS: Final[dict[str, Command]] = {}


class Command(NamedTuple):
    """One command of `petrel`."""

    name: str
    summary: str
    options: tuple[Options, ...]
    act: Act


def command(name: str, summary: str, *options: Options) -> Callable[[Act], Act]:
    """Register the decorated function as this command."""

    def register(act: Act) -> Act:
        COMMANDS[name] = Command(name, summary, options, act)
        return act

    return register


def find() -> list[Command]:
    """Return all commands, by name."""
    from chaos.cli import commands

    for module in pkgutil.iter_modules(commands.__path__):
        import_module(f"{commands.__name__}.{module.name}")
    return [COMMANDS[name] for name in sorted(COMMANDS)]


def a_path(text: str) -> Path:
    """Return the path that an option names. An empty one, as of a variable without a value, would mean this folder."""
    if not text:
        raise argparse.ArgumentTypeError("the path is empty")
    return Path(text)


def profile(sub: argparse.ArgumentParser) -> None:
    named = "embedded, cluster, docker or redis-cluster; default: embedded"
    sub.add_argument("--profile", default="embedded", metavar="P", help=named)


def directory(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--dir", type=a_path, default=DIRECTORY, metavar="DIR", help=f"default: {DIRECTORY}")


def variant(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--variant", metavar="V", help="switch on a known-bad design; petrel variants lists them")


def run_dir(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("run_dir", type=a_path, metavar="RUN_DIR")


def out(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--out", type=a_path, metavar="DIR", help="run directory, new or empty; default: one in runs/")


def as_json(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--json", action="store_true", help="print the result as one JSON value, on the last line")


def inputs(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "given", nargs="*", type=_pair, metavar="INPUT=NUMBER", help="inputs instead of the design's: users=1e6"
    )


def _pair(text: str) -> tuple[str, float]:
    name, equals, number = text.partition("=")
    try:
        if equals:
            return name, float(number.replace("_", ""))
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"INPUT=NUMBER, such as users=1e6, not {text!r}")


def scale(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--users", type=int, metavar="N", help="devices, instead of what the experiment says")
    sub.add_argument("--duration", type=float, metavar="S", help="seconds from the first send to the last")
    sub.add_argument("--seed", type=_seed, metavar="N", help="makes everything that is drawn; random if not given")


def _seed(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or len(text) > 19 or int(text) >= 1 << 63:
        raise argparse.ArgumentTypeError(f"a whole number from 0 to 2^63-1, not {text!r}")
    return int(text)
