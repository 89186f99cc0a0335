"""The model beside the system: arithmetic, and the comparison with a real measurement (measured.json)."""

import json
from pathlib import Path

import pytest

from chaos.design import costs
from chaos.design.fleet import against
from chaos.design.fleet.size import costs_of
from chaos.errors import UsageError

MEASURED = Path(__file__).with_name("measured.json")
ROWS = costs.read(MEASURED)


def test_a_measurement_gives_the_costs_of_a_message_and_of_a_connection() -> None:
    found = costs_of(ROWS[0], "here")
    assert found.gateway_ms == ROWS[0]["light: gateway ms"]
    assert found.connect_ms == ROWS[0]["gateway: us to connect"] / 1000


@pytest.fixture(scope="module")
def compared() -> tuple[against.Compared, ...]:
    """The model beside measured.json."""
    return against.compare(ROWS, "measured.json", cores=2)


def test_each_size_but_the_first_is_predicted(compared: tuple[against.Compared, ...]) -> None:
    assert [one.devices for one in compared] == [int(row["devices"]) for row in ROWS[1:] for _ in range(8)]
    for one in compared:
        assert one.error is not None
        assert one.predicted == pytest.approx(one.measured * (1 + one.error))
        assert one.close is (abs(one.error) <= against.CLOSE)


def test_the_shape_of_the_storms_is_predicted(compared: tuple[against.Compared, ...]) -> None:
    """The storms of the measurement: when half and all are back, and how often they dialled."""
    found = {(one.devices, one.quantity): one for one in compared}
    for row in ROWS[1:]:
        for name in ("storm: half back after s", "storm: all back after s", "storm: attempts"):
            assert found[int(row["devices"]), name].close, (row["devices"], name)


def test_a_line_through_light_and_full_load() -> None:
    row = {"light: displayed/s": 100.0, "full: displayed/s": 500.0, "light: cores": 0.3, "full: cores": 1.1}
    idle, marginal_s = against.load_line(row)
    assert (idle, marginal_s) == (pytest.approx(0.1), pytest.approx(0.002))
    steeper = row | {"light: cores": 0.1, "full: cores": 1.1}
    assert against.load_line(steeper) == (0.0, pytest.approx(0.0022)), "an idle system uses no less than nothing"


@pytest.mark.parametrize("rows", [ROWS[:1], [{"devices": 1}, {"devices": 2}], []])
def test_other_files_are_refused(rows: list[dict[str, float]], tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        against.compare(rows, "x.json", cores=2)
    path = tmp_path / "x.json"
    path.write_text(json.dumps({"bench": "calibrate", "rows": []}))
    with pytest.raises(UsageError, match=r"not the bench\.json"):
        costs.read(path)
