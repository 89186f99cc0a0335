"""`petrel estimate`: the figures of the design page come out, and every number is one that can be followed."""

import ast
import json
from pathlib import Path

import pytest

from chaos.cli import petrel as cli
from chaos.design import formula
from chaos.design.estimate import INPUTS, MEASURED, RULES, estimate
from chaos.design.estimate import PAGE as PAGE_SOURCE
from chaos.errors import UsageError
from tests.docs.pages import ROOT

PAGE = {
    "messages_a_day": 20e9, "messages_per_s": 231e3, "connections": 500e6, "gateways": 10_000, "increments_a_day": 2,
    "body_bytes_a_day": 3e12, "eager_presence_per_s": 417e6,
    "store_writes_per_s": 231e3,
}  # fmt: skip
"""The figures of the design page that follow from others, in its own units."""
GIVEN = {
    "users": 500e6, "message_bytes": 150, "connections_a_gateway": 50_000, "heartbeat_s": 30, "notification_bytes": 16,
    "group_cap": 500, "delivery_s": 0.2, "push_s": 5, "messages_a_user": 40, "online": 1,
}  # fmt: skip
"""Those that nothing follows to: the inputs."""


def values(**changes: float) -> dict[str, float]:
    return {need.name: need.value for need in estimate(changes).requirements}


def test_the_figures_of_the_design_page_come_out() -> None:
    found = values()
    assert {name: found[name] for name in PAGE} == pytest.approx(PAGE, rel=0.003)
    assert {rule.name: rule.page for rule in RULES if rule.page is not None} == PAGE


def test_the_other_figures_of_the_design_page_are_inputs() -> None:
    told = {given.name: given.value for given in INPUTS if given.source.startswith(PAGE_SOURCE)}
    assert {name: told[name] for name in GIVEN} == GIVEN


def test_costs_that_were_measured_here_replace_the_recorded_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = {"devices": 400, "full: gateway ms": 0.5, "full: chat ms": 0.75, "full: sequencer ms": 0.25}
    row |= {"gateway: B a device": 3000.0, "redis: B a device": -5.0}
    path = tmp_path / "bench.json"
    path.write_text(json.dumps({"bench": "calibrate", "rows": [row]}))
    assert cli.main(["estimate", "--json", "--costs", str(path), "gateway_bytes=1"]) == 0
    inputs = {one["name"]: one for one in json.loads(capsys.readouterr().out.splitlines()[-1])["inputs"]}
    assert inputs["message_cpu_ms"]["value"] == 1.5
    assert inputs["partition_messages"] | {"unit": ""} == {
        "name": "partition_messages", "value": 4000.0, "unit": "", "source": "petrel bench calibrate"
    }  # fmt: skip
    assert inputs["gateway_bytes"]["source"] == "given"
    assert inputs["route_bytes"]["value"] == 1190, "memory that did not grow says nothing"
    path.write_text(json.dumps({"bench": "fanout", "rows": [row]}))
    assert cli.main(["estimate", "--costs", str(path)]) == 64
    assert "not the bench.json of petrel bench calibrate" in capsys.readouterr().err


def test_numbers_by_hand() -> None:
    """A small town: 100,000 people who write 864 messages a day each are 1,000 messages a second."""
    found = values(users=100_000, messages_a_user=864, peak=2, connections_a_gateway=30_000, retention_days=10)
    assert found["messages_per_s"] == 1000
    assert found["peak_per_s"] == 2000
    assert found["gateways"] == 4
    assert found["stored_bytes"] == 86_400_000 * 150 * 3 * 10
    assert found["cassandra_nodes"] == 1
    assert found["kafka_partitions"] == 2
    assert found["redis_bytes"] == 119_000_000
    assert found["cores"] == 6, "2,000 times 1.8 ms, of cores that are used to 60 %"
    assert found["group_bytes"] == 7984, "499 members, 16 bytes each"


def names_in(text: str) -> set[str]:
    return {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)} - {"ceil", "max"}


def test_each_formula_uses_what_was_there_before_it_and_each_input_is_used() -> None:
    known = {given.name for given in INPUTS}
    assert len(known) == len(INPUTS)
    assert known <= set().union(*(names_in(rule.formula) for rule in RULES))
    for rule in RULES:
        assert names_in(rule.formula) <= known, rule.name
        assert rule.name not in known
        known.add(rule.name)


def test_what_was_measured_is_on_the_page_of_measurements() -> None:
    page = (ROOT / "docs" / "measured.md").read_text(encoding="utf-8")
    assert {given.name for given in INPUTS if given.source.startswith(MEASURED)} == {
        "gateway_bytes", "route_bytes", "message_cpu_ms", "partition_messages", "renewal_us", "register_us"
    }  # fmt: skip
    assert all(
        text in page
        for text in ("2,100 B", "1,190 B", "2.9 ms, of which the swarm 1.1 ms", "0.55 ms", "16 and 10 us after")
    )


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 + 2 * x", 7),
        ("ceil(x / 2)", 2),
        ("max(x, 4) - 1", 3),
        ("ceil(500000000 / 50000)", 10_000),
        ("1 / (x - x)", float("inf")),
    ],
)
def test_formulas(text: str, value: float) -> None:
    assert formula.value(text, {"x": 3}) == value


@pytest.mark.parametrize("text", ["x ** 2", "min(x)", "x if x else 1", "max()", "'x'"])
def test_nothing_but_a_formula_is_computed(text: str) -> None:
    with pytest.raises(ValueError, match="not a formula"):
        formula.value(text, {"x": 3})


def test_the_command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    assert cli.main(["estimate", "--json", "users=1e6"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    needs = {need["name"]: need for need in found["requirements"]}
    assert needs["gateways"]["value"] == 20
    assert needs["gateways"]["formula"] == "ceil(connections / connections_a_gateway)"
    assert next(given for given in found["inputs"] if given["name"] == "users")["source"] == "given"
    assert cli.main(["estimate"]) == 0
    out = capsys.readouterr().out
    assert "417 million" in out and "231,481" in out


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("user=3", "no input user; did you mean users?"),
        ("users=0", "users is above 0, not 0"),
        ("users=nan", "users is above 0, not nan"),
        ("users", "INPUT=NUMBER, such as users=1e6, not 'users'"),
        ("users=many", "INPUT=NUMBER, such as users=1e6, not 'users=many'"),
    ],
)
def test_wrong_usage_is_64_and_one_line(capsys: pytest.CaptureFixture[str], argument: str, said: str) -> None:
    assert cli.main(["estimate", argument]) == 64
    assert said in capsys.readouterr().err.splitlines()[-1]


def test_what_is_no_number_is_said() -> None:
    with pytest.raises(UsageError, match="messages_a_day = users"):
        estimate({"users": 1e308, "messages_a_user": 1e308})
