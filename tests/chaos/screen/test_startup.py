"""What is seen while a system starts, and how its processes look as a table afterwards."""

import io
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from chaos.run.processes import Memory, memory_of, process_table
from chaos.screen import startup as startup_module
from chaos.screen.startup import Startup
from sut.deploy.supervise.state import ProcessState
from sut.deploy.topology import Service, Topology
from tests.kit.waits import wait_until


def plain(width: int = 160, height: int = 50, terminal: bool = False) -> Console:
    return Console(file=io.StringIO(), width=width, height=height, force_terminal=terminal, color_system=None)


def printed(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def process(pid: int, age_s: float) -> ProcessState:
    return ProcessState(status="running", pid=pid, created_s=time.time() - age_s)


def drawn(startup: Startup, console: Console) -> list[str]:
    with console.capture() as captured:
        console.print(startup.table())
    return [re.sub(r" +", " ", line).strip() for line in captured.get().splitlines()]


def test_without_a_terminal_each_service_is_told_once_when_it_is_healthy(monkeypatch: pytest.MonkeyPatch) -> None:
    console = plain()
    with Startup(console) as startup:
        startup.progress("starting 2 processes")
        startup.waiting({"kafka-1": "not started", "api-1": "not started"}, {})
        startup.waiting({"kafka-1": "does not answer"}, {"api-1": process(7, 1.5), "kafka-1": process(8, 1.5)})
        startup.waiting({"kafka-1": "does not answer"}, {"api-1": process(7, 2.5), "kafka-1": process(8, 2.5)})
        monkeypatch.setattr(startup_module, "PLAIN_EVERY_S", 0.0)
        waiting = {"kafka-1": "elects", "redis-1": "does not answer", "kafka-2": "elects"}
        startup.waiting(waiting, {"api-1": process(7, 3.5), "kafka-1": process(8, 3.5)})
        monkeypatch.setattr(startup_module, "PLAIN_EVERY_S", 10.0)
        startup.waiting({"redis-1": "x"}, {"api-1": process(7, 4.5), "kafka-1": process(8, 4.5)})
    assert printed(console).splitlines() == [
        "starting 2 processes",
        "api-1 is healthy after 1.5 s",
        "waiting for kafka-1, kafka-2: elects; redis-1: does not answer",
        "kafka-1 is healthy after 4.5 s",
    ]


def test_what_somebody_else_runs_is_healthy_without_a_pid_or_an_age() -> None:
    console = plain()
    with Startup(console) as startup:
        startup.waiting({"kafka-1": "does not answer"}, {"kafka-1": ProcessState(status="external")})
        startup.waiting({}, {"kafka-1": ProcessState(status="external")})
    assert printed(console) == "kafka-1 is healthy\n"
    assert drawn(startup, console) == ["service state pid seconds waits for", "kafka-1 healthy"]


def test_the_table_has_a_row_a_service_and_the_time_stops_when_it_is_healthy() -> None:
    console = plain(terminal=True)
    startup = Startup(console)
    startup.waiting({"a": "not started", "b": "not started"}, {})
    assert drawn(startup, console)[1:] == ["a starting not started", "b starting not started"]
    startup.waiting({"b": "elects"}, {"a": process(11, 2.0), "b": process(12, 2.0)})
    startup.waiting({"b": "elects"}, {"a": process(11, 9.0), "b": process(12, 9.0)})
    assert drawn(startup, console) == [
        "service state pid seconds waits for",
        "a healthy 11 2.0",
        "b running 12 9.0 elects",
    ]


def test_on_a_low_terminal_the_table_shows_those_that_are_waited_for() -> None:
    console = plain(height=10, terminal=True)
    startup = Startup(console)
    names = [f"s{number}" for number in range(12)]
    startup.waiting({"s3": "elects"}, {name: process(1, 1.0) for name in names})
    lines = drawn(startup, console)
    assert lines[1:] == ["s3 running 1 1.0 elects", "11 more healthy"]


def test_the_table_is_gone_when_the_start_is_over() -> None:
    console = plain(terminal=True)
    with Startup(console) as startup:
        startup.waiting({"a": "elects"}, {"a": process(11, 2.0)})
        startup.progress("a line that stays")
    assert "a line that stays" in printed(console)
    assert printed(console).rstrip().endswith("\x1b[2K"), "the last thing written erases the table"


def topology(tmp_path: Path) -> Topology:
    return Topology(
        run_id="r", profile="embedded", dir=str(tmp_path), token_key="00", api_key="k",
        services=(
            Service(name="api-1", kind="api", ports={"http": 8001, "peer": 8002}),
            Service(name="kafka-1", kind="kafka", host="127.7.7.1", ports={"client": 9001}, external=True),
            Service(name="gone-1", kind="chat", ports={"peer": 8003}),
        ),
    )  # fmt: skip


def test_a_row_says_what_the_kernel_says_and_the_last_one_sums(tmp_path: Path) -> None:
    eater = subprocess.Popen([sys.executable, "-c", "x = b'x' * 50_000_000; import time; time.sleep(60)"])
    try:
        wait_until(lambda: (memory := memory_of(eater.pid)) is not None and memory.resident >= 50e6)
        seen = memory_of(eater.pid)
        assert seen is not None
        states = {
            "api-1": process(eater.pid, 61),
            "kafka-1": ProcessState(status="external"),
            "gone-1": ProcessState(status="held", restarts=3, ended="SIGKILL"),
        }
        console = plain()
        problems = {"gone-1": "does not answer a ping"}
        console.print(process_table(topology(tmp_path), states, supervisor_pid=os.getpid(), problems=problems))
    finally:
        eater.kill()
        eater.wait()
    lines = [re.sub(r"  +", "|", line.strip()) for line in printed(console).splitlines()]
    api, kafka, gone, supervisor, total = lines[1:]
    resident = round(seen.resident / 1e6)
    assert re.fullmatch(rf"api-1\|healthy\|{eater.pid}\|\d+ MB\|\d+ MB\|61 s\|0\|http:8001 peer:8002", api)
    assert kafka == "kafka-1|external|127.7.7.1 client:9001"
    assert gone == "gone-1|held|3|peer:8003|does not answer a ping"
    sizes = [[int(size) for size in re.findall(r"(\d+) MB", line)] for line in (api, supervisor, total)]
    assert sizes[0][0] >= resident
    assert total.startswith("2 processes|")
    for column in (0, 1):
        assert abs(sizes[0][column] + sizes[1][column] - sizes[2][column]) <= 1


def test_a_sum_is_not_claimed_where_one_part_is_not_known() -> None:
    assert Memory(1, 2) + Memory(3, 4) == Memory(4, 6)
    assert Memory(1, None) + Memory(3, 4) == Memory(4, None)
    assert memory_of(1 << 30) is None
