"""The rules pass promtool, and its unit tests of them; without promtool these are skipped."""

import re
from pathlib import Path

import pytest

from tests.kit.promtool import needs_promtool, promtool

HERE = Path(__file__).resolve().parents[3] / "dashboards" / "prometheus"
TESTS = sorted((HERE / "tests").glob("*.yml"))


def test_rules_and_configuration_are_valid() -> None:
    assert promtool("check", "rules", "--lint-fatal", *sorted((HERE / "rules").glob("*.yml"))) == ""
    needs_promtool()


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_alerts_fire_on_their_symptoms_and_only_then(path: Path) -> None:
    assert promtool("test", "rules", path) == ""


def test_every_alert_has_a_severity_and_says_what_is_wrong() -> None:
    for path in (HERE / "rules").glob("*.yml"):
        for rule in re.split(r"(?=- alert:)", path.read_text())[1:]:
            assert re.search(r"labels: \{severity: (page|ticket)\}", rule), rule
            assert "summary:" in rule, rule
