"""What a machine lacks for a large swarm."""

import pytest

from chaos.run.room import DEVICE_B, REST_B, Machine, here, lacking

GIB = 1 << 30
LARGE = Machine(free_b=100 * GIB, files=20_000, all_files=3_000_000, cores=4)


def test_nothing_is_lacking_on_a_large_machine() -> None:
    assert lacking(LARGE, 1_000_000) == ""


@pytest.mark.parametrize(
    ("machine", "words"),
    [
        (LARGE._replace(free_b=9 * GIB), "18.2 GiB of memory are needed, and 9.0 are free"),
        (LARGE._replace(files=1024), "a process must open 18,256 files, and may open 1,024 (ulimit -n)"),
        (LARGE._replace(all_files=1_500_000), "2,000,000 files are needed, and 1,500,000 can be opened"),
        (LARGE._replace(cores=1), "1.6 cores are needed for heartbeats alone, and there are 1"),
    ],
    ids=["memory", "files of a process", "files of all", "cores"],
)
def test_what_is_lacking_is_named_with_both_numbers(machine: Machine, words: str) -> None:
    assert words in lacking(machine, 1_000_000)
    assert "\n" not in lacking(machine, 1_000_000)


def test_the_need_is_in_proportion_to_the_devices() -> None:
    just = REST_B + 60_000 * DEVICE_B
    assert lacking(LARGE._replace(free_b=just), 60_000) == ""
    assert "memory" in lacking(LARGE._replace(free_b=just - 1), 60_000)
    assert lacking(Machine(free_b=just, files=1256, all_files=2000, cores=1), 1000) == ""


def test_this_machine_has_something() -> None:
    machine = here()
    assert machine.free_b > 0
    assert machine.files > 0
    assert machine.all_files > 0
    assert machine.cores > 0
