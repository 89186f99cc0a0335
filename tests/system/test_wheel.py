"""The wheel: complete, built without a warning, and enough to run an experiment in an empty folder."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.kit.pace import scaled

ROOT = Path(__file__).parents[2]
PACKAGES = ("sut", "load", "chaos", "dashboards")
IGNORED = shutil.ignore_patterns("__pycache__", "*.pyc", "*.egg-info")
TOLD = re.compile(r"^.*\b\w*Warning\b.*$|^\s*!!.*$", re.MULTILINE)
"""How setuptools shows a warning; what it says at every build (of byte-compiling) is no such line."""

OF_DATA = ("acked_lost", "duplicates", "phantoms", "leaks")
"""The checks whose verdict does not depend on how busy this machine is."""


def system_programs(directory: Path) -> Path:
    """A directory with this system's own programs, as links; not those of Redis, and nothing that was added to it."""
    directory.mkdir()
    for path in (path for place in ("/usr/bin", "/usr/sbin") for path in Path(place).iterdir()):
        if not path.name.startswith(("redis", "valkey")) and not (directory / path.name).exists():
            (directory / path.name).symlink_to(path)
    return directory


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what a wheel is made from: a build leaves files in its tree."""
    directory = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, directory)
    for name in PACKAGES:
        shutil.copytree(ROOT / name, directory / name, ignore=IGNORED)
    return directory


def build(source: Path, out: Path) -> tuple[Path, str]:
    """The wheel built from the source, and what the build printed."""
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=scaled(60), check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    [wheel] = out.glob("*.whl")
    return wheel, done.stdout + done.stderr


@pytest.fixture(scope="module")
def built(source: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    return build(source, tmp_path_factory.mktemp("dist"))


def missing(source: Path, wheel: Path) -> list[str]:
    """The files of the packages that the wheel does not hold."""
    held = set(zipfile.ZipFile(wheel).namelist())
    files = (path for name in PACKAGES for path in (source / name).rglob("*") if path.is_file())
    return sorted(str(path.relative_to(source)) for path in files if str(path.relative_to(source)) not in held)


def test_a_wheel_holds_every_file_of_its_packages(source: Path, built: tuple[Path, str]) -> None:
    """Also the YAML, SQL, Lua, CQL, templates, and the locks of the servers' jars."""
    wheel, said = built
    assert missing(source, wheel) == []
    assert TOLD.findall(said) == []
    assert {"sut/deploy/servers/locks/kafka/pom.xml", "chaos/experiments/quick.yaml"} <= set(
        zipfile.ZipFile(wheel).namelist()
    )


def test_a_file_of_a_kind_that_pyproject_does_not_name_is_noticed(source: Path, tmp_path: Path) -> None:
    shutil.copytree(source, tmp_path / "source")
    (tmp_path / "source" / "sut" / "deploy" / "new.kind").write_text("needed at run time\n")
    wheel, _ = build(tmp_path / "source", tmp_path / "dist")
    assert missing(tmp_path / "source", wheel) == ["sut/deploy/new.kind"]


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_installed_with_pipx_it_runs_quick_in_an_empty_folder(built: tuple[Path, str], tmp_path: Path) -> None:
    """The versions are those of the lock, so that only our own wheel is on trial. No redis-server is on PATH."""
    wheel, _ = built
    pins = re.findall(r"^([\w.\[\]-]+==\S+(?: ; [^\\\n]+)?)", (ROOT / "locks" / "requirements.txt").read_text(), re.M)
    (tmp_path / "pins.txt").write_text("\n".join(pins) + "\n")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))},
        "PIPX_HOME": str(tmp_path / "pipx"),
        "PIPX_BIN_DIR": str(tmp_path / "bin"),
        "PIPX_MAN_DIR": str(tmp_path / "man"),
        "PIP_CONSTRAINT": str(tmp_path / "pins.txt"),
    }
    command = [sys.executable, "-m", "pipx", "install", "--python", sys.executable, str(wheel)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=scaled(300), check=False)
    assert done.returncode == 0, done.stderr

    folder = tmp_path / "empty"
    folder.mkdir()
    environment["PATH"] = str(system_programs(tmp_path / "programs"))
    petrel = tmp_path / "bin" / "petrel"
    options = ["--users", "50", "--duration", "60", "--seed", "1", "--out", "out"]
    done = subprocess.run(
        [petrel, "run", "quick", *options],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=scaled(240), check=False,
    )  # fmt: skip
    assert done.returncode in {0, 1, 2}, done.stdout + done.stderr
    verdict = json.loads((folder / "out" / "verdict.json").read_text())
    judged = {check["name"]: check["verdict"] for check in verdict["checks"]}
    assert {judged[name] for name in OF_DATA} == {"valid"}, done.stdout
    assert verdict["counts"]["sends_acked"] > 100
    assert (folder / "out" / "report.html").stat().st_size > 10_000
