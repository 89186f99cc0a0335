"""The packed population and plan say the same as the objects that they were made of."""

import pytest

from load.device.causality import Ties
from load.drive.lean.process import device_of
from load.drive.lean.world import Groups, Members, Recipients, World, pack
from load.drive.part import Part
from load.plan import plan as plans
from load.plan import population as populations
from load.workload import SwarmConfig


def config(**changes: object) -> SwarmConfig:
    settings = {"users": 101, "duration_s": 30.0, "rate_per_s": 40.0, "churn": 20, "typing_share": 0.3,
                "watch_share": 0.2, "offline_share": 0.3, "first_id": 7} | changes  # fmt: skip
    return SwarmConfig(seed=3, api_url="http://127.0.0.1:1", api_key="k", history_dir="h", **settings)


@pytest.mark.parametrize(("worker", "workers"), [(0, 1), (0, 3), (2, 3)])
def test_each_device_has_its_plan(worker: int, workers: int) -> None:
    its = config()
    population = populations.make(its)
    plan = plans.make(its, population)
    ids = [10**15 + 7 * place for place in range(len(population.conversations))]
    world = World(pack(its, worker, workers), ids)
    part = Part(config=its, conversations=(), worker=worker, workers=workers)
    share = plan.share(worker, workers)
    assert [device_of(part, row) for row in range(world.rows)] == sorted(share)
    for row in range(world.rows):
        planned, found = share[device_of(part, row)], world.plan(row)
        assert tuple(found.sends) == planned.sends
        assert (found.absences, found.keystrokes, found.looks) == (planned.absences, planned.keystrokes, planned.looks)
        assert world.planned(row) == len(planned.sends)
        begins = [send.due_us for send in planned.sends] + [away.from_us for away in planned.absences]
        begins += [one.at_us for one in planned.keystrokes] + [one.from_us for one in planned.looks]
        assert world.first_us(row) == min((at_us for at_us in begins if at_us >= 0), default=None)


def test_each_conversation_has_its_members() -> None:
    its = config()
    population = populations.make(its)
    plan = plans.make(its, population)
    ids = [(place * 7919 + 5) % 100_003 + (1 << 62) for place in range(len(population.conversations))]
    world = World(pack(its, 0, 1), ids)
    expected = Ties.planned(population, plan, ids)
    ties = world.ties(ignore_dependencies=False)
    assert any(ties.ever[conv] != ties.founders[conv] for conv in ids), "somebody joins later"
    groups, recipients = Groups(world), Recipients(world)
    for conv, one in zip(ids, population.conversations, strict=True):
        assert ties.founders[conv] == expected.founders[conv]
        assert ties.ever[conv] == expected.ever[conv]
        assert (conv in groups) == (conv in ties.growing) == (one.kind == "group")
        assert recipients[conv] == len(one.members) - 1
    foreign = ids[0] + 1
    assert foreign not in ids
    assert Members(world, later=True).get(foreign) is None
    assert recipients.get(foreign, 0) == 0
    assert foreign not in groups
