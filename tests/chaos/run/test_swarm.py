"""What the runner says of a swarm that ended."""

from pathlib import Path

from chaos.run.swarm import last_line

START = "[2026-11-25 19:52:14,283] here/INFO/locust.main: Starting Locust 2.47.0\n"
ERROR = "[2026-11-25 19:52:16,213] here/ERROR/petrel: /x/swarm-1.bin: No space left on device\n"
END = "[2026-11-25 19:52:16,410] here/INFO/locust.runners: The last worker quit, stopping test.\n"


def test_the_error_is_told_and_not_what_locust_says_after_it(tmp_path: Path) -> None:
    log = tmp_path / "swarm.log"
    assert last_line(log) == "it has no log"
    log.touch()
    assert last_line(log) == "it wrote nothing"
    log.write_text(START + END)
    assert last_line(log) == END.strip()
    log.write_text(START + ERROR + END)
    assert last_line(log) == ERROR.strip()
