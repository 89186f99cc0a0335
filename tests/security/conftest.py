"""One whole embedded system for the tests of this folder that need one."""

from collections.abc import Iterator

import pytest

from sut.deploy.system import System
from sut.deploy.topology import Settings
from tests.kit import shared
from tests.kit.whole import embedded


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Real processes, until the last test that needs them."""
    yield shared.keep(embedded(tmp_path_factory.mktemp("system"), Settings(heartbeat_s=5)))
    shared.end()
