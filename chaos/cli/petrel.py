"""`petrel`: the command line. Reads arguments, calls what does the work, and turns errors into one line and a status.

Exit status: 0 valid, 1 invalid, 2 unknown, 64 wrong usage, 70 the harness could not do its job. With --json the last
line of standard output is the verdict, and all that is meant for people goes to standard error. Modules are imported
where they are used: `petrel --help` must not wait for polars.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from chaos.cli import servers
from chaos.errors import HARNESS, ChaosError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from chaos.verdict.model import Verdict

EXIT_HELP: Final = "exit status: 0 valid, 1 invalid, 2 unknown, 64 wrong usage, 70 the harness could not do its job"
_MACHINE: Final = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM)
"""What a machine may lack at any place, and nobody here can mend: no bug."""
EXPERIMENTS: Final = Path(__file__).parents[1] / "experiments"
"""Looked at here too, so that the help need not import what reads them."""


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage text, as every other error is said."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see {self.prog} --help")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns its exit status; never raises for what a user did."""
    try:
        options = _parser().parse_args(arguments)
        command: Callable[[argparse.Namespace], int] = options.command
        status = command(options)
        sys.stdout.flush()
    except ChaosError as error:
        return _fail(str(error), error.status)
    except KeyboardInterrupt:
        return _fail("interrupted", HARNESS)
    except BrokenPipeError:
        # Whoever read our output has seen enough. Nothing more can be written, not even at the exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return HARNESS
    except SystemExit:
        raise
    except MemoryError:
        return _fail("out of memory", HARNESS)
    except BaseException as error:  # noqa: BLE001 (the last resort: a bug, for its finder to report; or a native panic)
        if isinstance(error, OSError) and error.errno in _MACHINE:
            place = f"{error.filename}: " if error.filename else ""
            return _fail(f"{place}{error.strerror}", HARNESS)
        return _fail(f"a bug in the harness: {type(error).__name__}: {error}; {_kept_traceback()}", HARNESS)
    return status


def _kept_traceback() -> str:
    """Write the traceback of what is being handled to a file; returns where it is."""
    try:
        with tempfile.NamedTemporaryFile("w", prefix="petrel-", suffix=".log", delete=False) as log:
            traceback.print_exc(file=log)
    except OSError as error:
        return f"no traceback is kept: {error}"
    return f"traceback in {log.name}"


def _fail(text: str, status: int) -> int:
    line = " ".join(text.split())
    with contextlib.suppress(OSError):
        print(f"petrel: {line}", file=sys.stderr, flush=True)  # noqa: T201
    return status


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="petrel", description="Breaks a chat system on purpose and proves what happened.", epilog=EXIT_HELP
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=_Parser)

    def add(name: str, command: Callable[[argparse.Namespace], int], summary: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=summary, description=summary, epilog=EXIT_HELP)
        sub.set_defaults(command=command)
        return sub

    shipped = ", ".join(sorted(path.stem for path in EXPERIMENTS.glob("*.yaml")))
    sub = add("run", _run, "run an experiment and judge it")
    sub.add_argument("experiment", metavar="EXPERIMENT", help=f"{shipped}, or the path of a YAML file")
    sub.add_argument("--users", type=int, metavar="N", help="devices, instead of what the experiment says")
    sub.add_argument("--duration", type=float, metavar="S", help="seconds from the first send to the last")
    sub.add_argument("--rate", type=float, metavar="R", help="sends a second, all devices together")
    sub.add_argument("--seed", type=_seed, metavar="N", help="makes everything that is drawn; random if not given")
    sub.add_argument("--variant", metavar="V", help="switch on a known-bad design; petrel modes lists them")
    _profile(sub)
    _out_and_json(sub)
    servers.add_options(sub)

    sub = add("capacity", _capacity, "find the rate that a profile carries on this machine within the latency bound")
    sub.add_argument("--users", type=int, metavar="N", help="devices; default: 1000")
    sub.add_argument("--duration", type=float, metavar="S", help="seconds a step; default: 30")
    sub.add_argument("--first", type=float, default=200.0, metavar="R", help="messages/s to begin with; default: 200")
    sub.add_argument("--seed", type=_seed, metavar="N", help="random if not given")
    _profile(sub)
    _out_and_json(sub)
    servers.add_options(sub)

    _bench_options(add("bench", _bench, "measure one cost: fanout, storm, counter, reconnect, presence"))
    sub = add("replay", _replay, "run again what a run directory's schedule.yaml says")
    sub.add_argument("run_dir", type=Path, metavar="RUN_DIR")
    _out_and_json(sub)
    servers.add_options(sub)

    sub = add("verify", _verify, "judge a recorded history again")
    sub.add_argument("run_dir", type=Path, nargs="?", metavar="RUN_DIR")
    sub.add_argument("--history", type=Path, metavar="FILE", help="a history as JSON lines, recorded by anybody")
    sub.add_argument("--json", action="store_true", help="print the verdict as JSON")

    sub = add("history", _history, "write a run's history for other tools")
    sub.add_argument("run_dir", type=Path, metavar="RUN_DIR")
    sub.add_argument("--format", choices=("jsonl", "parquet"), default="jsonl")
    sub.add_argument("--out", type=Path, metavar="FILE", help="default: standard output; RUN_DIR/history.parquet")

    _profile(add("faults", _faults, "list the faults and whether they can be injected here"))

    add("modes", _modes, "list the known-bad designs and what catches each")

    _add_systems(add)
    return parser


