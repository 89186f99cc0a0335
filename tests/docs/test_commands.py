"""Every command in README and docs works as it stands.

A command that ends within seconds is run. One that starts a system, or takes minutes, is read by the real parser of its
program: `petrel run, up, down, status, ui, chat, limits, bench, replay, history` and `petrel verify RUN_DIR` by
petrel's, `locust` by Locust's, `make` by a dry run; of pytest the paths are looked up. tests/system runs such commands.
"""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from chaos.cli.petrel import _parser
from chaos.errors import ChaosError
from chaos.run import experiment
from sut.deploy.access import KINDS, Access
from tests.docs.pages import CODE, PAGES, ROOT, Fence, split

BIN = Path(sys.executable).parent
RUN_AT_ONCE = {"faults", "checks", "variants", "modes", "doctor"}
FORMER = {"capacity"}
"""Names that commands had; only these pages may tell of them."""
HISTORIANS = {"CHANGELOG.md", "measured.md"}
PROGRAMS = ("petrel", "make", "locust", "source", "python", ".venv/bin/petrel", ".venv/bin/python")


class Command(NamedTuple):
    """One command and where it stands."""

    place: str
    text: str
    fenced: bool


def commands(path: Path, text: str) -> Iterator[Command]:
    """The commands of a page: lines of fences marked `sh`, and code in a line that begins with one of PROGRAMS."""
    prose, fences = split(text)
    for fence in fences:
        if fence.language == "sh":
            for number, line in enumerate(fence.text.splitlines(), fence.line):
                yield Command(f"{path.name}:{number}", line, fenced=True)
    for number, line in prose:
        for found in CODE.finditer(line):
            if found[2].split() and found[2].split()[0] in PROGRAMS and len(found[2].split()) > 1:
                yield Command(f"{path.name}:{number}", found[2], fenced=False)


COMMANDS = [command for path in PAGES for command in commands(path, path.read_text(encoding="utf-8"))]
FENCES = [(path, fence) for path in PAGES for fence in split(path.read_text(encoding="utf-8"))[1]]


def mistake(command: Command, *, run: bool = True) -> str | None:
    """What is wrong with a command, None when nothing is."""
    words = shlex.split(re.sub(r"\bN\b", "1", command.text.partition(" #")[0]))
    while re.fullmatch(r"[A-Z_]+=\w*", words[0]):
        words = words[1:]  # a variable of the environment
    program, arguments = words[0].removeprefix(".venv/bin/"), words[1:]
    match program:
        case "petrel":
            if arguments[0] in FORMER and not command.fenced and command.place.partition(":")[0] in HISTORIANS:
                return None
            if len(arguments) == 1 and not command.fenced:
                arguments = [*arguments, "--help"]  # prose that names a command; what it needs is not told
            return petrel(arguments, run=run and command.fenced)
        case "make":
            return failure(["make", "-n", *arguments]) if arguments or run else None
        case "locust":
            return failure([str(BIN / "locust"), *arguments, "--list"])
        case "docker":  # Compose reads the file in tests/test_compose.py
            return None if arguments[0] == "compose" and (ROOT / "compose.yaml").is_file() else "not of Compose"
        case "source":
            return None if (BIN / Path(arguments[0]).name).exists() else f"no {arguments[0]}"
        case "python":
            return python(arguments)
        case "kubectl":
            return kubectl(arguments)
        case "npm" | "pip" | "chaos":
            return None  # tests/chaos/targets and tests/chaos/toolkit run what these install
        case "for":  # a loop of a shell: its form, and the command in it
            inner = re.search(r"do \.venv/bin/(petrel .*?) (\|\||; *done)", command.text)
            assert inner is not None
            return failure(["bash", "-n", "-c", command.text]) or mistake(
                Command(command.place, inner[1].replace("$seed", "1"), fenced=True)
            )
    return f"no test knows how to try {program}"


def petrel(arguments: list[str], *, run: bool) -> str | None:
    """Read by petrel's parser; run where that takes seconds."""
    try:
        options = _parser().parse_args(arguments)
    except SystemExit as done:  # --help
        return None if done.code == 0 else f"exit status {done.code}"
    except ChaosError as error:
        return str(error)
    if arguments[0] == "run" and options.experiment not in experiment.names() and not saved(options.experiment):
        return f"no experiment {options.experiment}"
    if run and arguments[0] in RUN_AT_ONCE and "--run" not in arguments:
        return failure([str(BIN / "petrel"), *arguments], statuses={0} if arguments[0] != "doctor" else {0, 2, 70})
    return None


def saved(name: str) -> bool:
    """Whether there is such a file, a command of a page or a run makes it, or a page shows what the reader saves so."""
    made = name.startswith("RUN_DIR/") or any(command.text.endswith(f"--to {name}") for command in COMMANDS)
    return (
        made
        or (ROOT / name).is_file()
        or any(
            f"`{name}`" in path.read_text(encoding="utf-8") or f"name: {name.removesuffix('.yaml')}\n" in fence.text
            for path, fence in FENCES
            if fence.language == "yaml"
        )
    )


def python(arguments: list[str]) -> str | None:
    """A script of the project is there; a module can be found; tests can be collected."""
    if arguments[:2] == ["-m", "pytest"]:
        return pytest_of(arguments[2:])
    if arguments[0] == "-m":
        return None if find_spec(arguments[1]) else f"no module {arguments[1]}"
    return None if (ROOT / arguments[0]).is_file() else f"no file {arguments[0]}"


