"""The lower bounds in pyproject.toml are the versions that `make test-lowest` installs."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BOUND = re.compile(r"([A-Za-z0-9-]+)(?:\[[a-z0-9]+\])?(?:>=|==)([0-9!.]+)")


def bounds() -> dict[str, str]:
    """The lower bound of each direct dependency, by its name in lower case."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    matches = [BOUND.fullmatch(text) for text in (*project["dependencies"], *project["optional-dependencies"]["test"])]
    assert all(matches), "each dependency is NAME>=VERSION, or NAME==VERSION"
    return {match[1].lower(): match[2] for match in matches if match is not None}


def locked() -> dict[str, str]:
    """The version of each package in locks/lowest.txt."""
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / "locks" / "lowest.txt").read_text(), re.MULTILINE))


@pytest.mark.parametrize("name", sorted(bounds()))
def test_the_lock_of_lowest_versions_has_the_bound(name: str) -> None:
    bound, version = (text.split(".") for text in (bounds()[name], locked()[name]))
    assert version[: len(bound)] == bound