def _add_systems(add: Callable[[str, Callable[[argparse.Namespace], int], str], argparse.ArgumentParser]) -> None:
    """The commands about a system, without an experiment."""
    _starting(add("up", _up, "start a system and leave it running"))
    _directory(add("status", _status, "show a running system"))
    _directory(add("down", _down, "stop a running system"))
    sub = add("doctor", _doctor, "say what this machine has and lacks for a profile")
    _profile(sub)
    _directory(sub)

    sub = add("chat", _chat, "chat as somebody through a running system")
    sub.add_argument("user", metavar="USER", help="your name: a-z, 0-9, '.', '_' and '-'")
    _directory(sub)
    sub.add_argument("--device", metavar="NAME", default="terminal", help="which of your devices this is, by your word")
    sub.add_argument("--api", metavar="URL", help="the API of a system elsewhere, instead of --dir; needs --token")
    sub.add_argument("--token", metavar="TOKEN", help="a device token; default: one made with the local operator's key")
    sub.add_argument("--ca", type=Path, metavar="FILE", help="the authority of a system that is reached by TLS")
    sub.add_argument("--state", type=Path, metavar="DIR", help="keys and messages; default: in $XDG_STATE_HOME")
    sub.add_argument("--plain", action="store_true", help="lines in, lines out, without a screen")

    sub = add("ui", _ui, "start a system and Locust's web UI; Ctrl-C ends both")
    _profile(sub)
    sub.add_argument("--users", type=int, default=1000, metavar="N", help="devices that the UI offers to start")
    sub.add_argument("--port", type=int, default=0, metavar="N", help="of the page, on 127.0.0.1; default: a free one")
    sub.add_argument("--out", type=Path, metavar="DIR", help="default: a new one in runs/")
    servers.add_options(sub)


def _seed(text: str) -> int:
    if not text.isdecimal() or int(text) >= 1 << 63:
        raise argparse.ArgumentTypeError(f"a whole number from 0 to 2^63-1, not {text!r}")
    return int(text)


