"""Whole systems and whole runs: slow, real, each of its own."""

import pytest


@pytest.fixture(autouse=True)
def _able_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is drawn on terminals is drawn for the tests too, wherever they run."""
    monkeypatch.setenv("TERM", "xterm")
