"""One whole embedded system for the tests of this folder that need one."""

from collections.abc import Iterator

import pytest

from sut.deploy import system
from sut.deploy.system import System
from sut.deploy.topology import Settings


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Real processes, until the last test of the session that needs them."""
    started = system.start(
        profile="embedded",
        directory=tmp_path_factory.mktemp("system"),
        settings=Settings(heartbeat_s=5),
        on_progress=lambda _line: None,
    )
    yield started
    started.stop(15.0)
