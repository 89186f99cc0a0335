"""Experiments: those that ship are sound; every mistake in one's own is a line that names the file and the line."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from chaos.errors import UsageError
from chaos.run import experiment, yamlfile
from chaos.run.experiment import Experiment
from chaos.verdict.checks import CHECKS
from load.workload import Workload

GOOD = """\
name: mine
summary: a test
users: 10
duration_s: 30
rate_per_s: 5
faults:
  - name: gateway_crash
    for_s: [1, 2]
  - name: redis_failover
    for_s: [6, 8]
    options: {lag_s: 1}
"""


def write(tmp_path: Path, text: str) -> str:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return str(path)


def test_all_that_ship_load_and_are_named_like_their_files() -> None:
    assert "quick" in experiment.names()
    for name in experiment.names():
        assert experiment.load(name).name == name


def test_one_s_own_file_loads_with_defaults(tmp_path: Path) -> None:
    loaded = experiment.load(write(tmp_path, GOOD))
    assert loaded.users == 10
    assert loaded.faults[1].options == {"lag_s": 1}
    assert loaded.bounds.latency_ms == 200


def test_a_profile_changes_what_it_names_and_nothing_else(tmp_path: Path) -> None:
    text = GOOD + "profiles:\n  cluster: {rate_per_s: 300, faults: []}\n"
    loaded = experiment.load(write(tmp_path, text))
    plain, cluster = experiment.for_profile(loaded, "embedded"), experiment.for_profile(loaded, "cluster")
    assert (plain.rate_per_s, len(plain.faults)) == (5, 2)
    assert (cluster.rate_per_s, cluster.faults, cluster.users) == (300, (), 10)


def test_every_knob_of_the_workload_can_be_set_also_for_one_profile(tmp_path: Path) -> None:
    text = f"{GOOD}churn: 3\nsilent_share: 0.5\nprofiles: {{cluster: {{churn: 0, group_cap: 7}}}}\n"
    loaded = experiment.load(write(tmp_path, text))
    assert (loaded.churn, loaded.silent_share, loaded.group_cap) == (3, 0.5, 100)
    cluster = experiment.for_profile(loaded, "cluster")
    assert (cluster.churn, cluster.silent_share, cluster.group_cap) == (0, 0.5, 7)
    assert set(Workload.__struct_fields__) <= set(experiment.Instead.__struct_fields__)


def test_checks_are_all_less_those_that_are_left_out(tmp_path: Path) -> None:
    for all_of_them in ("all", "null"):
        assert experiment.load(write(tmp_path, f"{GOOD}checks: {all_of_them}\n")).judged_by is None
    less = experiment.load(write(tmp_path, f"{GOOD}without: [push, order]\n")).judged_by
    assert less == tuple(name for name in CHECKS if name not in ("push", "order"))
    assert experiment.load(write(tmp_path, f"{GOOD}checks: [order, vacuity]\n")).judged_by == ("order", "vacuity")


@pytest.mark.parametrize("wrong", ["moon: {users: 5}", "cluster: {users: 0}", "cluster: {name: other}"])
def test_what_a_profile_cannot_change_is_refused(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(UsageError, match=r"mine.yaml"):
        experiment.load(write(tmp_path, f"{GOOD}profiles:\n  {wrong}\n"))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("users: 10", "users: 0", "mine.yaml:3: users must be a whole number of at least 1"),
        ("users: 10", "users: ten", "mine.yaml:3: users must be a whole number, not text"),
        ("users: 10", "uzers: 10", "mine.yaml:3: there is no key uzers here; perhaps users"),
        ("users: 10\n", "", "mine.yaml:1: the key users is missing"),
        ("users: 10", "users: 10\ncolour: red", "mine.yaml:4: there is no key colour here; there are users, tier, "),
        ("users: 10", "users: 10\nusers: 11", "mine.yaml:4: users stands here twice"),
        ("users: 10", "users: 10\n7: 8", "mine.yaml:4: this key is no text"),
        ("users: 10", "users: 10\n[a, b]: 8", "mine.yaml:4: this key is no text"),
        ("users: 10", "users: [10", "mine.yaml:4: "),
        ("users: 10", "users: 10: 11", "mine.yaml:3: mapping values are not allowed here"),
        ("users: 10", "\tusers: 10", "mine.yaml:3: "),
        (
            "users: 10",
            "users: !!python/name:os.system 10",
            "mine.yaml:3: tags such as !!python/name:os.system are not read here",
        ),
        ("duration_s: 30", "duration_s: .nan", "mine.yaml:4: duration_s must be a number of at least 1"),
        (
            "[1, 2]",
            "[2, 1]",
            "mine.yaml:8: faults[0].for_s: for_s of gateway_crash is [shortest, longest], not [2.0, 1.0]",
        ),
        ("[6, 8]", "[6, 8, 9]", "mine.yaml:10: faults[1].for_s must be a list of 2, not of 3"),
        ("[6, 8]", "[6, -1]", "mine.yaml:10: faults[1].for_s[1] must be a number above 0"),
        (
            "{lag_s: 1}",
            "{lag_s: .inf}",
            "mine.yaml:11: faults[1].options.lag_s: option lag_s of redis_failover is no number",
        ),
        (
            "{lag_s: 1}",
            "{lag_s: -1}",
            "mine.yaml:11: faults[1].options.lag_s: option lag_s of redis_failover is no number from 0 up",
        ),
        (
            "{lag_s: 1}",
            "{leg_s: 1}",
            "mine.yaml:11: faults[1].options.leg_s: fault redis_failover has no option 'leg_s'; it has lag_s",
        ),
        (
            "gateway_crash",
            "gateway_crush",
            "mine.yaml:7: faults[0].name: no fault 'gateway_crush'; perhaps gateway_crash",
        ),
        (
            "users: 10",
            "users: 10\nchecks: [order, odour]",
            "mine.yaml:4: checks[1]: no check 'odour'; there are acked_lost, ",
        ),
        ("users: 10", "users: 10\nchecks: [order]", "mine.yaml:4: checks: vacuity cannot be left out"),
        ("users: 10", "users: 10\nchecks: []", "mine.yaml:4: checks: vacuity cannot be left out"),
        ("for_s: [1, 2]", "for_s: [1, 2]\n    times: 1000", "mine.yaml:7: faults: more than 1,000 faults in one run"),
        ("users: 10", "users: 10\nchecks: some", "mine.yaml:4: checks cannot be 'some'; there are all"),
        ("users: 10", "users: 10\nwithout: [order,\n  vacuity]", "mine.yaml:4: without: vacuity cannot be left out"),
        ("users: 10", "users: 10\nwithout: [order,\n  odour]", "mine.yaml:5: without[1]: no check 'odour'"),
        ("name: mine", "name: ../mine", "mine.yaml:1: name: a name is 1 to 64 of a-z"),
        ("users: 10", "users: 10\ntier: flat", "mine.yaml:4: tier cannot be 'flat'; there are fleet, greenlet"),
        ("users: 10", "users: 10\ncells: []", "mine.yaml:4: cells must have at least 1 value"),
        ("users: 10", "users: 10\npush: 3", "mine.yaml:4: push must be true or false, not a whole number"),
        ("{lag_s: 1}", "{lag_s: 1}\n    felt: 1", "mine.yaml:12: there is no key felt here; perhaps felt_s"),
        (GOOD, "", "mine.yaml:1: empty"),
        (GOOD, "42", "mine.yaml:1: the document must be keys with values, not a whole number"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_place(tmp_path: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        experiment.load(write(tmp_path, GOOD.replace(old, new)))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_experiment_lists_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no experiment 'quack'; perhaps quick, or give"):
        experiment.load("quack")
    with pytest.raises(UsageError, match=r"no experiment 'zzz'; there are .*quick"):
        experiment.load("zzz")
    with pytest.raises(UsageError, match="no experiment"):
        experiment.load(str(tmp_path))


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(b"name: \xff\xfe")
    with pytest.raises(UsageError, match=r"mine\.yaml: not UTF-8"):
        experiment.load(str(path))


def test_what_the_command_line_changes_scales_the_least_operations() -> None:
    quick = experiment.load("quick")
    half = experiment.override(quick, users=20, duration_s=quick.duration_s / 2, rate=None)
    assert (half.users, half.duration_s) == (20, quick.duration_s / 2)
    assert half.bounds.min_acked == quick.bounds.min_acked / 2
    twice = experiment.override(quick, users=None, duration_s=None, rate=quick.rate_per_s * 2)
    assert twice.bounds == quick.bounds
    assert experiment.override(quick, users=None, duration_s=None, rate=None) is quick


@pytest.mark.parametrize(
    ("users", "duration_s", "rate", "said"),
    [
        (0, None, None, "--users must be a whole number of at least 1"),
        (-1, None, None, "--users must be "),
        (None, 0.0, None, "--duration must be "),
        (None, float("nan"), None, "--duration must be "),
        (None, None, -1.0, "--rate must be a number above 0"),
    ],
)
def test_a_wrong_option_is_named(users: int | None, duration_s: float | None, rate: float | None, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        experiment.override(experiment.load("quick"), users=users, duration_s=duration_s, rate=rate)


@given(st.text(max_size=300))
def test_no_text_makes_it_raise_anything_else(text: str) -> None:
    try:
        yamlfile.parse(text, Experiment, source="x")
    except UsageError as error:
        assert "\n" not in str(error)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=9),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
        max_leaves=12,
    )
)
def test_no_document_makes_it_raise_anything_else(value: object) -> None:
    try:
        yamlfile.parse(yaml.safe_dump(value), Experiment, source="x")
    except UsageError as error:
        assert str(error).startswith("x:")
