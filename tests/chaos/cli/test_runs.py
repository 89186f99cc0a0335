"""`petrel runs`, `report` and `compare`: what is missing or broken is one line; test_run.py has them on a real run."""

import json
import os
from pathlib import Path

import pytest

from chaos.cli import petrel as cli
from chaos.verdict.model import encode
from tests.chaos.verdict.test_comparison import verdict


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Three runs: one that is judged, a newer one that is under way, and one of `petrel ui` with a broken verdict."""
    for age, (name, text) in enumerate(
        (("now", None), ("up/swarm-1", b"{"), ("quick-1", encode(verdict("invalid", sends=12_345)))), start=1
    ):
        place = tmp_path / name
        place.mkdir(parents=True)
        file = place / ("schedule.yaml" if text is None else "verdict.json")
        file.write_bytes(text or b"")
        os.utime(file, (10**9 - age, 10**9 - age))
    return tmp_path


def test_runs_lists_the_newest_first(
    runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    assert cli.main(["runs", str(runs)]) == 0
    _, *lines = capsys.readouterr().out.splitlines()
    assert [str(runs / name) for name in ("now", "up/swarm-1", "quick-1")] == [line.split()[0] for line in lines]
    assert "no verdict: it is under way" in lines[0]
    assert "verdict.json is broken" in lines[1]
    assert "invalid" in lines[2] and "quick" in lines[2]


def test_runs_as_json(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["runs", str(runs), "--json"]) == 0
    now, broken, judged = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (now["verdict"], broken["verdict"], judged["verdict"]) == (None, None, "invalid")
    assert (judged["experiment"], judged["seed"], judged["problem"]) == ("quick", 1, None)


def test_no_runs_is_a_hint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["runs"]) == 0
    assert capsys.readouterr().err == "petrel: no runs in runs; petrel run quick makes one\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("runs", "nothing"), "nothing: no such directory"),
        (("report", "nothing"), "nothing/history: no such directory"),
        (("compare", "nothing", "nothing"), "nothing/verdict.json: no such file"),
        (("compare", "here", "here"), "here/verdict.json: broken; petrel verify here judges the history"),
        (("compare", "here", "here", "--worse-by", "-1"), "--worse-by is from 0 to 1000, not -1"),
    ],
)
def test_wrong_usage_is_64_and_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    said: str,
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "verdict.json").write_text("{")
    monkeypatch.chdir(tmp_path)
    assert cli.main(list(arguments)) == 64
    err = capsys.readouterr().err
    assert said in err.splitlines()[-1]
