"""The command line: every mistake is one line on standard error, nothing on standard output, and the right status."""

import errno
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from chaos import errors
from chaos.cli import command as registry
from chaos.cli import commands
from chaos.cli import petrel as cli
from chaos.faults import FAULTS
from chaos.run import experiment, sketch
from sut.deploy.profiles import PROFILES
from sut.deploy.topology import Topology, save

ROOT = Path(__file__).resolve().parents[3]


def complaint(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Exit status and the one line that says why."""
    status = cli.main(arguments)
    seen = capsys.readouterr()
    assert seen.out == ""
    assert seen.err.startswith("petrel: ")
    assert seen.err.count("\n") == 1, seen.err
    return status, seen.err.removeprefix("petrel: ").rstrip("\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], r"the following arguments are required: COMMAND; see petrel --help"),
        (["fly"], r".*invalid choice: 'fly'.*"),
        (["run"], r"the following arguments are required: EXPERIMENT; see petrel run --help"),
        (["run", "quack"], r"no experiment 'quack'; perhaps quick, or give the path of a YAML file"),
        (["run", "quick", "--users", "0"], r"--users must be a whole number of at least 1"),
        (["run", "quick", "--users", "1000001"], r"--users must be a whole number of at most 1,000,000"),
        (["run", "quick", "--users", "100001"], r".*: tier greenlet has 100,000 users at most: take tier fleet"),
        (
            ["run", "quick", "--rate", "1e5", "--duration", "501"],
            r"experiment quick: duration_s x rate_per_s is above 50,000,000 sends: more than one plan holds",
        ),
        (["run", "quick", "--users", "many"], r"argument --users: invalid int value: 'many'; see .*"),
        (["run", "quick", "--duration", "nan"], r"--duration must be a number of at least 1"),
        (
            ["run", "quick", "--duration", "3"],
            r"experiment quick: 3 s are too short for any of its faults; \d+ s hold one",
        ),
        (["run", "quick", "--seed", "-1"], r"argument --seed: a whole number from 0 to 2\^63-1, not '-1'; see .*"),
        (["run", "quick", "--seed", str(1 << 63)], r"argument --seed: .*"),
        (["run", "quick", "--variant", "good"], r"no variant 'good'; there are ack_before_durable, .*"),
        (["run", "quick", "--variant", "redis_inc"], r"no variant 'redis_inc'; perhaps redis_incr"),
        (["run", "quick", "--profile", "moon"], r"no profile 'moon'; there are embedded.*"),
        (["run", "quick", "--colour"], r"unrecognized arguments: --colour; see petrel --help"),
        (["limits", "--first", "1"], r"--first is from 10 to 100000"),
        (["bench", "nothing"], r"no bench 'nothing'; there are fanout, storm.*"),
        (["bench", "fanout", "--points", "2,many"], r"argument --points: whole numbers with commas between, .*"),
        (["bench", "fanout", "--points", "99999"], r"--points are from 0 to 20000"),
        (["bench", "fanout", "--duration", "0"], r"--duration is from 1 to 3600, not 0"),
        (["bench", "fanout", "--variant", "good"], r"no variant 'good'; there are .*"),
        (["up", "--dir", ""], r"argument --dir: the path is empty; see petrel up --help"),
        (["verify", ""], r"argument RUN_DIR: the path is empty; .*"),
        (["limits", "--out", "/etc"], r"/etc: not empty; each run has a directory of its own"),
        (["replay", "/nowhere"], r"/nowhere/schedule.yaml: No such file or directory"),
        (["verify"], r"verify takes either RUN_DIR or --history FILE"),
        (["verify", "/nowhere"], r"/nowhere/history: no such directory.*"),
        (["verify", "--history", "/nowhere"], r"/nowhere: .*"),
        (["verify", "a", "--history", "b"], r"verify takes either RUN_DIR or --history FILE"),
        (["modes", "--run", "gateway_crsh"], r"no mode 'gateway_crsh'; perhaps gateway_crash.*"),
        (["capacity", "--users", "5"], r"petrel capacity is now petrel limits"),
        (["history", "/nowhere"], r"/nowhere/history: no such directory.*"),
        (["history", "/nowhere", "--format", "xml"], r"argument --format: invalid choice: 'xml'.*"),
        (["faults", "--profile", "moon"], r"no profile 'moon'; there are embedded.*"),
        (["up", "--profile", "moon"], r"no profile 'moon'; there are embedded.*"),
        (["up", "--variant", "good"], r"no variant 'good'; there are .*"),
        (["ui", "--users", "0"], r"--users is from 1 to 100000, not 0"),
        (["ui", "--port", "70000"], r"port 127\.0\.0\.1:70000: ports are 1 to 65535; give another --port, .*"),
    ],
)
def test_wrong_usage_is_64_and_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str], said: str) -> None:
    status, line = complaint(capsys, *arguments)
    assert status == 64
    assert re.fullmatch(said, line), line


def test_a_history_that_names_no_such_check_is_the_user_s_mistake(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "history.jsonl"
    path.write_text('{"e":"meta","checks":["odour"]}\n')
    status, line = complaint(capsys, "verify", "--history", str(path))
    assert status == 64
    assert line.startswith(f"{path}: the meta line names a check 'odour'; there are acked_lost, ")


def test_a_page_s_port_in_use_is_told_before_anything_is_started(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert complaint(capsys, "ui", "--port", str(port)) == (
            64,
            f"port 127.0.0.1:{port}: Address already in use; give another --port, or none for a free one",
        )


@pytest.mark.parametrize("command", ["status", "down"])
def test_without_a_system_the_line_says_how_to_start_one(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, command: str
) -> None:
    assert complaint(capsys, command, "--dir", str(tmp_path)) == (
        70,
        f"no system in {tmp_path}; start one with: petrel up --dir {tmp_path}",
    )


def test_malformed_yaml_names_file_and_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\nusers: [1\n")
    status, line = complaint(capsys, "run", str(path))
    assert status == 64
    assert line.startswith(f"{path}:3: ")


def test_a_misspelt_target_is_refused_before_anything_is_started(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "mine.yaml"
    fault = "{name: gateway_crash, for_s: [1, 2], targets: [gateway-l]}"
    path.write_text(f"name: mine\nsummary: s\nusers: 10\nduration_s: 60\nfaults: [{fault}]\n")
    out = tmp_path / "out"
    said = f"{path}:5: faults[0].targets[0]: no target 'gateway-l'; perhaps gateway-3, gateway-2"
    status, line = complaint(capsys, "run", str(path), "--out", str(out))
    assert (status, line) == (64, said)
    assert not out.exists()


def test_a_copy_of_a_system_s_directory_is_not_taken_for_it(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    original, copy = tmp_path / "up", tmp_path / "copy"
    original.mkdir()
    save(Topology(run_id="r", profile="embedded", dir=str(original), services=(), token_key="00", api_key="k"))
    shutil.copytree(original, copy)
    for command in ("down", "status"):
        assert complaint(capsys, command, "--dir", str(copy)) == (
            64,
            f"{copy} is a copy; the system it names is in {original}",
        )


def test_up_on_a_full_disk_says_so_at_once(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage._replace(free=1 << 20))
    directory = tmp_path / "up"
    status, line = complaint(capsys, "up", "--dir", str(directory))
    assert status == 70
    assert line == f"free disk: 0.0 GiB at {tmp_path}; free 1.0 GiB, or choose another directory"
    assert not directory.exists()


@pytest.mark.parametrize("command", ["faults", "variants", "doctor"])
def test_with_json_the_last_line_is_one_value(capsys: pytest.CaptureFixture[str], command: str) -> None:
    cli.main([command, "--json"])
    rows = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert len(rows) > 5
    assert all(row["name" if command != "doctor" else "what"] for row in rows)


def test_a_new_file_is_a_new_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "greet.py").write_text(
        "from chaos.cli.command import as_json, command\n"
        "@command('greet', 'say hello', as_json)\n"
        "def greet(options):\n    print('hello', options.json)\n    return 0\n"
    )
    monkeypatch.setattr(commands, "__path__", [*commands.__path__, str(tmp_path)])
    monkeypatch.setattr(registry, "COMMANDS", dict(registry.COMMANDS))
    assert cli.main(["greet", "--json"]) == 0
    assert capsys.readouterr().out == "hello True\n"


def test_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"petrel {version('stormpetrel')}\n"


def test_control_characters_of_others_do_not_reach_the_terminal(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert complaint(capsys, "run", "\x1b[2Jquick\x07")[1].startswith("no experiment '\\x1b[2Jquick\\x07'")
    assert errors.printable("a\x1b[31m\x9b\u202eb\n\u00e9") == "a\\x1b[31m\\x9b\\u202eb\\n\u00e9"


def test_a_history_goes_to_a_place_that_is_there(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "history").mkdir(parents=True)
    (run / "history" / "meta.jsonl").write_text('{"e":"meta"}\n')
    out = tmp_path / "nowhere" / "history.jsonl"
    for kind in ("jsonl", "parquet"):
        status, line = complaint(capsys, "history", str(run), "--format", kind, "--out", str(out))
        assert (status, line) == (64, f"{out}: No such file or directory")


def test_an_out_directory_must_be_ours_to_write_and_empty(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter").touch()
    (tmp_path / "file").touch()
    for out, said in (
        (tmp_path / "full", "not empty; each run has a directory of its own"),
        (tmp_path / "file", "is there already and is no directory"),
        (tmp_path / "file" / "below", "cannot be made: Not a directory"),
        (Path("/proc/petrel"), "cannot be made: No such file or directory"),
    ):
        assert cli.main(["run", "quick", "--json", "--out", str(out)]) == 64
        seen = capsys.readouterr()
        assert seen.out == ""
        assert seen.err.splitlines()[-1] == f"petrel: {out}: {said}"
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["letter"]


def test_without_a_redis_server_the_line_says_how_to_get_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from sut.deploy.servers import binaries

    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(binaries, "_in_wheel", lambda: None)
    status, line = complaint(capsys, "run", "quick")
    assert status == 64
    assert line.startswith("no redis-server on PATH")
    assert line.endswith(binaries.REDIS_COMMAND)


def test_a_bug_is_one_line_with_the_place_of_its_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumble(_profile: str) -> None:
        raise ZeroDivisionError("over\nthe edge")

    monkeypatch.setattr(sketch, "offers", stumble)
    status, line = complaint(capsys, "faults")
    assert status == 70
    found = re.fullmatch(r"a bug in the harness: ZeroDivisionError: over the edge; traceback in (\S+)", line)
    assert found
    log = Path(found[1])
    assert "ZeroDivisionError" in log.read_text()
    log.unlink()


def test_a_full_disk_is_no_bug(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def stumble(_profile: str) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/x")

    monkeypatch.setattr(sketch, "offers", stumble)
    assert complaint(capsys, "faults") == (70, "/x: No space left on device")


@pytest.mark.parametrize("profile", ["embedded", "cluster"])
def test_faults_lists_them_all_and_starts_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, profile: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    assert cli.main(["faults", "--profile", profile]) == 0
    assert list(tmp_path.iterdir()) == []
    seen = capsys.readouterr()
    assert seen.err == ""
    for name in FAULTS:
        assert name in seen.out


def test_help_needs_no_heavy_module_and_is_quick() -> None:
    script = "import sys; from chaos.cli import petrel; petrel._parser(); print(*sys.modules)"
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert not {"polars", "numpy", "redis", "rich", "locust", "toxiproxy", "load.history.writer"} & set(shown.split())


def test_help_names_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["run", "--help"])
    shown = capsys.readouterr().out
    for name in (*experiment.names(), *PROFILES):
        assert re.search(rf"\b{name}\b", shown), name


def test_output_into_a_closed_pipe_is_no_traceback_and_no_verdict() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run(
        [sys.executable, "-m", "chaos.cli.petrel", "faults"],
        stdout=writer, stderr=subprocess.PIPE, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_in_a_pipe_a_row_is_a_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert cli.main(["faults"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1 + len(FAULTS)
