"""The schedule: a seed makes it, again and again the same; what it promises about times holds for every seed."""

from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.errors import UsageError
from chaos.faults import FAULTS
from chaos.run import experiment as experiments
from chaos.run import schedule
from chaos.run.experiment import Experiment, FaultSpec, Timing
from chaos.run.schedule import Schedule
from chaos.run.yamlfile import Mistake
from chaos.targets import experiment as others
from sut.deploy.profiles import PROFILES
from sut.deploy.topology import Link, Topology
from sut.variants import VARIANTS

TARGETS = {name: tuple(f"{name}-{number}" for number in range(1, 5)) for name in FAULTS}
QUICK = experiments.load("quick")


def draw(seed: int, experiment: Experiment = QUICK, targets: dict[str, tuple[str, ...]] = TARGETS) -> Schedule:
    return schedule.plan(experiment, targets=targets, seed=seed, profile="embedded")


@given(st.integers(0, 2**63 - 1))
def test_a_seed_makes_the_same_schedule_again(seed: int) -> None:
    assert draw(seed) == draw(seed)


def test_seeds_vary_order_targets_and_times() -> None:
    drawn = [draw(seed) for seed in range(40)]
    assert len({tuple(fault.name for fault in one.faults) for one in drawn}) > 30
    first = [next(fault for fault in one.faults if fault.name == "gateway_crash") for one in drawn]
    assert len({fault.target for fault in first}) == 4
    assert len({fault.at_s for fault in first}) > 30
    assert len({fault.for_s for fault in first}) > 10


@pytest.mark.parametrize("seed", range(10))
def test_the_fault_that_shows_a_variant_comes_first_and_several_times(seed: int) -> None:
    drawn, free = (
        schedule.plan(QUICK, targets=TARGETS, seed=seed, profile="embedded", first=first).faults
        for first in ("gateway_crash", "")
    )
    names = [fault.name for fault in drawn]
    assert names[: schedule.AGAIN] == ["gateway_crash"] * schedule.AGAIN
    others = [fault.name for fault in free if fault.name != "gateway_crash"]
    after = names[schedule.AGAIN :]
    assert after
    assert len(set(after)) == len(after)
    assert set(after) <= set(others)


@pytest.mark.parametrize("name", [name for name, variant in VARIANTS.items() if variant.shown_by])
def test_the_experiment_of_a_variant_has_the_fault_that_shows_it(name: str) -> None:
    faults = {spec.name for spec in experiments.load(VARIANTS[name].shown_in).faults}
    assert VARIANTS[name].shown_by in faults


def test_this_seed_has_always_made_this_schedule() -> None:
    """A replay by seed alone must work on another machine and another Python: the draw is part of the contract."""
    only = msgspec.structs.replace(
        QUICK, duration_s=40.0, timing=Timing(), faults=(FaultSpec(name="gateway_crash", for_s=(1, 5), times=2),)
    )
    seen = [(fault.target, fault.at_s, fault.for_s) for fault in draw(7, only).faults]
    assert seen == [("gateway_crash-2", 11.5, 4.4), ("gateway_crash-4", 27.1, 4.0)]


def test_a_fault_keeps_its_bound_of_what_people_feel() -> None:
    faults = (FaultSpec(name="chat_crash", for_s=(1, 5), felt_s=0.5), FaultSpec(name="gateway_crash", for_s=(1, 5)))
    drawn = draw(7, msgspec.structs.replace(QUICK, faults=faults)).faults
    assert {fault.name: fault.felt_s for fault in drawn} == {"chat_crash": 0.5, "gateway_crash": None}


def stepped(*, times: int, duration_s: float = 120.0) -> Experiment:
    return msgspec.structs.replace(
        QUICK,
        duration_s=duration_s,
        steps=(1.0, 2.0, 4.0),
        timing=Timing(warm_up_s=10, settle_s=5, tail_s=20),
        faults=(FaultSpec(name="gateway_crash", for_s=(5, 5), times=times),),
    )


def test_each_step_has_one_fault_after_its_warm_up() -> None:
    for seed in range(5):
        assert [(fault.at_s, fault.for_s) for fault in draw(seed, stepped(times=3)).faults] == [
            (10, 5), (50, 5), (90, 5),
        ]  # fmt: skip
    assert schedule.longest_s(stepped(times=3)) == 3 * (10 + 5 + 20)
    assert schedule.longest_s(stepped(times=4)) == 4 * (10 + 5 + 20)


