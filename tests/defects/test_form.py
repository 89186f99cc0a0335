"""Each folder of a found defect has its form, and the tables made from the folders are current."""

from pathlib import Path

import pytest

from chaos.run import experiment
from chaos.verdict.checks import CHECKS
from sut import variants
from tests.defects import table
from tests.docs.pages import LINK
from tests.docs.test_prose import README_COLUMNS, too_long

ALL = table.defects()
BY_NAME = pytest.mark.parametrize("defect", ALL, ids=lambda defect: defect.name)


def is_test(test: str) -> bool:
    """Return whether there is this file from the root, and in it the function behind "::"."""
    file, _, function = test.partition("::")
    path = table.ROOT / file
    return path.exists() and (not function or f"def {function}(" in path.read_text(encoding="utf-8"))


def test_a_test_that_is_not_there_is_noticed() -> None:
    assert is_test("tests/conftest.py::pytest_configure")
    assert not is_test("tests/conftest.py::test_of_another_name")
    assert not is_test("tests/no_such_file.py::test_a")


@BY_NAME
def test_a_folder_says_what_was_wrong_and_what_holds_it(defect: table.Defect) -> None:
    assert defect.title
    assert defect.found_by
    assert defect.check in {"", *CHECKS}
    assert all(is_test(test) for test in defect.tests), defect.tests
    assert defect.tests or defect.why_no_run
    assert bool(defect.experiment) is not bool(defect.why_no_run), "an experiment, or why there is none"
    assert bool(defect.experiment) is bool(defect.check)


@BY_NAME
def test_its_row_fits_into_the_readme(defect: table.Defect) -> None:
    assert len(table.short_row(defect)) <= README_COLUMNS


@BY_NAME
def test_its_sentences_are_short(defect: table.Defect) -> None:
    assert not too_long(defect.text)


@BY_NAME
def test_an_old_piece_is_a_variant_that_a_run_or_a_test_uses(defect: table.Defect) -> None:
    for path in (defect.old_piece, defect.trigger):
        if path is not None:
            assert variants.find(path, str(table.ROOT)).wrong
    if defect.experiment is not None:
        assert defect.old_piece
        assert defect.check in variants.find(defect.old_piece, str(table.ROOT)).caught_by
        assert experiment.load(str(defect.experiment)).name == defect.name
    elif defect.old_piece is not None:
        assert (defect.folder / "test_old_piece.py").is_file()
        assert defect.why_no_run


def test_the_page_of_the_folder_is_plain_and_its_links_lead_somewhere() -> None:
    text = (table.HERE / "README.md").read_text(encoding="utf-8")
    assert not too_long(text)
    missing = [link for link in LINK.findall(text) if not (table.HERE / link).exists()]
    assert not missing


def test_the_page_is_current() -> None:
    assert table.PAGE.read_text(encoding="utf-8") == table.page(), "run: python tests/defects/table.py"


def test_the_part_of_the_readme_is_current() -> None:
    text = table.README.read_text(encoding="utf-8")
    assert table.readme(text) == text, "run: python tests/defects/table.py"


def test_the_table_goes_between_the_marks_and_nowhere_else() -> None:
    made = table.readme("before\n<!-- defects -->\nold\n<!-- /defects -->\nafter\n")
    assert made.startswith("before\n<!-- defects -->\n| defect |")
    assert made.endswith("(docs/defects.md).\n<!-- /defects -->\nafter\n")
    assert "old\n" not in made.splitlines(keepends=True)
    assert table.readme("no marks\n") == "no marks\n"


def test_the_short_table_has_what_a_check_shows_first() -> None:
    rows = [line for line in table.short_table(ALL).splitlines() if line.startswith("| ")][1:]
    shown = sum(1 for defect in ALL if defect.experiment)
    assert len(rows) == table.README_ROWS
    assert [row.endswith("| a test |") for row in rows] == [number >= shown for number in range(len(rows))]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "there is no README.md"),
        ("# A title\n", "must begin with YAML"),
        ("---\ntitle: x\n---\n", "has no check, found_by, test"),
        ("---\ntitle: x\nfound_by: x\ncheck:\ntest: x\nseed: 1\n---\n", "unknown field seed"),
        ("---\ntitle: [\n---\n", "README.md: while parsing"),
    ],
)
def test_a_folder_without_the_form_is_refused_by_name(text: str | None, says: str, tmp_path: Path) -> None:
    folder = tmp_path / "some_defect"
    folder.mkdir()
    if text is not None:
        (folder / "README.md").write_text(text)
    with pytest.raises(table.BadFolder, match=f"some_defect: .*{says}"):
        table.read(folder)


def test_a_folder_with_a_readme_alone_has_the_form(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("---\ntitle: x\nfound_by: y\ncheck: ''\ntest: tests/conftest.py\n---\nz\n")
    defect = table.read(tmp_path)
    assert (defect.title, defect.check, defect.tests, defect.text) == ("x", "", ("tests/conftest.py",), "z")
    assert defect.old_piece is defect.experiment is None
