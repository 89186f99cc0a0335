"""The main steps of a command: run a system for a time, or run an experiment, judge it and show both."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from chaos.errors import HarnessError
from chaos.run.interrupt import Aborted, Interrupt
from chaos.run.rundir import RunDir
from chaos.screen.console import for_people
from sut.deploy import system as deploy
from sut.deploy.errors import DeployError
from sut.deploy.supervise.ending import end
from sut.deploy.supervise.state import CLOCK_OFFSET, clock_offset_ns
from sut.deploy.supervise.watchdog import Watchdog
from sut.deploy.system import System
from sut.deploy.topology import Settings

if TYPE_CHECKING:
    from chaos.run.runner import Request
    from chaos.verdict.model import Verdict
    from sut.deploy.servers.external import Servers


def share_clock() -> None:
    """Share one clock with all child processes. Call it before load.history.writer is imported, which reads it."""
    os.environ[CLOCK_OFFSET] = str(clock_offset_ns(os.environ))


@contextmanager
def running(
    *,
    profile: str,
    directory: Path,
    variant: str | None = None,
    settings: Settings,
    servers: Servers | None = None,
    say: Callable[[str], None],
) -> Iterator[System]:
    """Yield a running system, and end it after. Raises HarnessError, Interrupted, Aborted."""
    watchdog = Watchdog("", directory)
    system: System | None = None
    try:
        with Interrupt() as interrupt:
            try:
                with interrupt.raising():
                    system = deploy.start(
                        profile=profile,
                        directory=directory,
                        variant=variant,
                        settings=settings,
                        servers=servers,
                        on_progress=say,
                    )
                    yield system
            except DeployError as error:
                raise HarnessError(str(error)) from None
            finally:
                if system is not None:
                    system.stop()
    finally:
        if system is not None:
            end(system.topology, grace_s=0.0)
        watchdog.done()


def execute(request: Request, *, as_json: bool, alone: bool = True) -> Verdict:
    """Run the experiment, judge it and show both; returns the verdict.

    An interruption of one of several runs (not `alone`) ends all. Raises ChaosError.
    """
    from chaos.run import outcome, runner
    from chaos.screen.live import Display, show_verdict

    console = for_people(stderr=as_json)
    variant = f", variant {request.variant}" if request.variant else ""
    console.print(
        Text(f"{request.experiment.name}: {request.experiment.users} devices, seed {request.seed}{variant}"),
        soft_wrap=True,
    )
    console.print(Text(f"run directory {request.directory}"), soft_wrap=True)
    try:
        with Interrupt() as interrupt:
            with Display(console) as display:
                directory = runner.execute(request, display=display, interrupt=interrupt)
            verdict = outcome.conclude(directory, say=lambda text: console.print(Text(text)))
    except Aborted:
        raise HarnessError("interrupted twice: everything was ended at once, there is no verdict") from None
    except HarnessError as error:
        outcome.without_verdict(RunDir(request.directory), request.experiment.name, str(error))
        raise
    show_verdict(console, verdict, report=request.directory / "report.html")
    if interrupt.asked and not alone:
        raise HarnessError("interrupted")
    return verdict
