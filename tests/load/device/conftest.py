"""A world of three devices for the tests of the swarm's encryption."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.load.device.crypto_world import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.history.close()
