"""`petrel`: the command line. Reads arguments, runs the command, and turns errors into one line and a status.

Exit status: 0 valid, 1 invalid, 2 unknown, 64 wrong usage, 70 the harness could not do its job. Only a verdict exits
with 1. With --json the last line of standard output is the result, and everything for people goes to standard error.
The commands are in chaos/cli/commands.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import mmap
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from chaos.cli.say import fail
from chaos.errors import HARNESS, ChaosError, UsageError

if TYPE_CHECKING:
    from chaos.cli.command import Act

EXIT_HELP: Final = "exit status: 0 valid, 1 invalid, 2 unknown, 64 wrong usage, 70 the harness could not do its job"
RENAMED: Final = {"capacity": "limits"}
"""Former names of commands -> their names now."""
_MACHINE: Final = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN)
"""Resources that a machine may lack anywhere; such an error is no bug."""


ROOM: Final = 1 << 30
"""Bytes of address space; with 1.2 GB a small history is judged (2026-11-30)."""


class _Parser(argparse.ArgumentParser):
    """Reports a mistake in one line, without the usage text, as all other errors are."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see {self.prog} --help")


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: Any, **__: Any) -> None:
        from importlib.metadata import version

        print(f"petrel {version('stormpetrel')}")  # noqa: T201
        parser.exit()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns its exit status; never raises for a user's mistake or a lack of resources."""
    _open_streams()
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        if arguments and (name := RENAMED.get(arguments[0])):
            raise UsageError(f"petrel {arguments[0]} is now petrel {name}")
        options = _parser().parse_args(arguments)
        _require_room()
        act: Act = options.act
        status = act(options)
        sys.stdout.flush()
    except ChaosError as error:
        status = fail(str(error), error.status)
    except KeyboardInterrupt:
        status = fail("interrupted", HARNESS)
    except BrokenPipeError:
        status = HARNESS  # the reader of our output has closed it
    except SystemExit:
        raise  # argparse after --help: 0
    except BaseException as error:  # noqa: BLE001 (the last resort; a panic of a native library is no Exception)
        status = fail(_unforeseen(error), HARNESS)
    _close_output()
    return status


def _open_streams() -> None:
    """Open closed streams on /dev/null, and escape characters that the terminal lacks."""
    with contextlib.suppress(OSError):
        while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
            pass  # it stays open in the place of a closed stream, which the next file would get otherwise
        os.close(fd)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 (open until the end)
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _require_room() -> None:
    """Raise MemoryError if there is too little address space: numpy's OpenBLAS would end the process with 1."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # each further thread takes 30 MB
    try:
        mmap.mmap(-1, ROOM, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=mmap.PROT_READ).close()
    except OSError:
        raise MemoryError from None


def _close_output() -> None:
    """Flush standard output; if that fails, discard the rest, or the interpreter would exit with its own status."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _unforeseen(error: BaseException) -> str:
    """Return one line for an unexpected error: a resource that the machine lacks, or a bug with its traceback in a
    file.
    """
    if isinstance(error, MemoryError):
        return "out of memory"
    if isinstance(error, OSError) and (error.filename or error.errno in _MACHINE):
        return f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror)
    if isinstance(error, RuntimeError) and "new thread" in str(error):
        return "the machine gives no more threads (ulimit -u)"
    if isinstance(error, RuntimeError) and "home directory" in str(error):
        return "there is no home directory; set HOME"
    if not isinstance(error, Exception):
        return f"a native library gave up: {error}"
    return f"a bug in the harness: {type(error).__name__}: {error}; {_kept(error)}"


def _kept(error: Exception) -> str:
    """Write the traceback to a file and return a line with its path."""
    try:
        import tempfile
        import traceback

        with tempfile.NamedTemporaryFile("w", prefix="petrel-", suffix=".log", delete=False) as log:
            traceback.print_exception(error, file=log)
    except (OSError, ImportError, MemoryError) as why:
        return f"no traceback could be kept: {why or type(why).__name__}"
    return f"traceback in {log.name}"


def _parser() -> argparse.ArgumentParser:
    from chaos.cli.command import find

    parser = _Parser(
        prog="petrel", description="Breaks a chat system on purpose and proves what happened.", epilog=EXIT_HELP
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=_Parser)
    for command in find():
        sub = commands.add_parser(command.name, help=command.summary, description=command.summary, epilog=EXIT_HELP)
        for add in command.options:
            add(sub)
        sub.set_defaults(act=command.act)
    return parser


if __name__ == "__main__":
    sys.exit(main())
