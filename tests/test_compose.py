"""compose.yaml is read by the parsers of Compose: of docker, of docker-compose, and of the library compose-go."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from sut.deploy.servers.binaries import cache_dir
from tests.kit.pace import scaled

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / "compose.yaml"
MODULE = "github.com/compose-spec/compose-go/v2/cmd@v2.9.0"


def _compose_go() -> list[str] | None:
    """The parser of the library, built once a user."""
    built, go = cache_dir() / "bin" / "compose-go", shutil.which("go")
    if not built.exists() and go is not None:
        built.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=built.parent) as scratch:
            done = subprocess.run(
                [go, "install", MODULE], env={**os.environ, "GOBIN": scratch, "GOFLAGS": ""}, cwd=scratch,
                capture_output=True, timeout=scaled(100), check=False,
            )  # fmt: skip
            if done.returncode == 0:
                (Path(scratch) / "cmd").replace(built)
    return [str(built)] if built.exists() else None


def _parsers() -> dict[str, list[str]]:
    """The command lines that read a file whose path follows, by the name of the parser."""
    found = {}
    if shutil.which("docker") and not subprocess.run(["docker", "compose", "version"], capture_output=True).returncode:  # noqa: PLW1510
        found["docker compose"] = ["docker", "compose", "-f"]
    if shutil.which("docker-compose"):
        found["docker-compose"] = ["docker-compose", "-f"]
    return found


def _read(parser: str, path: Path) -> tuple[int, str]:
    command = (
        [*_parsers()[parser], str(path), "config"] if parser in _parsers() else [*(_compose_go() or ()), str(path)]
    )
    done = subprocess.run(command, cwd=path.parent, capture_output=True, text=True, timeout=scaled(30), check=False)
    return done.returncode, done.stdout if done.returncode == 0 else done.stderr


@pytest.fixture(params=["docker compose", "docker-compose", "compose-go"])
def parser(request: pytest.FixtureRequest) -> str:
    name = str(request.param)
    if name not in _parsers() and (name != "compose-go" or _compose_go() is None):
        pytest.skip(f"{name} is not here, so it did not read compose.yaml")
    return name


@pytest.mark.timeout(300)
def test_compose_reads_the_file(parser: str) -> None:
    status, said = _read(parser, FILE)
    assert status == 0, said
    read: Mapping[str, Any] = yaml.safe_load(said)
    assert set(read["services"]) == {"system", "prometheus", "grafana"}


@pytest.mark.timeout(300)
def test_compose_refuses_a_mistake(parser: str, tmp_path: Path) -> None:
    mistaken = tmp_path / "compose.yaml"
    mistaken.write_text(FILE.read_text().replace("healthcheck:", "helthcheck:"))
    status, said = _read(parser, mistaken)
    assert status != 0
    assert "helthcheck" in said


def test_who_waits_for_health_waits_for_one_that_says_it_and_all_ports_are_of_this_machine_only() -> None:
    services = yaml.safe_load(FILE.read_text())["services"]
    waits = 0
    for service in services.values():
        for other, how in service.get("depends_on", {}).items():
            assert how["condition"] == "service_healthy"
            assert services[other]["healthcheck"]["test"]
            waits += 1
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
    assert waits == 2


def test_the_image_is_built_from_what_the_context_has() -> None:
    """Each file that the Dockerfile copies is there, and .dockerignore lets it through."""
    build = yaml.safe_load(FILE.read_text())["services"]["system"]["build"]
    lines = (ROOT / build["dockerfile"]).read_text().replace("\\\n", " ").splitlines()
    passed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = [word for line in lines if line.startswith("COPY") and "--from" not in line for word in line.split()[1:-1]]
    assert len(copied) > 5
    for name in copied:
        if not name.startswith("build/wheel"):
            assert (ROOT / name).exists()
            assert name.split("/")[0] in passed
    assert f"AS {build['target']}" in "\n".join(lines)
