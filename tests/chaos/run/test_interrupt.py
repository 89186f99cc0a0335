"""Signals: the first is noted, or raised where asked; the second is raised; nobody's handlers are lost."""

import os
import signal

import pytest

from chaos.run import interrupt
from chaos.run.interrupt import Aborted, Interrupt, Interrupted


def test_the_first_is_noted_and_the_second_raised() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Interrupt() as asked:
        assert not asked.asked
        assert asked.left_s(60, keep_s=5) == 60
        os.kill(os.getpid(), signal.SIGTERM)
        assert asked.asked
        with pytest.raises(Aborted):
            os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)  # clean-up is under way: a third changes nothing
    assert signal.getsignal(signal.SIGTERM) is before


def test_where_nobody_looks_the_first_is_raised() -> None:
    with Interrupt() as asked:
        with pytest.raises(Interrupted), asked.raising():
            os.kill(os.getpid(), signal.SIGINT)
        assert asked.asked


def test_what_is_left_shrinks_once_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 100.0
    monkeypatch.setattr(interrupt.time, "monotonic", lambda: now_s)
    with Interrupt() as asked:
        expired = asked.expiry(60, keep_s=5)
        now_s = 120.0
        assert not expired()
        os.kill(os.getpid(), signal.SIGINT)
        assert asked.left_s(60, keep_s=5) == interrupt.TIME_LEFT_S - 5
        assert asked.left_s(2, keep_s=5) == 2
        now_s = 120.0 + interrupt.TIME_LEFT_S - 5
        assert expired()
        assert asked.left_s(60, keep_s=5) == 0
    with Interrupt() as asked:
        now_s = 0.0
        expired = asked.expiry(60, keep_s=5)
        now_s = 60.5
        assert expired()


def test_a_terminal_that_is_closed_ends_a_run_in_good_order_too_and_nohup_is_obeyed() -> None:
    before = signal.getsignal(signal.SIGHUP)
    with Interrupt() as asked:
        os.kill(os.getpid(), signal.SIGHUP)
        assert asked.asked
    assert signal.getsignal(signal.SIGHUP) is before
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interrupt() as asked:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not asked.asked
    finally:
        signal.signal(signal.SIGHUP, before)
