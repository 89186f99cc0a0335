"""Docker Engine for tests: those that need it are skipped where it does not run, with what it lacks. None starts it."""

import pytest

from sut.deploy.docker import images
from sut.deploy.docker.engine import RUN, Engine
from sut.deploy.errors import DeployError


def engine_or_skip() -> Engine:
    """The engine, with every image that profile docker needs for this code."""
    try:
        engine = Engine.connect()
    except DeployError as error:
        pytest.skip(str(error))
    missing = [name for name in (*images.OFFICIAL.values(), images.tag()) if not images.has(engine, name)]
    if missing:
        pytest.skip(f"no image {', '.join(sorted(set(missing)))}: {images.LOCAL_COMMAND}")
    return engine


def everything(engine: Engine) -> set[str]:
    """All containers and networks with the label of any run."""
    found = engine.client.api.containers(all=True, filters={"label": RUN})
    return {one["Id"] for one in found} | {one["Id"] for one in engine.client.api.networks(filters={"label": RUN})}
