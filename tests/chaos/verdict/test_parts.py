"""Members times messages are looked at in parts: the same verdict, in bounded memory."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from chaos.verdict.judge import judge
from chaos.verdict.model import encode
from chaos.verdict.relations import facts
from tests.chaos.verdict.help import history_of
from tests.chaos.verdict.mutations import MUTATIONS
from tests.chaos.verdict.world import S, World

PEOPLE = 1_500
MAX_MB = 800
SEEDS = [seed if seed < 4 else pytest.param(seed, marks=pytest.mark.long) for seed in range(8)]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_size_of_the_parts_changes_nothing(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(random.Random(seed), users=5, convs=2, sends=60, faults=1)
    for name in random.Random(seed).sample(sorted(MUTATIONS), 3):
        MUTATIONS[name][1](world.lines, random.Random(seed))
    whole = encode(judge(history_of(world.lines)))
    monkeypatch.setattr(facts, "PART_ROWS", 7)
    assert encode(judge(history_of(world.lines))) == whole


def broadcast(path: Path) -> None:
    """Everybody sends one message to everybody, and nobody is seen to show any."""
    with path.open("w") as file:
        for n in range(PEOPLE):
            t, sent = (n + 1) * S // 100, {"device": n, "conv": 1, "msg": n}
            for line in (
                {"e": "device", "t": 0, "device": n, "user": n},
                {"e": "member", "t": 0, "conv": 1, "user": n, "op": "add", "seq": 0},
                {"e": "send", "t": t, "due": t, **sent, "hash": n},
                {"e": "ack", "t": t + S // 100, **sent, "seq": n + 1},
            ):
                file.write(json.dumps(line) + "\n")
        file.write(json.dumps({"e": "online", "t": 200 * S, "device": 0}) + "\n")


def test_a_broadcast_of_many_to_many_takes_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "broadcast.jsonl"
    broadcast(path)
    with (tmp_path / "verdict.json").open("wb") as out:
        judge = subprocess.Popen([sys.executable, "-m", "chaos.verdict", "history", str(path)], stdout=out)
        _, status, used = os.wait4(judge.pid, 0)  # of this child alone: others of the session may be JVMs
        judge.returncode = os.waitstatus_to_exitcode(status)
    assert judge.returncode == 0
    verdict = json.loads((tmp_path / "verdict.json").read_bytes())
    assert verdict["counts"]["deliveries_expected"] == PEOPLE * (PEOPLE - 1)
    assert used.ru_maxrss < MAX_MB << 10, "in KiB; all at once it takes 1.2 GB"
