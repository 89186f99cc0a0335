"""The bench of unit costs: its arithmetic, and a small one with real processes."""

import json
from pathlib import Path

import msgspec
import pytest

from chaos.bench import calibrate
from chaos.bench.calibrate import KINDS, Used
from chaos.cli import petrel as cli
from chaos.design import costs
from chaos.design.fleet import against
from chaos.errors import HarnessError
from load.bench.crowd import Measured
from load.bench.flood import Told


def used(at_s: float, cpu_s: float, pss: int = 0) -> Used:
    return Used(at_s=at_s, cpu_s=dict.fromkeys((*KINDS, "crowd", "api"), cpu_s), pss=dict.fromkeys(KINDS, pss))


def told(**changes: float) -> Told:
    fields = {field.name: 0.0 for field in msgspec.structs.fields(Told)}
    return Told(**(fields | {"duration_s": 8.0, "wanted": 80, "shown": 40} | changes))


def test_costs_are_of_one_message_and_of_one_device() -> None:
    row = calibrate.talking("light", told(refused=8), used(10, 1.0), used(20, 1.4), 0.25)
    assert (row["light: due/s"], row["light: displayed/s"], row["light: refused/s"]) == (10, 5, 1)
    assert row["light: gateway ms"] == row["light: crowd ms"] == pytest.approx(10)
    assert row["light: all ms"] == pytest.approx(60), "six kinds, the API's among them"
    assert row["light: cores"] == pytest.approx(0.24)
    found = calibrate.connecting(100, used(0, 1.0), used(5, 1.5, pss=1_000_000))
    assert found["gateway: us to connect"] == pytest.approx(5000)
    assert found["redis: B a device"] == 10_000


def test_nothing_displayed_and_nobody_back_are_errors() -> None:
    with pytest.raises(HarnessError, match="displayed nothing"):
        calibrate.talking("full", told(shown=0), used(0, 0.0), used(1, 0.0), 0.0)
    with pytest.raises(HarnessError, match="no device came back"):
        calibrate.storm(Measured())


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.timeout(280)
def test_a_small_measurement_is_one_that_the_simulator_takes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    arguments = ["bench", "calibrate", "--points", "40,60", "--duration", "3", "--out", str(out), "--json"]
    assert cli.main(arguments) == 0
    rows = json.loads(capsys.readouterr().out.splitlines()[-1])["rows"]
    assert all(row["light: displayed/s"] > 0 and row["storm: not back"] == 0 for row in rows)
    assert len(against.compare(costs.read(out / "bench.json"), "bench.json", cores=2)) == 8