def _bench_options(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("name", metavar="NAME")
    sub.add_argument("--variant", metavar="V", help="switch on a known-bad design; petrel modes lists them")
    sub.add_argument("--duration", type=float, metavar="S", help="seconds a point, instead of the bench's own")
    sub.add_argument("--points", type=_points, default=(), metavar="N,N", help="what it varies, instead of its own")
    _out_and_json(sub)


def _points(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"whole numbers with commas between, not {text!r}") from None


def _starting(sub: argparse.ArgumentParser) -> None:
    _profile(sub)
    sub.add_argument("--tls", action="store_true", help="clients come by TLS, with an authority made in DIR/tls")
    sub.add_argument("--variant", metavar="V", help="switch on a known-bad design; petrel modes lists them")
    _directory(sub)
    servers.add_options(sub)


def _profile(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--profile", default="embedded", metavar="P", help="embedded or cluster; default: embedded")


def _directory(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--dir", type=Path, default=Path("runs/up"), metavar="DIR", help="default: runs/up")


def _out_and_json(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--out", type=Path, metavar="DIR", help="run directory, new or empty; default: one in runs/")
    sub.add_argument("--json", action="store_true", help="print the verdict as one JSON object at the end")


def _run(options: argparse.Namespace) -> int:
    from chaos.cli import commands

    return _judged(commands.run(options), as_json=options.json)


def _replay(options: argparse.Namespace) -> int:
    from chaos.cli import commands

    return _judged(commands.replay(options), as_json=options.json)


def _verify(options: argparse.Namespace) -> int:
    from chaos.cli import commands

    return _judged(commands.verify(options), as_json=options.json)


def _judged(verdict: Verdict, *, as_json: bool) -> int:
    """Print what machines read, and for whoever only sees the status one line of why."""
    from chaos.verdict.model import encode, exit_status

    if as_json:
        print(encode(verdict).decode(), flush=True)  # noqa: T201
    if verdict.verdict == "valid":
        return exit_status(verdict)
    reasons = [check for check in verdict.checks if check.verdict == verdict.verdict]
    why = next((check for check in reasons if check.name == "vacuity"), reasons[0])
    return _fail(f"{verdict.verdict}: {why.name}: {why.detail}", exit_status(verdict))


def _capacity(options: argparse.Namespace) -> int:
    from chaos.cli import commands

    return commands.capacity(options)


def _bench(options: argparse.Namespace) -> int:
    from chaos.bench import benches
    from chaos.cli import commands

    benches.find(options.name)
    commands.check_variant(options.variant)
    if options.duration is not None and not 1 <= options.duration <= 3600:
        raise UsageError(f"--duration is from 1 to 3600, not {options.duration:g}")
    if not all(0 <= point <= 10_000 for point in options.points):
        raise UsageError("--points are from 0 to 10000")
    commands.check_redis()
    return benches.run(
        options.name,
        variant=options.variant,
        duration_s=options.duration,
        points=options.points,
        out=options.out,
        as_json=options.json,
    )


def _history(options: argparse.Namespace) -> int:
    from chaos.cli import commands

    return commands.history(options)


def _faults(options: argparse.Namespace) -> int:
    from chaos.cli import commands

    return commands.faults(options)


def _modes(_options: argparse.Namespace) -> int:
    from chaos.cli import commands

    return commands.modes()


def _up(options: argparse.Namespace) -> int:
    from chaos.cli import commands, lifecycle

    commands.check_profile(options.profile)
    commands.check_variant(options.variant)
    return lifecycle.up(
        profile=options.profile,
        directory=options.dir,
        variant=options.variant,
        tls=options.tls,
        servers=servers.from_options(options, options.profile),
    )


def _status(options: argparse.Namespace) -> int:
    from chaos.cli import lifecycle

    return lifecycle.status(directory=options.dir)


def _down(options: argparse.Namespace) -> int:
    from chaos.cli import lifecycle

    return lifecycle.down(directory=options.dir)


def _doctor(options: argparse.Namespace) -> int:
    from chaos.cli import commands, lifecycle

    commands.check_profile(options.profile)
    return lifecycle.doctor(profile=options.profile, directory=options.dir)


def _chat(options: argparse.Namespace) -> int:
    from chaos.cli.chat import chat

    return chat(
        user=options.user,
        directory=options.dir,
        api=options.api,
        token=options.token,
        ca=options.ca,
        device=options.device,
        state=options.state,
        plain=options.plain,
    )


def _ui(options: argparse.Namespace) -> int:
    from chaos.cli import commands, ui

    commands.check_profile(options.profile)
    if not 1 <= options.users <= 100_000:
        raise UsageError(f"--users is from 1 to 100000, not {options.users}")
    theirs = servers.from_options(options, options.profile)
    return ui.serve(profile=options.profile, users=options.users, out=options.out, servers=theirs, port=options.port)


if __name__ == "__main__":
    sys.exit(main())