def test_faults_that_do_not_fit_into_the_steps_are_left_out() -> None:
    assert len(draw(1, stepped(times=4, duration_s=120)).faults) == 3
    assert not draw(1, stepped(times=3, duration_s=104)).faults
    with pytest.raises(UsageError, match=r"104 s are too short for any of its faults; 105 s hold one"):
        schedule.check_fits(stepped(times=3, duration_s=104))


@st.composite
def an_experiment(make: st.DrawFn) -> Experiment:
    specs = []
    for name in make(st.lists(st.sampled_from(sorted(FAULTS)), max_size=5)):
        shortest = make(st.floats(0.1, 10))
        longest = shortest + make(st.floats(0, 10))
        specs.append(FaultSpec(name=name, for_s=(shortest, longest), times=make(st.integers(1, 4))))
    seconds = st.floats(0, 20)
    return msgspec.structs.replace(
        QUICK,
        duration_s=make(st.floats(1, 200)),
        faults=tuple(specs),
        timing=Timing(warm_up_s=make(seconds), settle_s=make(seconds), tail_s=make(seconds)),
    )


@given(an_experiment(), st.integers(0, 1000))
def test_every_schedule_keeps_its_experiment_s_times(experiment: Experiment, seed: int) -> None:
    faults = draw(seed, experiment).faults
    timing, slop = experiment.timing, 1e-6
    assert len(faults) <= sum(spec.times for spec in experiment.faults)
    assert [fault.fault for fault in faults] == [f"f{number}" for number in range(1, len(faults) + 1)]
    for fault in faults:
        assert fault.target in TARGETS[fault.name]
        specs = [spec for spec in experiment.faults if spec.name == fault.name]
        assert any(spec.for_s[0] - slop <= fault.for_s <= spec.for_s[1] + 0.1 + slop for spec in specs)
    for before, after in pairwise(faults):
        healed_s = before.at_s + before.for_s + FAULTS[before.name].usual_heal_s
        assert after.at_s - healed_s >= timing.settle_s - slop
    if faults:
        assert faults[0].at_s >= timing.warm_up_s - slop
        healed_s = faults[-1].at_s + faults[-1].for_s + FAULTS[faults[-1].name].usual_heal_s
        assert healed_s + timing.tail_s <= experiment.duration_s + slop


QUICK_FAULTS = {spec.name for spec in QUICK.faults}


def test_quick_has_every_fault_of_its_own_once_and_leaves_time_to_be_steady() -> None:
    for seed in range(50):
        faults = draw(seed).faults
        assert sorted(fault.name for fault in faults) == sorted(QUICK_FAULTS)
        broken_s = sum(fault.for_s for fault in faults)
        assert broken_s < QUICK.duration_s * 0.4


@pytest.mark.parametrize("name", ["storm", "quorum"])
def test_the_cluster_s_experiments_hold_all_their_faults_for_every_seed(name: str) -> None:
    experiment = experiments.load(name)
    for seed in range(50):
        faults = draw(seed, experiment).faults
        assert sorted(fault.name for fault in faults) == sorted(spec.name for spec in experiment.faults)


def test_mobile_holds_all_its_faults_for_every_seed() -> None:
    experiment = experiments.load("mobile")
    for seed in range(50):
        assert {fault.name for fault in draw(seed, experiment).faults} == {spec.name for spec in experiment.faults}


def test_cells_are_no_targets_of_the_links_faults_so_older_experiments_draw_as_before() -> None:
    with_cells = Topology(
        run_id="r", profile="embedded", dir="/", services=(), token_key="00", api_key="k",
        links=(
            Link(source="gateway-1", target="redis-1", port="redis", listen=1),
            Link(source="cell-1", target="gateway-1", port="ws", listen=2, kb_per_s=2),
        ),
    )  # fmt: skip
    assert FAULTS["link_latency"].targets(with_cells) == ("gateway-1->redis-1",)
    assert FAULTS["device_latency"].targets(with_cells) == ("cell-1",)


def test_every_fault_is_in_one_of_the_experiments() -> None:
    ours = ("storm", "quorum", "push", "mobile", "strain", "setbacks", "shortage")
    plans = [experiments.for_profile(experiments.load(name), profile) for name in ours for profile in PROFILES]
    named = {spec.name for plan in plans for spec in plan.faults}
    of_others = {fault.name for spec in others.load("others")[0].targets.values() for fault in spec.faults}
    assert named | of_others == set(FAULTS)
    assert {name for name, fault in FAULTS.items() if fault.kind == "other"} <= of_others


