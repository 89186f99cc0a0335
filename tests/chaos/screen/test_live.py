"""What a person sees: the numbers of the moment, on a terminal and as plain lines, and the verdict at the end."""

import io
import re
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
from rich.console import Console

from chaos.run.engine import Active
from chaos.screen import startup
from chaos.screen.live import Display, View, show_verdict
from chaos.verdict.model import (
    CheckResult,
    Counterexample,
    Counts,
    FaultResult,
    Latency,
    Percentiles,
    Recovery,
    Verdict,
)
from load.history.control import PHASES, PhaseName
from load.history.ledger import Ledger
from sut.deploy.supervise.state import ProcessState

LEDGER = Ledger(devices=1000, online=987, sends=12345, acked=12340, nacked=0, shown=61000, expected=61025, duplicates=0)
VIEW = View(
    phase="steady",
    at_s=42.4,
    duration_s=95.0,
    ledger=LEDGER,
    overdue=3,
    active=(Active("f3", "redis_failover", "petrel", healing=False),),
    healed=2,
    planned=7,
)


def test_plain_lines_come_at_each_change_and_not_more_often() -> None:
    out = io.StringIO()
    with Display(Console(file=out, width=60)) as display:
        display.say("starting")
        display.show(View(phase="ramp", at_s=None, duration_s=95.0))
        for _ in range(20):
            display.show(VIEW)
    lines = out.getvalue().splitlines()
    assert len(lines) == 3, lines
    assert lines[0] == "starting"
    assert lines[1].startswith("connecting")
    assert lines[2] == (
        "sending     42 of 95 s  online 987  sends 12,345  acked 12,340  delivered 61,000  unanswered 5  "
        "to deliver 25  duplicates 0  overdue 3  faults 2/7  redis_failover petrel"
    )


@pytest.mark.parametrize("phase", get_args(PhaseName))
def test_a_phase_is_said_in_words_and_nothing_is_to_be_delivered_once_it_is_over(phase: PhaseName) -> None:
    out = io.StringIO()
    with Display(Console(file=out, width=400)) as display:
        display.show(replace(VIEW, phase=phase))
    assert out.getvalue().startswith(PHASES[phase])
    assert not re.search(r"ramp|steady|quiesce", out.getvalue())
    assert ("to deliver" in out.getvalue()) is (phase not in ("final", "end"))


def test_a_start_is_a_table_on_a_terminal_and_a_line_now_and_then_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    with Display(Console(file=out, width=120, force_terminal=True, color_system=None)) as display:
        display.starting({"kafka-1": "elects"}, {"api-1": ProcessState(status="running", pid=7)})
    assert re.search(r"api-1 +healthy +7", out.getvalue())
    assert re.search(r"kafka-1 +starting +elects", out.getvalue())
    out = io.StringIO()
    with Display(Console(file=out)) as display:
        display.starting({"kafka-1": "elects"}, {"api-1": ProcessState(status="running", pid=7)})
        assert out.getvalue() == ""
        monkeypatch.setattr(startup, "PLAIN_EVERY_S", 0.0)
        display.starting({"kafka-1": "elects"}, {})
    assert out.getvalue() == "waiting for kafka-1: elects\n"


def test_a_dumb_terminal_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    out = io.StringIO()
    with Display(Console(file=out, width=200, force_terminal=True)) as display:
        display.show(VIEW)
        assert out.getvalue().startswith("sending     42 of 95 s")


def test_the_panel_shows_the_same_and_leaves_the_terminal_clean() -> None:
    out = io.StringIO()
    with Display(Console(file=out, width=120, force_terminal=True, color_system=None)) as display:
        display.show(VIEW)
    shown = out.getvalue()
    for text in ("sending", "42 of 95 s", "12,345", "61,000", "overdue", "redis_failover petrel", "2 of 7 healed"):
        assert text in shown
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l"), "the cursor is there again"


def test_the_verdict_names_what_failed_and_where_to_read_on() -> None:
    verdict = Verdict(
        verdict="invalid",
        experiment="quick",
        profile="embedded",
        variant="redis_incr",
        seed=7,
        duration_s=95.0,
        counts=Counts(devices=1000, sends_invoked=10, sends_acked=9, deliveries=50, lost=1),
        latency_ms=Latency(steady=Percentiles(p50=4.5, p99=80.25, n=50)),
        faults=(
            FaultResult(
                name="chat_crash", target="chat-1[/b]", injected_at_s=12.0, healed_at_s=None, effective=False,
                healed=False, evidence="chat-1 [is] not running", recovery_s=None,
            ),
            FaultResult(
                name="chat_crash", target="chat-2", injected_at_s=22.0, healed_at_s=24.5, effective=True, healed=True,
                evidence="", recovery_s=0.0,
                recovery=Recovery(felt_s=2.5, worst_p99_ms=2134.5, late=1034, worst_ms=3000),
            ),
        ),
        checks=(
            CheckResult(
                name="acked_lost", verdict="invalid", detail="1 acked message is [lost]",
                counterexamples=tuple(Counterexample(text=f"message {n}") for n in range(9)),
            ),
            CheckResult(name="order", verdict="valid", detail="none out of order"),
        ),
    )  # fmt: skip
    out = io.StringIO()
    show_verdict(Console(file=out, width=150), verdict, report=Path("runs/x/report.html"))
    shown = out.getvalue()
    for text in (
        "acked_lost  invalid  1 acked message is [lost]",
        "acked_lost: message 2",
        "chat_crash  chat-1[/b]",
        "chat-1 [is] not running",
        "chat-2      22.0 s  24.5 s  2.5 s     2.13 s     1,034, 3.00 s  proven",
        "9 of 10 sends acked, 50 deliveries; lost 1",
        "steady p50 4.5 ms, p99 80.2 ms",
        "verdict invalid   seed 7   runs/x/report.html",
    ):
        assert text in shown, shown
    assert "message 3" not in shown
