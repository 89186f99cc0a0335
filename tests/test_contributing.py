"""docs/CONTRIBUTING.md is true: a copy of the tree gets one of each thing, in the files that its table names.

The table's rows give the paths and their number. A word in capitals in a path stands for a name, and a path that ends
with "/" for a folder. The tests of a fault and of a check alone are tests/chaos/faults/test_declarations.py and
tests/chaos/verdict/test_new_check.py; what they add is added here too.
"""

import functools
import json
import re
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.chaos.faults.test_declarations import API_CRASH
from tests.chaos.verdict.test_new_check import NEW as SILENCE
from tests.kit.copied import ROOT, copy_project, python


class New(NamedTuple):
    """A whole new file."""

    text: str


class Edit(NamedTuple):
    """A text that stands before another one in a file that exists."""

    text: str
    before: str


ADDED: dict[str, dict[str, New | Edit]] = {
    "a": {"chaos/faults/api.py": New('"""The faults on the API."""\n' + API_CRASH)},
    "b": {
        "chaos/verdict/checks/silence.py": New(SILENCE),
        "sut/variants/mute.py": New(
            '"""Known bad: every device only reads, so that nobody ever says anything."""\n\n'
            'CAUGHT_BY = ("silence",)\n\n\n'
            'def swarm(_settings):\n    return {"silent_share": 1.0}\n'
        ),
        "tests/chaos/verdict/cases/evidence.py": Edit(
            "from tests.chaos.verdict.cases.registry import bad\n\n\n"
            '@bad(doubt=("vacuity",))\ndef silence__nobody_speaks() -> Book:\n    return Book().read_back(60)\n\n\n',
            "@unknown()\ndef vacuity__nothing_sent",
        ),
    },
    "c": {
        "sut/adapters/second/__init__.py": New('"""The log and the store in SQLite, under another name."""\n'),
        "sut/adapters/second/backend.py": New(
            '"""Opens what the backend sqlite opens."""\n\n'
            "from sut.adapters.sqlite.backend import open_devices, open_keys, open_log, open_store\n\n"
            '__all__ = ["open_devices", "open_keys", "open_log", "open_store"]\n'
        ),
        "sut/adapters/backends.py": Edit('    "second": "sut.adapters.second.backend",\n', '    "kafka": '),
    },
    "d": {
        "sut/services/echo/__init__.py": New('"""A service that answers pings."""\n'),
        "sut/services/echo/process.py": New(
            '"""The process: as few lines as one can have."""\n\n'
            "from sut.process.peer import PeerServer\n"
            "from sut.process.serving import peers, refuse\n\n\n"
            "async def serve(topology, service, incarnation, stop):\n"
            "    server = PeerServer(\n"
            "        node=service.name, incarnation=incarnation, secret=topology.peer_secret, on_frame=refuse,\n"
            '        stats=lambda: {"ready": 1.0, "loudness": 11.0},\n'
            "    )\n"
            "    async with peers(service, server, {}):\n"
            "        await stop.wait()\n"
        ),
        "sut/deploy/kinds.py": Edit(
            '        Kind(name="echo", count=1, serves="sut.services.echo.process", sign=_REACHED, stop=3),\n',
            '        Kind(\n            name="provider"',
        ),
    },
    "e": {
        "chaos/experiments/echo.yaml": New(
            "name: echo\n"
            "summary: the API dies while forty devices chat, with bounds that a busy machine keeps\n"
            "users: 40\nduration_s: 20\nrate_per_s: 15\nheartbeat_s: 2\nchurn: 0\n"
            "faults:\n  - {name: api_crash, for_s: [1, 2]}\n"
            "timing: {warm_up_s: 3, settle_s: 4, tail_s: 5}\n"
            "bounds: {latency_ms: 20000, catch_up_s: 25, liveness_s: 40, min_acked: 100, min_deliveries: 100}\n"
            "checks: [acked_lost, leaks, silence, vacuity]\n"
        )
    },
    "f": {
        "sut/services/chat/process.py": Edit(
            '            "gateways": 3.0,\n',
            '            "appended": float(',
        ),
        "sut/process/metrics/catalogue.py": Edit(
            '        Row("gateways", "gauge", "gateways", "Gateways with a link."),\n',
            '        Row("appended", "counter"',
        ),
    },
    "g": {
        "load/history/events.py": Edit(
            '    PIN = 19, "told", "A message is kept in view.", (_DEVICE, _CONV, _SEQ)\n\n',
            "    @property\n    def label(self)",
        )
    },
    "h": {
        "sut/variants/hasty.py": New(
            '"""Known bad: devices come back at once, whatever the service asks for."""\n\n'
            'MEASURED_BY = "reconnect"\n\n\n'
            'def swarm(_settings):\n    return {"reconnect_fixed_s": 0.001}\n'
        )
    },
    "i": {
        "load/workload.py": Edit(
            '    whisper_share: Share = 0.0\n    """Share of the sends that are whispered."""\n\n',
            "    def __post_init__(self) -> None:\n        for name in",
        )
    },
    "j": {
        "chaos/cli/commands/greet.py": New(
            '"""`petrel greet`."""\n\n'
            "from chaos.cli.command import command\n\n\n"
            '@command("greet", "say hello to somebody", lambda sub: sub.add_argument("name"))\n'
            "def greet(options):\n"
            '    """Say hello."""\n'
            '    print("hello", options.name)\n'
            "    return 0\n"
        )
    },
}
"""By the letter of the table's row: the files that are added, and what is put into those that exist."""


