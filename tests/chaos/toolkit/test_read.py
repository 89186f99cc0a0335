"""Experiments of Chaos Toolkit for `petrel run`: which files are ones, and the load that they name."""

import importlib.util
import json
from pathlib import Path

import pytest

from chaos.cli.petrel import main
from chaos.errors import UsageError
from chaos.run import experiment as experiments
from chaos.toolkit import read

HERE = importlib.util.find_spec("chaoslib") is not None
needs_it = pytest.mark.skipif(not HERE, reason="no Chaos Toolkit: pip install 'stormpetrel[chaostoolkit]'")
MADE = {"title": "t", "description": "d", "method": []}


def written(tmp_path: Path, **more: object) -> str:
    path = tmp_path / "experiment.json"
    path.write_text(json.dumps({**MADE, **more}))
    return str(path)


def test_a_file_with_a_method_is_one(tmp_path: Path) -> None:
    assert read.is_one(written(tmp_path))
    theirs, ours = tmp_path / "theirs.yaml", tmp_path / "ours.yaml"
    theirs.write_text("title: t\nmethod:\n  - {}\n")
    ours.write_text("name: x\nsummary: no method: here\nusers: 3\n")
    assert read.is_one(str(theirs))
    assert not read.is_one(str(ours))
    assert not read.is_one("quick")
    assert not read.is_one(str(tmp_path / "none.json"))
    assert not any(read.is_one(str(path)) for path in experiments.SHIPPED.glob("*.yaml"))


@needs_it
def test_the_load_is_an_experiment_of_ours_without_its_faults(tmp_path: Path) -> None:
    assert read.load_of(written(tmp_path)).name == "quick"
    named = [{"name": "other"}, {"name": "stormpetrel", "experiment": "strain"}]
    load = read.load_of(written(tmp_path, extensions=named))
    assert (load.name, load.faults, load.push) == ("strain", (), True)
    fields = {"name": "mine", "summary": "s", "users": 7, "faults": [{"name": "chat_crash", "for_s": [1, 1]}]}
    load = read.load_of(written(tmp_path, extensions=[{"name": "stormpetrel", "experiment": fields}]))
    assert (load.name, load.users, load.faults) == ("mine", 7, ())


@needs_it
def test_what_is_exported_has_the_load_that_it_was_drawn_for(tmp_path: Path) -> None:
    path = tmp_path / "experiment.json"
    assert main(["toolkit", "strain", "--seed", "1", "--to", str(path)]) == 0
    load = read.load_of(str(path))
    strain = experiments.for_profile(experiments.load("strain"), "embedded")
    assert {field: getattr(load, field) for field in ("users", "rate_per_s", "timing", "bounds", "push")} == {
        field: getattr(strain, field) for field in ("users", "rate_per_s", "timing", "bounds", "push")
    }


@needs_it
@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"method": "x"}, "experiment.json: no valid experiment of Chaos Toolkit: "),
        ({"method": [{"type": "action"}]}, "experiment.json: no valid experiment of Chaos Toolkit: "),
        ({"extensions": [{"name": "stormpetrel", "experiment": 3}]}, "a name, or the fields of an experiment"),
        ({"extensions": [{"name": "stormpetrel", "experiment": "quikc"}]}, "no experiment 'quikc'; perhaps quick"),
        ({"extensions": [{"name": "stormpetrel", "experiment": {"name": "a"}}]}, "experiment of the extension"),
    ],
)
def test_what_cannot_be_run_is_one_line(tmp_path: Path, more: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said) as error:
        read.load_of(written(tmp_path, **more))
    assert "\n" not in str(error.value)


@pytest.mark.skipif(HERE, reason="Chaos Toolkit is here")
def test_without_chaos_toolkit_it_says_what_to_install(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", written(tmp_path)]) == 64
    assert "pip install 'stormpetrel[chaostoolkit]'" in capsys.readouterr().err
