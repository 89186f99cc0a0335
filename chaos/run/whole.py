"""A whole run as a command does it: run, judge, and show both on the terminal."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from rich.text import Text

from chaos.errors import HarnessError
from chaos.screen.console import for_people
from sut.deploy.supervise.state import CLOCK_OFFSET, clock_offset_ns

if TYPE_CHECKING:
    from chaos.run.runner import Request
    from chaos.verdict.model import Verdict


def share_clock() -> None:
    """One clock for this process and all that it starts; before load.history.history is imported, which reads it."""
    os.environ[CLOCK_OFFSET] = str(clock_offset_ns(os.environ))


def execute(request: Request, *, as_json: bool, alone: bool = True) -> Verdict:
    """Run it, judge it and show both. Interrupted, one of several (not `alone`) ends all. Raises ChaosError."""
    from chaos.run import outcome, runner
    from chaos.run.interrupt import Aborted, Interrupt
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
    show_verdict(console, verdict, report=request.directory / "report.html")
    if interrupt.asked and not alone:
        raise HarnessError("interrupted")
    return verdict
