"""The example of the Kubernetes manifests, made as the page says."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from sut.deploy.k8s import topology as pods
from tests.kit.kubernetes import kustomized

MANIFESTS = Path(pods.__file__).parent
SERVERS = (
    *("--kafka", "k-1:9092,k-2:9092,k-3:9092"),
    *("--cassandra", "c-1:9042,c-2:9042,c-3:9042"),
    *("--sentinels", "s-1:26379,s-2:26379,s-3:26379"),
)


@pytest.fixture(scope="session")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example with a topology and a password."""
    place = tmp_path_factory.mktemp("k8s")
    for part in ("base", "example"):
        shutil.copytree(MANIFESTS / part, place / part)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PETREL_KAFKA_USER", "petrel")
        patch.setenv("PETREL_KAFKA_PASSWORD", "S3-secret")
        assert pods.main([*SERVERS, "--out", str(place / "example")]) == 0
    return place / "example"


@pytest.fixture(scope="session")
def objects(example: Path) -> list[dict[str, Any]]:
    """Every object that it makes."""
    return kustomized(example)
