"""Whole systems and whole runs: slow and real. Files that need the same system share it (tests/conftest.py)."""

from collections.abc import Iterator

import pytest

from sut.deploy.system import System
from sut.deploy.topology import Settings
from tests.kit import shared
from tests.kit.whole import embedded

GROUP_CAP = 12


@pytest.fixture(autouse=True)
def _able_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is drawn on terminals is drawn for the tests too, wherever they run."""
    monkeypatch.setenv("TERM", "xterm")


@pytest.fixture(scope="session")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A system as `petrel up` starts it, to be broken by hand. Who breaks it heals it."""
    yield shared.keep(embedded(tmp_path_factory.mktemp("up") / "up", Settings()))
    shared.end()


@pytest.fixture(scope="session")
def talking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A system for devices that talk, with a heartbeat of 5 s and small groups."""
    settings = Settings(heartbeat_s=5, group_cap=GROUP_CAP)
    yield shared.keep(embedded(tmp_path_factory.mktemp("talking"), settings))
    shared.end()


@pytest.fixture(scope="session")
def silent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A system with a heartbeat of 30 s: in that time nothing is told again by itself."""
    yield shared.keep(embedded(tmp_path_factory.mktemp("silent"), Settings(heartbeat_s=30)))
    shared.end()
