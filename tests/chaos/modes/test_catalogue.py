"""Every mode has its form, names an alert that is in the rules, and what can be shown is shown for long enough."""

import re
from pathlib import Path

import pytest

from chaos.errors import UsageError
from chaos.modes import catalogue
from chaos.modes.catalogue import Mode

ROOT = Path(__file__).resolve().parents[3]
MODES = catalogue.load()
RULES = {
    name: rule
    for path in (ROOT / "dashboards" / "prometheus" / "rules").glob("*.yml")
    for rule in re.split(r"(?=- alert:)", path.read_text())[1:]
    for name in re.findall(r"- alert: (\w+)", rule)
}
GOOD = next(iter(catalogue.DIRECTORY.glob("gateway_crash.yaml"))).read_text()


def test_the_catalogue_is_as_long_as_it_says() -> None:
    assert len(MODES) >= 28
    assert sum(mode.experiment is not None for mode in MODES.values()) >= 20


@pytest.mark.parametrize("mode", MODES.values(), ids=list(MODES))
def test_its_alert_is_in_the_rules_and_as_severe(mode: Mode) -> None:
    rule = RULES[mode.detection.alert]
    if "severity: page" in rule:
        assert mode.severity in ("page", "ticket")
    assert (held := re.search(r"for: (\d+)s", rule)) is None or int(held[1]) < mode.detection.fires_within_s


def test_no_alert_on_a_symptom_is_without_a_mode() -> None:
    explained = {mode.detection.alert for mode in MODES.values()}
    budget = {name for name in RULES if name.endswith("Burn")}
    general = {"AllGatewaysDown", "ServiceDown", "EventLoopStalled", "RoutesWaiting", "StoreBehind", "DiskNearlyFull"}
    assert set(RULES) - explained - budget == general


def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> str:
    """What is said of a catalogue with this file in it."""
    (tmp_path / "gateway_crash.yaml").write_text(text)
    monkeypatch.setattr(catalogue, "DIRECTORY", tmp_path)
    with pytest.raises(UsageError) as error:
        catalogue.load()
    return str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("severity: page", "severity: high", r"gateway_crash\.yaml:3: .*severity"),
        ("fault: gateway_crash", "fault: gateway_crsh", r"no fault 'gateway_crsh'; perhaps gateway_crash"),
        ("name: gateway_crash", "name: gateway_dead", r"its name is gateway_dead"),
        ("fires_within_s: 25", "fires_within_s: 0", r"fires_within_s"),
        ("mitigation:", "cannot: it can\nmitigation:", r"a mode has an experiment, or says in `cannot` why"),
        ("alert: ServiceRestarted", "alert: ServiceDown", r"the fault ends before its alert has to fire"),
        ("cause:", "because:", r"because"),
    ],
)
def test_a_file_that_does_not_fit_is_told_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, said: str
) -> None:
    assert old in GOOD
    assert re.search(said, broken(tmp_path, monkeypatch, GOOD.replace(old, new, 1)))


def test_several_modes_are_named_with_commas() -> None:
    assert list(catalogue.named("zombie_gateway,gateway_crash")) == ["zombie_gateway", "gateway_crash"]
    assert catalogue.named("all") == MODES
    with pytest.raises(UsageError, match="no mode 'gateway'"):
        catalogue.named("gateway_crash,gateway")