class Row(NamedTuple):
    """A row of the table: the paths of its second column, and the number in its third."""

    paths: tuple[str, ...]
    number: int

    def path_of(self, file: str) -> str:
        """The path of the row that stands for a file. Raises ValueError when there is not one."""
        (found,) = (path for path in self.paths if re.fullmatch(_pattern(path), file))
        return found


def _pattern(path: str) -> str:
    words = re.sub(r"[A-Z]+(?=\\?[./])", "[a-z_]+", re.escape(path))
    return words + ".+" if path.endswith("/") else words


@functools.cache
def rows() -> dict[str, Row]:
    """The rows of the table in docs/CONTRIBUTING.md, by their letters."""
    page = (ROOT / "docs" / "CONTRIBUTING.md").read_text(encoding="utf-8")
    found = re.findall(r"^\| \((\w)\) [^|]+\| ([^|]+)\| (\d+) \|", page, re.MULTILINE)
    return {letter: Row(tuple(re.findall(r"`([^`]*/[^`]*)`", paths)), int(number)) for letter, paths, number in found}


def test_the_table_has_a_row_for_each_thing_and_counts_its_paths() -> None:
    assert list(rows()) == sorted(ADDED)
    for letter, row in rows().items():
        assert len(row.paths) == row.number, letter


@pytest.mark.parametrize("letter", ADDED)
def test_what_is_added_is_in_the_files_that_the_table_names(letter: str) -> None:
    row = rows()[letter]
    assert {row.path_of(file) for file in ADDED[letter]} == set(row.paths)


def test_a_path_that_the_table_does_not_name_is_noticed() -> None:
    row = Row(("chaos/faults/TARGET.py", "sut/services/NAME/"), 2)
    assert row.path_of("chaos/faults/api.py") == "chaos/faults/TARGET.py"
    assert row.path_of("sut/services/echo/process.py") == "sut/services/NAME/"
    for file in ("chaos/faults/__init__/x.py", "chaos/run/api.py", "sut/services/echo"):
        with pytest.raises(ValueError, match="unpack"):
            row.path_of(file)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree with everything of ADDED, and the histories of its cases written."""
    root = copy_project(tmp_path_factory.mktemp("tree"), also=("tests",))
    for files in ADDED.values():
        for file, change in files.items():
            put(root / file, change)
    written = python(root, "-m", "tests.chaos.verdict.cases")
    assert written.returncode == 0, written.stderr
    return root


def put(path: Path, change: New | Edit) -> None:
    """Make a file, or put a text into one. A folder must be new or already there, as the table says."""
    if isinstance(change, New):
        assert not path.exists(), f"{path} is there already"
        path.parent.mkdir(exist_ok=True)
        path.write_text(change.text, encoding="utf-8")
        return
    text = path.read_text(encoding="utf-8")
    place = text.index(change.before)
    path.write_text(text[:place] + change.text + text[place:], encoding="utf-8")


def petrel(root: Path, *arguments: str, status: int = 0, timeout_s: float = 60) -> str:
    """What a command of the copy prints."""
    done = python(root, "-m", "chaos.cli", *arguments, timeout_s=timeout_s)
    assert done.returncode == status, done.stderr + done.stdout
    return done.stdout


def listed(text: str) -> list[str]:
    """The names of what a list in JSON holds."""
    return [one["name"] for one in json.loads(text.splitlines()[-1])]


def test_the_copy_is_what_runs(copy: Path) -> None:
    ended = python(copy, "-c", "import chaos, sut, load, dashboards, tests; print(chaos.__file__, load.__file__)")
    assert ended.stdout.split() == [str(copy / "chaos/__init__.py"), str(copy / "load/__init__.py")]


def test_a_fault_a_variant_and_a_check_are_listed(copy: Path) -> None:
    assert "api_crash" in listed(petrel(copy, "faults", "--json"))
    assert {"mute", "hasty"} <= set(listed(petrel(copy, "variants", "--json")))
    assert "silence" in listed(petrel(copy, "checks", "--json"))


def test_a_check_fails_its_case(copy: Path) -> None:
    case = "tests/chaos/verdict/histories/bad/silence.nobody_speaks.jsonl"
    judged = json.loads(petrel(copy, "verify", "--json", "--history", case, status=1).splitlines()[-1])
    assert {check["name"]: check["verdict"] for check in judged["checks"]}["silence"] == "invalid"
    index = json.loads((copy / "tests/chaos/verdict/histories/index.json").read_text())
    assert index["bad/silence.nobody_speaks.jsonl"]["verdict"] == "invalid"


def test_a_store_is_opened_by_its_name(copy: Path) -> None:
    code = """
