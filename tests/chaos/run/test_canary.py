"""The hunt for plaintext: every form is found wherever it stands, and the check that judges by it."""

from __future__ import annotations

import base64
import json
import os
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.run.canary import Hunt, forms, new_mark, search
from chaos.verdict import canary as results
from chaos.verdict.canary import Canary, Place
from chaos.verdict.checks import leaks
from chaos.verdict.history.history import History, load_jsonl

MARK = b"Ab3dEf6hIj9lMn2p"
GOOD = Path(__file__).parents[1] / "verdict/histories/good/plain.jsonl"


@given(before=st.binary(max_size=40), after=st.binary(max_size=40), mark=st.binary(min_size=16, max_size=16))
def test_base64_is_found_at_every_alignment(before: bytes, after: bytes, mark: bytes) -> None:
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        found = list(search(encode(before + mark + after), forms(mark), "x"))
        assert [place.form for place in found][:1] == ["base64"]


@pytest.mark.parametrize(
    ("text", "form"),
    [
        (b"..." + MARK + b"...", "raw"),
        (json.dumps({"body": MARK.decode()}).encode(), "raw"),
        (repr(b"\x00\xff" + MARK).encode(), "raw"),
        (b"0x" + MARK.hex().encode(), "hex"),
        (MARK.hex().upper().encode(), "hex"),
    ],
)
def test_other_forms_are_found(text: bytes, form: str) -> None:
    (place,) = search(text * 2, forms(MARK), "x")
    assert (place.form, place.times) == (form, 2)
    assert not list(search(text.replace(b"3", b"4").replace(b"33", b"44"), {MARK: "raw"}, "x"))


def hunted(directory: Path) -> Canary:
    hunt = Hunt(directory, canary=MARK.decode(), tracer="Tracer0Tracer0Tr")
    hunt.files()
    return hunt.save()


def test_files_are_searched_and_what_holds_it_on_purpose_is_not(tmp_path: Path) -> None:
    (tmp_path / "swarm.json").write_bytes(MARK)
    (tmp_path / "data").mkdir()
    connection = sqlite3.connect(tmp_path / "data" / "store.db")
    connection.execute("CREATE TABLE t (body BLOB)")
    connection.execute("INSERT INTO t VALUES (?)", (os.urandom(500) + b"Tracer0Tracer0Tr",))
    connection.commit()
    (tmp_path / "empty").touch()
    clean = hunted(tmp_path)
    assert clean.found == ()
    assert clean.tracer[0].where == "data/store.db"
    connection.execute("INSERT INTO t VALUES (?)", (b"head" + MARK,))
    connection.commit()
    connection.close()
    assert {place.where for place in hunted(tmp_path).found} == {"data/store.db"}
    assert results.load(tmp_path) == hunted(tmp_path)
    (tmp_path / results.NAME).write_text("[]")
    with pytest.raises(results.CanaryError):
        results.load(tmp_path)


def judged(canary: Canary | None) -> tuple[str, int, str]:
    history = load_jsonl(GOOD)
    changed = History(**{**vars(history), "canary": canary}) if canary is not None else history
    finding = leaks.check(changed)
    return finding.verdict, finding.anomalies, finding.detail


def test_the_check_judges_by_what_was_found() -> None:
    place = Place(where="data/log-00.db", form="raw", at=17, times=3)
    seen = Canary(tracer=(place,), tracer_expected=True, files=9, bytes=10_000_000, keys=4)
    assert judged(None)[0] == "valid"
    verdict, anomalies, detail = judged(seen)
    assert (verdict, anomalies) == ("valid", 0)
    assert "no plaintext in 9 files and 4 Redis keys (10 MB)" in detail
    verdict, anomalies, _ = judged(Canary(found=(place,), tracer=(place,), tracer_expected=True))
    assert (verdict, anomalies) == ("invalid", 1)
    assert judged(Canary(tracer_expected=True, files=9))[0] == "unknown", "blind"
    assert judged(Canary(tracer=(place,), tracer_expected=True, unsearched=("redis-1: away",)))[0] == "unknown"
    assert judged(Canary(files=9))[0] == "valid", "everybody encrypts: no tracer is due"


def test_marks_differ_and_are_letters_and_digits() -> None:
    marks = {new_mark() for _ in range(100)}
    assert len(marks) == 100
    assert all(mark.isalnum() and mark.isascii() and len(mark) == 16 for mark in marks)
