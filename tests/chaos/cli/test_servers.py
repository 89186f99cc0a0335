"""Servers that somebody else runs, from the command line: every mistake is one line, before anything is started."""

import re
import socket
from pathlib import Path

import pytest

from chaos.cli import petrel as cli


def complaint(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    status = cli.main(arguments)
    seen = capsys.readouterr()
    assert seen.out == ""
    assert seen.err.count("\n") == 1, seen.err
    return status, seen.err.removeprefix("petrel: ").rstrip("\n")


@pytest.mark.parametrize("command", [["up"], ["run", "quick"]])
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--kafka", "broker"], "--kafka: 'broker' is not HOST:PORT"),
        (["--kafka", ""], "--kafka: '' is not HOST:PORT"),
        (["--cassandra", "a:1,b"], "--cassandra: 'b' is not HOST:PORT"),
        (["--sentinels", "a:99999"], "--sentinels: 'a:99999' is not HOST:PORT"),
        (["--sentinels", "redis://a:1"], "--sentinels: 'redis://a:1' is not HOST:PORT"),
        (["--topic", "t"], "--topic goes with --kafka"),
        (["--keyspace", "k"], "--keyspace goes with --cassandra"),
        (["--log-id", "x"], "--log-id goes with --cassandra"),
        (["--redis-master", "m"], "--redis-master goes with --sentinels"),
        (["--kafka", "a:1", "--topic", "no spaces"], "--topic: 'no spaces' is no name there: up to 249 letters.*"),
        (["--cassandra", "a:1", "--keyspace", "Upper"], "--keyspace: 'Upper' is no name there: a letter, then .*"),
    ],
)
def test_what_is_no_address_or_name_is_wrong_usage(
    capsys: pytest.CaptureFixture[str], command: list[str], options: list[str], said: str
) -> None:
    status, line = complaint(capsys, *command, "--profile", "cluster", *options)
    assert status == 64
    assert re.fullmatch(said, line), line


def test_a_profile_without_such_servers_cannot_have_anothers(capsys: pytest.CaptureFixture[str]) -> None:
    assert complaint(capsys, "up", "--kafka", "a:1") == (64, "profile embedded has no kafka; try --profile cluster")


def test_a_server_that_does_not_answer_ends_the_start(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        nobody = f"127.0.0.1:{bound.getsockname()[1]}"
        directory = tmp_path / "up"
        for option, kind in (("--kafka", "kafka "), ("--cassandra", "cassandra "), ("--sentinels", "sentinel ")):
            status, line = complaint(capsys, "up", "--profile", "cluster", "--dir", str(directory), option, nobody)
            assert status == 70
            assert line.startswith(f"{kind}{nobody}: ")
            assert "refused" in line
    assert not directory.exists()