def kubectl(arguments: list[str]) -> str | None:
    """The kustomization is there, and the objects that are named are in it."""
    manifests = ROOT / "sut/deploy/k8s/base"
    if "-k" in arguments:
        place = ROOT / arguments[arguments.index("-k") + 1]
        return None if (place / "kustomization.yaml").is_file() else f"no kustomization in {place}"
    kind, _, name = arguments[-1].partition("/")
    text = (manifests / f"{name}.yaml").read_text() if (manifests / f"{name}.yaml").is_file() else ""
    return None if f"kind: {kind}\n" in text.lower() else f"no {kind} {name}"


def pytest_of(arguments: list[str]) -> str | None:
    """Each path is there; what -k names is in one of them."""
    paths = [ROOT / word for word in arguments if word.startswith("tests/")]
    if not paths or any(not path.exists() for path in paths):
        return f"no such tests: {arguments}"
    name = arguments[arguments.index("-k") + 1] if "-k" in arguments else ""
    return None if any(not name or name in path.read_text(encoding="utf-8") for path in paths) else f"no test {name}"


def failure(command: list[str], statuses: set[int] = {0}) -> str | None:  # noqa: B006 (never changed)
    """Run it at the top of the repository; its output when it ends with another status than those."""
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=100, check=False)
    if done.returncode in statuses:
        return None
    return f"exit status {done.returncode}: {done.stdout[-300:]}{done.stderr[-600:]}"


UNIQUE = {(one.text, one.fenced): one for one in COMMANDS}


def test_there_are_commands() -> None:
    assert len(UNIQUE) > 40
    assert {"README.md", "getting-started-qa.md"} <= {one.place.partition(":")[0] for one in COMMANDS}


@pytest.mark.parametrize("command", UNIQUE.values(), ids=lambda one: f"{one.place} {one.text}")
def test_command_works(command: Command) -> None:
    assert mistake(command) is None


@pytest.mark.parametrize(
    "text",
    [
        "petrel nothing",
        "petrel run quick --nothing",
        "petrel run nowhere.yaml",
        "petrel faults --profile nothing",
        "make nothing",
        "locust -f load/locustfile.py --petrel-nothing 1",
        "source .venv/bin/nothing",
        ".venv/bin/python nothing.py",
        "PETREL_TEST_LONG=1 .venv/bin/python nothing.py",
        ".venv/bin/python -m pytest -q tests/nothing.py",
        ".venv/bin/python -m pytest -q tests/docs/test_prose.py -k test_of_nothing",
        "python -m tests.nothing",
        "for seed in 1; do .venv/bin/petrel run nothing || exit; done",
        "curl x",
    ],
)
def test_a_command_that_does_not_work_is_found(text: str) -> None:
    assert mistake(Command("x.md:1", text, fenced=True)) is not None


@pytest.mark.parametrize(
    ("path", "fence"), FENCES, ids=lambda one: one.name if isinstance(one, Path) else str(one.line)
)
def test_commands_stand_in_fences_that_say_so(path: Path, fence: Fence) -> None:
    if fence.language in ("sh", "python"):
        return
    assert not [line for line in fence.text.splitlines() if line.startswith(tuple(f"{name} " for name in PROGRAMS))]


YAML = [fence.text for path, fence in FENCES if fence.language == "yaml" and path.name != "servers.md"]
EXPERIMENTS = [text for text in YAML if "\ntargets:\n" not in text]  # tests/chaos/targets has those of other systems


@pytest.mark.parametrize("text", EXPERIMENTS)
def test_an_experiment_on_a_page_can_be_run(text: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    assert experiment.load(str(path)).faults


def test_the_file_of_secrets_on_the_page_is_one() -> None:
    (text,) = [fence.text for path, fence in FENCES if fence.language == "yaml" and path.name == "servers.md"]
    ways = msgspec.yaml.decode(text.encode(), type=dict[str, Access])
    assert set(ways) == set(KINDS)
    assert all(way.password and way.secured for way in ways.values())


HISTORIES = [fence.text for _, fence in FENCES if fence.language == "jsonl"]


def verify(path: Path) -> int:
    """The exit status of `petrel verify --history`."""
    command = [str(BIN / "petrel"), "verify", "--history", str(path)]
    return subprocess.run(command, capture_output=True, timeout=100, check=False).returncode


def test_the_history_on_the_page_is_judged_as_the_page_says(tmp_path: Path) -> None:
    (text,) = HISTORIES
    path = tmp_path / "history.jsonl"
    path.write_text(text, encoding="utf-8")
    assert verify(path) == 0
    lines = text.splitlines(keepends=True)
    path.write_text("".join([*lines[:-2], lines[-1]]), encoding="utf-8")
    assert verify(path) == 1


RECORDERS = [fence.text for _, fence in FENCES if fence.language == "python" and "class Recorder" in fence.text]


def test_the_recorder_on_the_page_records(tmp_path: Path) -> None:
    (text,) = RECORDERS
    scope: dict[str, object] = {}
    exec(compile(text, "your-own-user.md", "exec"), scope)
    path = tmp_path / "mine.jsonl"
    recorder = scope["Recorder"](path)  # type: ignore[operator]
    recorder.event("device", device=1, user="ann")
    recorder.event("member", conv=7, user="ann", op="add", seq=0)
    recorder.event("online", device=1)
    recorder.event("send", due=0, device=1, conv=7, msg=5, hash=9)
    recorder.close()
    assert verify(path) == 2, "well formed, and too little to judge"


def test_the_locust_file_on_the_page_is_the_one_that_runs() -> None:
    shown = [fence.text for path, fence in FENCES if path.name == "your-own-user.md" and "ChatUser" in fence.text]
    assert shown == [(ROOT / "docs" / "chat_user.py").read_text(encoding="utf-8")]


def test_make_lists_its_targets() -> None:
    done = subprocess.run(
        ["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert phony is not None
    for target in phony[1].split():
        assert re.search(rf"^  make {target} +\S", done.stdout, re.MULTILINE), target
    assert "petrel" in done.stdout.splitlines()[-1]
