"""Each folder of a found defect has its form, and the tables made from the folders are current."""

from pathlib import Path

import pytest

from chaos.run import experiment
from chaos.verdict.checks import CHECKS
from sut import variants
from tests.defects import table
from tests.docs.test_prose import too_long

ALL = table.defects()
BY_NAME = pytest.mark.parametrize("defect", ALL, ids=lambda defect: defect.name)


@BY_NAME
def test_a_folder_says_what_was_wrong_and_what_holds_it(defect: table.Defect) -> None:
    assert defect.title
    assert defect.found_by
    assert defect.check in {"", *CHECKS}
    assert all((table.ROOT / test).exists() for test in defect.tests), defect.tests
    assert defect.tests or defect.why_no_run
    assert defect.experiment or defect.why_no_run or defect.tests


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


def test_the_page_is_current() -> None:
    assert table.PAGE.read_text(encoding="utf-8") == table.page(), "run: python tests/defects/table.py"


def test_the_part_of_the_readme_is_current() -> None:
    text = table.README.read_text(encoding="utf-8")
    assert table.readme(text) == text, "run: python tests/defects/table.py"


def test_the_table_goes_between_the_marks_and_nowhere_else() -> None:
    made = table.readme("before\n<!-- defects -->\nold\n<!-- /defects -->\nafter\n")
    assert made.startswith("before\n<!-- defects -->\n| Defect |")
    assert made.endswith("|\n<!-- /defects -->\nafter\n")
    assert "old\n" not in made.splitlines(keepends=True)
    assert table.readme("no marks\n") == "no marks\n"


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
