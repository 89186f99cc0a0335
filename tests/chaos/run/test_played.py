"""What a journal of Chaos Toolkit says went wrong."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from chaos.run.played import found_wrong


def step(status: str = "succeeded", **more: object) -> Mapping[str, Any]:
    return {"activity": {"name": "a step"}, "status": status, **more}


GOOD: Mapping[str, Any] = {
    "status": "completed",
    "deviated": False,
    "steady_states": {
        "before": {"probes": [step(tolerance_met=True)]},
        "after": {"probes": [step(tolerance_met=True)]},
        "during": [],
    },
    "run": [step()],
    "rollbacks": [step()],
}


def wrong(tmp_path: Path, told: object) -> list[str]:
    path = tmp_path / "journal.json"
    path.write_text(json.dumps(told))
    return list(found_wrong(path))


def test_nothing_is_wrong_with_a_whole_one(tmp_path: Path) -> None:
    assert wrong(tmp_path, GOOD) == []
    assert wrong(tmp_path, {**GOOD, "steady_states": None}) == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"status": "failed"}, "the experiment ended as failed"),
        ({"status": "aborted"}, "the experiment ended as aborted"),
        ({"deviated": True}, "its hypothesis was not met at the end"),
        (
            {"run": [step("failed", exception=["Traceback\n", "ActivityFailed: no\n"])]},
            "a step failed: ActivityFailed: no",
        ),
        ({"run": [step("aborted")]}, "a step aborted"),
        ({"rollbacks": [step("failed")]}, "a step failed"),
        ({"steady_states": {"before": {"probes": [step(tolerance_met=False)]}}}, "a step was not within its tolerance"),
        ({"steady_states": {"before": None, "after": {"probes": [step("failed")]}}}, "a step failed"),
    ],
)
def test_each_thing_that_is_wrong_is_said(tmp_path: Path, changed: Mapping[str, Any], said: str) -> None:
    [text] = wrong(tmp_path, {**GOOD, **changed})
    assert text.startswith(said)


def test_no_journal_is_wrong(tmp_path: Path) -> None:
    assert list(found_wrong(tmp_path / "journal.json")) == ["there is no journal"]
    (tmp_path / "journal.json").write_text("{")
    assert list(found_wrong(tmp_path / "journal.json")) == ["there is no journal"]