def test_what_does_not_fit_or_is_unavailable_is_named() -> None:
    short = msgspec.structs.replace(QUICK, duration_s=30.0)
    planned = draw(1, short)
    assert 1 <= len(planned.faults) < len(QUICK_FAULTS)
    assert set(schedule.left_out(planned)) == QUICK_FAULTS - {fault.name for fault in planned.faults}
    without = draw(1, targets={name: names for name, names in TARGETS.items() if "partition" not in name})
    assert schedule.left_out(without) == ["partition_gateway_redis", "partition_sequencer_gateway"]


def test_a_time_too_short_for_any_fault_is_refused() -> None:
    with pytest.raises(UsageError, match=r"5 s are too short for any of its faults; 19 s hold one"):
        schedule.check_fits(msgspec.structs.replace(QUICK, duration_s=5.0))
    schedule.check_fits(msgspec.structs.replace(QUICK, duration_s=19.0))
    schedule.check_fits(msgspec.structs.replace(QUICK, duration_s=1.0, faults=()))


def test_a_target_that_the_topology_lacks_is_refused() -> None:
    picky = msgspec.structs.replace(QUICK, faults=(FaultSpec(name="chat_crash", for_s=(1, 2), targets=("chat-9",)),))
    with pytest.raises(UsageError, match="fault chat_crash: no target 'chat-9'; there are chat_crash-1"):
        draw(1, picky)


def test_an_edited_schedule_with_a_target_that_the_topology_lacks_is_refused() -> None:
    planned = draw(3)
    schedule.check_targets(planned, TARGETS)
    first = msgspec.structs.replace(planned.faults[0], target="moon-1")
    with pytest.raises(Mistake, match=f"f1: {first.name}: no target 'moon-1'; there are ") as caught:
        schedule.check_targets(msgspec.structs.replace(planned, faults=(first, *planned.faults[1:])), TARGETS)
    assert caught.value.place == ("faults", 0, "target")


@given(an_experiment(), st.integers(0, 2**63 - 1))
def test_a_saved_schedule_is_read_back_the_same(
    tmp_path_factory: pytest.TempPathFactory, experiment: Experiment, seed: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "schedule.yaml"
    planned = msgspec.structs.replace(draw(seed, experiment), variant=None if seed % 2 else "redis_incr")
    schedule.save(planned, path)
    assert schedule.load(path) == planned


def test_a_schedule_edited_wrongly_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "schedule.yaml"
    schedule.save(draw(3), path)
    text = path.read_text()
    number = next(n for n, line in enumerate(text.splitlines(), 1) if "fault: f2" in line)
    path.write_text(text.replace("fault: f2", "fault: 2"))
    with pytest.raises(
        UsageError, match=rf"schedule.yaml:{number}: faults\[1\].fault must be text, not a whole number"
    ):
        schedule.load(path)
    path.write_text(text.replace("fault: f2", "fault: f1"))
    with pytest.raises(UsageError, match=r"schedule.yaml:\d+: faults\[1\].fault: two faults have the id 'f1'"):
        schedule.load(path)
    path.write_text(text.replace("name: chat_crash", "name: chat_crush"))
    with pytest.raises(
        UsageError, match=r"schedule.yaml:\d+: .*faults\[\d\].name: no fault 'chat_crush'; perhaps chat_crash"
    ):
        schedule.load(path)
    path.write_text(text.replace(f"name: {draw(3).faults[0].name}", "name: nothing", 1))
    with pytest.raises(
        UsageError, match=r"schedule.yaml:\d+: faults\[0\].name: no fault 'nothing'; there are .*cassandra_crash"
    ):
        schedule.load(path)
    last = draw(3).faults[-1]
    path.write_text(text.replace(f"at_s: {last.at_s}", "at_s: 99.5"))
    with pytest.raises(
        UsageError, match=rf"schedule.yaml:\d+: faults\[6\].at_s: {last.fault} ends .* the last is at 100 s"
    ):
        schedule.load(path)
    with pytest.raises(UsageError, match="No such file"):
        schedule.load(tmp_path / "other.yaml")
