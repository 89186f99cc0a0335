"""Chaos Toolkit: its validator accepts what we export, its `chaos run` drives our faults, and its journal says so."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from chaos.cli.petrel import main
from tests.kit.pace import scaled

CHAOS = Path(sys.executable).with_name("chaos")
pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("chaoslib") is None, reason="no Chaos Toolkit: pip install 'stormpetrel[chaostoolkit]'"
)


def chaos(*words: str, directory: Path) -> subprocess.CompletedProcess[str]:
    """Run Chaos Toolkit's own command."""
    return subprocess.run(
        [str(CHAOS), "--no-version-check", *words], cwd=directory, env={**os.environ, "HOME": str(directory)},
        capture_output=True, text=True, timeout=scaled(120), check=False,
    )  # fmt: skip


@pytest.mark.parametrize("profile", ["embedded", "cluster"])
@pytest.mark.parametrize("name", ["quick", "storm", "strain"])
def test_its_validator_accepts_every_exported_experiment(
    name: str, profile: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["toolkit", name, "--profile", profile, "--seed", "3", "--dir", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    (tmp_path / "experiment.json").write_text(text)
    made = json.loads(text)
    assert made["method"]
    from chaoslib.experiment import ensure_experiment_is_valid

    ensure_experiment_is_valid(made)


def test_the_same_seed_is_the_same_file(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["toolkit", "quick", "--seed", "3"]
    assert main(words) == 0
    first = capsys.readouterr().out
    assert main(words) == 0
    assert capsys.readouterr().out == first


def test_an_action_that_fails_is_a_deviation(tmp_path: Path) -> None:
    from chaoslib.exceptions import ActivityFailed

    from chaos.toolkit import actions, probes

    assert probes.every_fault_was_proven()
    with pytest.raises(ActivityFailed, match="no system in"):
        actions.inject_fault("chat_crash", "chat-1", directory=str(tmp_path))
    try:
        with pytest.raises(ActivityFailed, match="chat_crash on chat-1: no system in"):
            probes.every_fault_was_proven()
    finally:
        actions.FAILED.clear()
    with pytest.raises(ActivityFailed, match=str(tmp_path)):
        probes.every_service_is_healthy(str(tmp_path))
    with pytest.raises(ActivityFailed, match=str(tmp_path)):
        probes.verdict(str(tmp_path))


def test_chaos_run_without_a_system_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["toolkit", "quick", "--seed", "1", "--dir", str(tmp_path / "up")]
    assert main([*words, "--to", str(tmp_path / "no/experiment.json")]) == 64
    assert main([*words, "--to", str(tmp_path / "experiment.json")]) == 0
    assert capsys.readouterr().out == ""
    done = chaos("run", "experiment.json", directory=tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    journal = json.loads((tmp_path / "journal.json").read_text())
    assert (journal["status"], journal["run"]) == ("failed", [])


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_chaos_run_breaks_and_heals_a_system_that_is_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    up = tmp_path / "up"
    assert main(["up", "--dir", str(up)]) == 0
    try:
        (tmp_path / "mine.yaml").write_text(
            "name: two\nsummary: Two faults.\nusers: 10\nrate_per_s: 1\nduration_s: 30\n"
            "timing: {warm_up_s: 1, settle_s: 1, tail_s: 1}\n"
            "faults:\n  - {name: chat_crash, for_s: [1, 1]}\n  - {name: gateway_stop, for_s: [1, 1]}\n"
        )
        capsys.readouterr()
        assert main(["toolkit", str(tmp_path / "mine.yaml"), "--seed", "1", "--dir", str(up)]) == 0
        (tmp_path / "experiment.json").write_text(capsys.readouterr().out)
        assert chaos("validate", "experiment.json", directory=tmp_path).returncode == 0
        done = chaos("run", "experiment.json", directory=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        journal = json.loads((tmp_path / "journal.json").read_text())
        assert (journal["status"], journal["deviated"]) == ("completed", False)
        evidence = [" ".join(step["output"]) for step in journal["run"]]
        assert len(evidence) == 2
        assert all("took effect" in text and "healed" in text for text in evidence), evidence

        broken = json.loads((tmp_path / "experiment.json").read_text())
        broken["method"] = broken["method"][:1]
        broken["method"][0]["provider"]["arguments"]["target"] = "chat-9"
        broken["method"][0]["pauses"] = {}
        (tmp_path / "experiment.json").write_text(json.dumps(broken))
        chaos("run", "experiment.json", directory=tmp_path)
        assert json.loads((tmp_path / "journal.json").read_text())["deviated"]
    finally:
        assert main(["down", "--dir", str(up)]) == 0


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_petrel_run_plays_it_under_load_and_judges(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.yaml").write_text(
        "name: two\nsummary: Two faults.\nusers: 40\nrate_per_s: 10\nduration_s: 30\nspawn_per_s: 40\n"
        "timing: {warm_up_s: 3, settle_s: 3, tail_s: 6}\n"
        "bounds: {latency_ms: 20000, catch_up_s: 20, liveness_s: 30, answer_s: 30, min_acked: 100, "
        "min_deliveries: 100}\n"
        "without: [push, presence, receipts]\n"
        "faults:\n  - {name: chat_crash, for_s: [1, 1]}\n  - {name: gateway_stop, for_s: [1, 1]}\n"
    )
    experiment, out = tmp_path / "experiment.json", tmp_path / "out"
    assert main(["toolkit", str(tmp_path / "mine.yaml"), "--seed", "1", "--to", str(experiment)]) == 0
    capsys.readouterr()
    status = main(["run", str(experiment), "--seed", "1", "--json", "--out", str(out)])
    verdict = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (status, verdict["verdict"]) == (0, "valid"), verdict["checks"]
    assert sorted(fault["name"] for fault in verdict["faults"]) == ["chat_crash", "gateway_stop"]
    assert all(fault["effective"] and fault["healed"] for fault in verdict["faults"])
    journal = json.loads((out / "journal.json").read_text())
    assert (journal["status"], journal["deviated"], len(journal["run"])) == ("completed", False, 2)
    assert main(["verify", str(out)]) == 0
    assert main(["replay", str(out)]) == 64
    assert f"petrel run {out / 'chaostoolkit.json'}" in capsys.readouterr().err

    broken = json.loads(experiment.read_text())
    broken["method"] = broken["method"][:1]
    broken["method"][0]["provider"]["arguments"]["target"] = "chat-9"
    experiment.write_text(json.dumps(broken))
    status = main(["run", str(experiment), "--seed", "1", "--json", "--out", str(tmp_path / "broken")])
    verdict = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (status, verdict["verdict"]) == (2, "unknown"), verdict["checks"]
    [vacuity] = [check for check in verdict["checks"] if check["name"] == "vacuity"]
    assert "chat-9" in vacuity["detail"]
