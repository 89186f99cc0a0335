"""The parts of the pages that come from the code are current, and the list of licences is whole."""

import importlib.util
from types import ModuleType

import pytest

from tests.docs.pages import PAGES, ROOT


def script() -> ModuleType:
    """docs/generate.py, which is no package."""
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs/generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATE = script()
MARKED = [path for path in PAGES if "<!-- generated: " in path.read_text(encoding="utf-8")]


def test_each_part_is_on_a_page() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in MARKED)
    assert {name for name in GENERATE.PARTS if f"<!-- generated: {name} -->" in text} == set(GENERATE.PARTS)


@pytest.mark.parametrize("path", MARKED, ids=lambda path: path.name)
def test_a_page_is_current(path) -> None:
    text = path.read_text(encoding="utf-8")
    assert GENERATE.current(text) == text, "run: python docs/generate.py"


def test_a_stale_part_is_made_anew() -> None:
    stale = "before\n<!-- generated: experiments -->\nold\n<!-- end of experiments -->\nafter\n"
    made = GENERATE.current(stale)
    assert "old" not in made
    assert "| `quick` |" in made
    assert made.startswith("before\n<!-- generated: experiments -->\n")
    assert made.endswith("<!-- end of experiments -->\nafter\n")
    with pytest.raises(KeyError):
        GENERATE.current("<!-- generated: nothing -->\n<!-- end of nothing -->")


def test_every_knob_of_an_experiment_is_on_the_page() -> None:
    import msgspec

    from chaos.run.experiment import Bounds, Experiment, FaultSpec, Timing

    page = (ROOT / "docs/writing-an-experiment.md").read_text(encoding="utf-8")
    for struct in (Experiment, Bounds, FaultSpec, Timing):
        assert not [field.name for field in msgspec.structs.fields(struct) if f"| `{field.name}` |" not in page]


def test_every_locked_package_is_listed_and_permissive() -> None:
    page = (ROOT / "docs/licences.md").read_text(encoding="utf-8")
    locked = GENERATE.locked()
    assert len(locked) > 50
    assert not [name for name in locked if f"\n| {name} | " not in page]
    assert not [name for name in locked if not GENERATE.is_permissive(name, GENERATE.licence_of(name))]


@pytest.mark.parametrize(
    ("package", "licence", "good"),
    [
        ("x", "MIT", True),
        ("x", "Apache-2.0 OR BSD-3-Clause", True),
        ("x", "MIT AND GPL-3.0-only", False),
        ("x", "LGPL-2.1", False),
        ("x", "MPL-2.0", False),
        ("certifi", "MPL-2.0", True),
    ],
)
def test_what_is_permissive(package: str, licence: str, good: bool) -> None:
    assert GENERATE.is_permissive(package, licence) is good


@pytest.mark.parametrize("page", ["README.md", "docs/checks.md"])
def test_every_check_is_on_the_page(page: str) -> None:
    from chaos.verdict.checks import CHECKS

    text = (ROOT / page).read_text(encoding="utf-8")
    assert not [name for name in CHECKS if f"\n| `{name}` | " not in text and f"\n## {name}\n" not in text]


def test_every_command_of_petrel_is_in_the_readme() -> None:
    from chaos.cli.petrel import _parser

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    listed = next(action.choices for action in _parser()._actions if action.choices)
    former = {"capacity"}
    assert not [name for name in listed if f"`petrel {name}" not in text and name not in former]


def test_every_mechanism_and_its_classes_are_on_the_page() -> None:
    text = (ROOT / "docs/writing-a-fault.md").read_text(encoding="utf-8")
    for path in (ROOT / "chaos/faults/mechanisms").glob("[a-z]*.py"):
        (row,) = (line for line in text.splitlines() if line.startswith(f"| `{path.name}` |"))
        public = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("class ")]
        names = [line.removeprefix("class ").partition("(")[0] for line in public if "(Protocol)" not in line]
        assert not [name for name in names if f"`{name}`" not in row], path.name


def test_the_sut_page_names_every_folder() -> None:
    text = (ROOT / "docs/system.md").read_text(encoding="utf-8")
    folders = [path.parent.name for path in (ROOT / "sut").glob("*/__init__.py")]
    assert not [name for name in folders if f"`sut/{name}`" not in text]
