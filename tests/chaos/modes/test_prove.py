"""Which modes can be shown where, the run that shows them, and how the times of an alert are judged."""

import pytest

from chaos.faults import FAULTS
from chaos.modes import catalogue, prove
from chaos.modes.catalogue import Mode
from chaos.modes.prove import STEP_S, WARM_UP_S
from chaos.run.observe.prometheus import Series
from chaos.run.schedule import check_targets
from chaos.run.sketch import topology
from sut.deploy.topology import Settings

MODES = catalogue.load()
MODE = MODES["zombie_gateway"]
INJECTED, HEALED = 1000.0, 1020.0


def fired(*times: float, labels: str = "gateway-1") -> Series:
    return Series({"service": labels}, [(at, 1.0) for at in times])


def judged(*series: Series, mode: Mode = MODE) -> tuple[float | None, float | None, str]:
    return prove.judge(mode, series, injected_s=INJECTED, healed_s=HEALED)


def seconds(start: float, end: float) -> list[float]:
    return [start + STEP_S * step for step in range(round((end - start) / STEP_S))]


def test_an_alert_in_time_is_proof() -> None:
    assert judged(fired(*seconds(1006, 1022))) == (6.0, 2.0, "")


def test_an_alert_of_another_service_may_come_between() -> None:
    first, second = fired(*seconds(1006, 1010)), fired(*seconds(1008, 1024), labels="gateway-2")
    assert judged(first, second) == (6.0, 4.0, "")


@pytest.mark.parametrize(
    ("series", "why"),
    [
        ([], "ServiceHung did not fire"),
        ([fired(*seconds(1017, 1020))], "ServiceHung fired after 17 s"),
        ([fired(*seconds(1006, 1062))], "ServiceHung still fired 42 s after the heal"),
        ([fired(*seconds(998, 1020))], "ServiceHung fired before the fault"),
    ],
)
def test_an_alert_that_is_wrong_is_told(series: list[Series], why: str) -> None:
    assert judged(*series)[2] == why


def test_an_alert_is_selected_by_its_labels() -> None:
    assert prove.selector(MODE) == 'ALERTS{alertname="ServiceHung",alertstate="firing",kind="gateway"}'


@pytest.mark.parametrize("profile", ["embedded", "cluster"])
def test_what_cannot_be_shown_says_why_and_the_rest_has_a_target(profile: str) -> None:
    can, cannot = prove.split(MODES, profile)
    assert {item.mode.name for item in can} | set(cannot) == set(MODES)
    assert all(cannot.values())
    made = topology(profile, Settings())
    targets = {name: fault.targets(made) for name, fault in FAULTS.items()}
    check_targets(prove.schedule(can, profile=profile, seed=1), targets)
    last = [item.moves_master for item in can]
    assert last == sorted(last)


def test_faults_follow_each_other_when_the_alert_before_has_ended() -> None:
    can, _ = prove.split({name: MODES[name] for name in ("zombie_gateway", "gateway_crash")}, "embedded")
    made = prove.schedule(can, profile="embedded", seed=1)
    first, second = made.faults
    assert first.at_s == WARM_UP_S
    assert second.at_s >= first.at_s + first.for_s + MODES["zombie_gateway"].detection.clears_within_s
    last = made.experiment.duration_s - second.at_s - second.for_s
    assert last >= MODES["gateway_crash"].detection.clears_within_s
