"""Pushes of our own runs: where they are recorded, and that none at all proves something there."""

import json
from pathlib import Path

from chaos.verdict.checks import CHECKS
from chaos.verdict.history.history import load_run
from tests.chaos.verdict.help import Line, history_of

S = 1_000_000_000
LINES: list[Line] = [
    {"e": "device", "t": 0, "device": 1, "user": 1},
    {"e": "device", "t": 0, "device": 2, "user": 2},
    {"e": "member", "t": 0, "conv": 7, "user": 1, "op": "add", "seq": 0},
    {"e": "member", "t": 0, "conv": 7, "user": 2, "op": "add", "seq": 0},
    {"e": "online", "t": 1 * S, "device": 1},
    {"e": "online", "t": 1 * S, "device": 2},
    {"e": "offline", "t": 2 * S, "device": 2},
    {"e": "send", "t": 3 * S, "due": 3 * S, "device": 1, "conv": 7, "msg": 5, "hash": 6},
    {"e": "ack", "t": 4 * S, "device": 1, "conv": 7, "msg": 5, "seq": 1},
    {"e": "show", "t": 4 * S, "device": 1, "conv": 7, "msg": 5, "seq": 1, "hash": 6},
    {"e": "online", "t": 20 * S, "device": 2},
]
PUSH: Line = {"e": "push", "t": 5 * S, "device": 2, "conv": 7, "seq": 1, "provider": "apns", "token": "00"}


def test_a_run_that_records_pushes_and_has_none_is_judged() -> None:
    assert CHECKS["push"](history_of(LINES)).detail == "nothing to check"
    found = CHECKS["push"](history_of([{"e": "meta", "t": 0, "push": True}, *LINES]))
    assert (found.verdict, found.anomalies) == ("invalid", 1)
    assert CHECKS["push"](history_of([{"e": "meta", "t": 0, "push": True}, *LINES, PUSH])).verdict == "valid"


def test_a_push_from_before_the_session_is_none_to_somebody_online() -> None:
    later = [{**line, "t": line["t"] + 30 * S} for line in LINES if line["e"] in ("send", "ack", "show")]
    lines = [line for line in LINES if line["e"] not in ("send", "ack", "show")]
    early = {**PUSH, "t": 10 * S}
    assert CHECKS["push"](history_of([*lines, *later, early])).verdict == "valid"
    assert CHECKS["push"](history_of([*lines, *later, {**early, "t": 25 * S}])).verdict == "invalid"


def test_what_the_stand_ins_accepted_is_in_the_history_of_a_run(tmp_path: Path) -> None:
    (tmp_path / "history").mkdir()
    (tmp_path / "history" / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in LINES))
    assert load_run(tmp_path).events.height == len(LINES)
    (tmp_path / "pushes").mkdir()
    (tmp_path / "pushes" / "provider-1.jsonl").write_text(json.dumps(PUSH) + "\n" + '{"e":"push","t":')
    history = load_run(tmp_path)
    assert history.events.height == len(LINES) + 1
    assert [hole.process for hole in history.holes] == ["provider-1"]
    assert CHECKS["push"](history).verdict == "valid"
