"""`make test-lowest` installs the lower bounds of pyproject.toml, and runs what these may change."""

import re
import tomllib

import pytest

from tests.kit import lowest
from tests.kit.lowest import ROOT

BOUND = re.compile(r"([A-Za-z0-9-]+)(?:\[[a-z0-9]+\])?(?:>=|==)([0-9!.]+)")


def bounds() -> dict[str, str]:
    """The lower bound of each direct dependency, by its name in lower case."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    matches = [BOUND.fullmatch(text) for text in (*project["dependencies"], *project["optional-dependencies"]["test"])]
    assert all(matches), "each dependency is NAME>=VERSION, or NAME==VERSION"
    return {match[1].lower(): match[2] for match in matches if match is not None}


@pytest.mark.parametrize("name", sorted(bounds()))
def test_the_lock_of_lowest_versions_has_the_bound(name: str) -> None:
    bound, version = (text.split(".") for text in (bounds()[name], lowest.locked("lowest.txt")[name]))
    assert version[: len(bound)] == bound


def test_only_what_reaches_a_package_that_differs_is_run_again() -> None:
    differs = {"websockets", "polars", "psutil"}
    assert differs < lowest.differing() and "msgspec" not in lowest.differing(), "another example is needed"
    tree = lowest.Tree()
    assert "websockets" in tree.reached("tests.sut.protocol.test_websocket"), "the file itself imports it"
    assert "polars" in tree.reached("tests.chaos.verdict.test_holes"), "what it imports imports it"
    assert "polars" in tree.reached("tests.chaos.verdict.test_ends"), "the command that it starts does"
    assert not tree.reached("tests.sut.protocol.test_frames") & (lowest.differing() - lowest.RUNNERS)


def test_a_folder_without_such_tests_gives_no_path() -> None:
    paths = lowest.chosen(["tests/sut/protocol", "tests/sut/process"])
    assert "tests/sut/protocol/test_websocket.py" in paths
    assert "tests/sut/protocol/test_frames.py" not in paths
    assert all((ROOT / path).is_file() for path in paths)