import asyncio, msgspec
from chaos.run.sketch import topology
from sut.adapters.backends import Backends

async def main():
    made = msgspec.structs.replace(topology("embedded"), log="second", store="second")
    (made.path / "data").mkdir()
    backends = Backends(made, "chat-1")
    print(type(backends.log()).__name__, type(backends.store()).__name__)
    await backends.close()

asyncio.run(main())
"""
    ended = python(copy, "-c", code)
    assert ended.stdout.split() == ["SqliteLog", "SqliteStore"], ended.stderr


def test_a_service_is_in_a_system_and_in_its_profile(copy: Path) -> None:
    code = "from chaos.run.sketch import topology; print([s.name for s in topology('embedded').of_kind('echo')])"
    ended = python(copy, "-c", code)
    assert ended.stdout.strip() == "['echo-1']", ended.stderr


def test_an_experiment_is_found_and_its_schedule_drawn(copy: Path) -> None:
    assert "echo, everything" in petrel(copy, "run", "--help")
    code = """
from chaos.run import experiment, schedule, sketch

targets = {name: offer.targets for name, offer in sketch.offers("embedded").items()}
print(schedule.plan(experiment.load("echo"), targets=targets, seed=1, profile="embedded").faults)
"""
    ended = python(copy, "-c", code)
    assert "name='api_crash', target='api-1'" in ended.stdout, ended.stderr


def test_an_event_is_in_the_schema_and_is_read(copy: Path) -> None:
    told = json.loads(python(copy, "-m", "load.history.schema").stdout)["$defs"]
    assert told["Pin"]["description"] == "A message is kept in view."
    (copy / "pin.jsonl").write_text('{"e":"pin","t":1,"device":1,"conv":2,"seq":3}\n{"e":"pim","t":1}\n')
    verdict = petrel(copy, "verify", "--history", "pin.jsonl", "--json", status=1).splitlines()[-1]
    assert "pim" in verdict
    assert "pin" not in verdict, "an event of a known kind is not counted as unknown"


def test_a_knob_is_a_key_of_an_experiment_and_reaches_the_swarm(copy: Path) -> None:
    mine = (copy / "chaos/experiments/echo.yaml").read_text() + "whisper_share: 0.25\n"
    (copy / "mine.yaml").write_text(mine)
    code = """
from pathlib import Path
from chaos.run import experiment, sketch, swarm
from chaos.run.rundir import RunDir

wanted, directory = experiment.load("mine.yaml"), Path("knob")
directory.mkdir()
print(swarm.configure(wanted, sketch.topology("embedded"), RunDir(directory), 1).whisper_share)
"""
    ended = python(copy, "-c", code)
    assert ended.stdout.strip() == "0.25", ended.stderr


def test_a_command_is_in_the_help_and_runs(copy: Path) -> None:
    assert re.search(r"^ +greet +say hello to somebody$", petrel(copy, "--help"), re.MULTILINE)
    assert petrel(copy, "greet", "ann") == "hello ann\n"


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(180)
def test_a_service_comes_up_and_goes_down(copy: Path) -> None:
    petrel(copy, "up", timeout_s=60)
    try:
        assert "echo-1" in petrel(copy, "status")
    finally:
        petrel(copy, "down")


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(240)
def test_a_run_breaks_judges_and_samples_what_is_new(copy: Path) -> None:
    text = petrel(copy, "run", "echo", "--seed", "1", "--out", "run", "--json", timeout_s=200)
    verdict = json.loads(text.splitlines()[-1])
    (fault,) = verdict["faults"]
    assert (fault["name"], fault["effective"], fault["healed"]) == ("api_crash", True, True)
    assert {check["name"]: check["verdict"] for check in verdict["checks"]}["silence"] == "valid"
    lines = [json.loads(line) for line in (copy / "run/metrics/processes.jsonl").read_text().splitlines()]
    assert {line["service"] for line in lines if line.get("stats", {}).get("loudness") == 11.0} == {"echo-1"}
    assert {line["service"] for line in lines if line.get("stats", {}).get("gateways") == 3.0} == {"chat-1", "chat-2"}
    report = (copy / "run/report.html").read_text()
    assert "loudness 11" in report
    assert "gateways 3" in report
