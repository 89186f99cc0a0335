"""The page: whole for any history, escaped, offline, small, and it says what the verdict says."""

import re
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest

from chaos.verdict.history.history import History
from chaos.verdict.judge import judge
from chaos.verdict.model import Counterexample, FaultResult, Recovery, Verdict
from dashboards.report import render
from load.history.control import Hole, Meta
from tests.dashboards.made_up import Trouble, made_up_history, write_metrics

TROUBLES = (
    Trouble(name="gateway_kill", target="gateway-2", at_s=10.2, for_s=4),
    Trouble(name="partition", target="sequencer-1->gateway-3", at_s=28.4, for_s=5, slower=20),
)
TOOTHLESS = Trouble(name="gateway_stop", target="gateway-1", at_s=45, for_s=6, effective=False, slower=1)
SCRIPT = "</script><script>alert('x\")</script>&<b>"
VOID = {"meta", "link", "input", "br"}


class Reader(HTMLParser):
    """Collects a page's elements, and checks that every element is closed where it was opened."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"script", "style"} & set(self.open):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.elements)


def page_of(verdict: Verdict, history: History, run_dir: Path) -> tuple[str, Reader]:
    path = render(verdict, history, run_dir)
    assert path == run_dir / "report.html"
    assert not list(run_dir.glob("*.partial"))
    page = path.read_text()
    return page, Reader(page)


def test_a_valid_run(tmp_path: Path) -> None:
    history = made_up_history(messages=4000, troubles=TROUBLES)
    verdict = judge(history)
    assert verdict.verdict == "valid"
    write_metrics(tmp_path, services=("gateway-1", "chat-1"), duration_s=60)
    (tmp_path / "schedule.yaml").write_text("")
    (tmp_path / "swarm.json").write_text('{"users": 30, "duration_s": 60.0, "rate_per_s": 66.5, "more": []}')
    _, page = page_of(verdict, history, tmp_path)
    assert "valid 4,000 acknowledged messages, none lost through 2 faults" in page.text
    assert (
        f"petrel run quick --profile embedded --users 30 --duration 60 --rate 66.5 --seed {verdict.seed}" in page.text
    )
    assert f"petrel replay {tmp_path}" in page.text
    assert "f2 partition sequencer-1->gateway-3" in page.text
    assert "2026-09-21" in page.text
    for check in verdict.checks:
        assert check.name in page.text
        assert check.detail in page.text
    assert "event by event" not in page.text
    assert "gateway-1" in page.text


def test_an_experiment_of_one_s_own_is_run_again_from_its_schedule_only(tmp_path: Path) -> None:
    history = made_up_history(messages=500)
    (tmp_path / "schedule.yaml").write_text("")
    page = Reader(render(judge(history), history, tmp_path, shipped=False).read_text())
    assert f"petrel replay {tmp_path}" in page.text
    assert "petrel run quick" not in page.text


def test_an_invalid_run_tells_the_story_of_its_message(tmp_path: Path) -> None:
    history = made_up_history(messages=3000, troubles=TROUBLES, lose=700)
    verdict = judge(history)
    assert verdict.verdict == "invalid"
    example = verdict.checks[0].counterexamples[0]
    _, page = page_of(verdict, history, tmp_path)
    assert "acked_lost: 1 acked message lost" in page.text
    assert "One counterexample, event by event" in page.text
    assert example.text in page.text
    assert f"device {example.devices[0]}" in page.text
    assert "and this message is not in it" in page.text
    assert "f1 gateway_kill gateway-2: injected" in page.text
    assert page.text.index("Checks") < page.text.index("Through the faults")


def test_an_unknown_run_says_what_is_missing(tmp_path: Path) -> None:
    history = made_up_history(messages=2000, troubles=(*TROUBLES, TOOTHLESS))
    verdict = judge(history)
    assert verdict.verdict == "unknown"
    _, page = page_of(verdict, history, tmp_path)
    assert "unknown vacuity: gateway_stop" in page.text
    assert "(did not take effect)" in page.text


def test_an_empty_history(tmp_path: Path) -> None:
    history = History(events=made_up_history(messages=1).events.clear())
    _, page = page_of(judge(history), history, tmp_path)
    assert "No fault was injected" in page.text
    assert f"petrel verify {tmp_path}" in page.text
    assert "petrel replay" not in page.text


def test_a_single_message(tmp_path: Path) -> None:
    history = made_up_history(messages=1, devices=3, duration_s=0.5)
    _, page = page_of(judge(history), history, tmp_path)
    assert page.count("svg") > 3


def test_holes_and_notes_are_on_the_page(tmp_path: Path) -> None:
    whole = made_up_history(messages=50)
    history = History(
        events=whole.events, phases=whole.phases,
        holes=(Hole(t=0, process="swarm-2", detail="torn record 7"),),
    )  # fmt: skip
    _, page = page_of(judge(history), history, tmp_path)
    assert "swarm-2: torn record 7" in page.text


def test_recovery_is_what_people_felt(tmp_path: Path) -> None:
    history = made_up_history(messages=50)
    fault = FaultResult(
        name="chat_crash", target="chat-2", injected_at_s=22.0, healed_at_s=24.5, effective=True, healed=True,
        evidence="", recovery_s=0.0, recovery=Recovery(felt_s=2.5, worst_p99_ms=2134.5, late=1034, worst_ms=3000),
    )  # fmt: skip
    not_felt = msgspec.structs.replace(fault, recovery=Recovery(felt_s=0, worst_p99_ms=50, late=0, worst_ms=60))
    verdict = msgspec.structs.replace(judge(history), faults=(fault, not_felt))
    _, page = page_of(verdict, history, tmp_path)
    for text in ("2.5 s", "2,134", "1,034", "3,000", "not felt"):
        assert text in page.text


def test_everything_that_comes_from_a_run_is_escaped(tmp_path: Path) -> None:
    whole = made_up_history(messages=300, lose=100)
    history = History(
        events=whole.events, own=True, phases=whole.phases, unknown_kinds={SCRIPT: 1},
        meta=Meta(experiment=SCRIPT, profile=SCRIPT, variant=SCRIPT),
    )  # fmt: skip
    verdict = judge(history)
    fault = FaultResult(
        name=SCRIPT, target=SCRIPT, injected_at_s=1, healed_at_s=None, effective=True, healed=False, evidence=SCRIPT,
        recovery_s=None,
    )  # fmt: skip
    first = verdict.checks[0]
    example = Counterexample(conv=first.counterexamples[0].conv, msg=first.counterexamples[0].msg, text=SCRIPT)
    checks = (msgspec.structs.replace(first, detail=SCRIPT, counterexamples=(example,)), *verdict.checks[1:])
    verdict = msgspec.structs.replace(verdict, faults=(fault,), checks=checks)
    (tmp_path / "metrics").mkdir()
    sample = {"t": history.start_ns, "service": SCRIPT, "rss_bytes": 1, "stats": {SCRIPT: 1}}
    (tmp_path / "metrics" / "a.jsonl").write_bytes(msgspec.json.encode(sample) + b"\n")
    (tmp_path / "schedule.yaml").write_text("")
    source, page = page_of(verdict, history, tmp_path)
    assert "<script>alert" not in source
    assert page.count("script") == 2
    assert page.count("b") == source.count("<b></b>") + source.count("<b>Stormpetrel</b>") + source.count(
        '<b class="mono">'
    )
    assert page.text.count("alert('x\")") >= 10


def test_nothing_is_fetched(tmp_path: Path) -> None:
    history = made_up_history(messages=500, troubles=TROUBLES, lose=100)
    source, page = page_of(judge(history), history, tmp_path)
    assert not re.search(r"\b(?:https?|wss?|ftp|file):|//[a-z]|@import", source.replace("// ", ""))
    for name, attributes in page.elements:
        assert name not in {"iframe", "object", "embed", "img", "base", "form"}
        assert "src" not in attributes
        target = attributes.get("href") or "#"
        assert target.startswith("#") or target == "data:,", target
    policy = next(attributes["content"] for _, attributes in page.elements if attributes.get("http-equiv"))
    assert policy is not None
    assert policy.startswith("default-src 'none'")


def test_tables_have_headers_and_pictures_have_titles(tmp_path: Path) -> None:
    history = made_up_history(messages=500, troubles=TROUBLES, lose=100)
    source, page = page_of(judge(history), history, tmp_path)
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for name, attributes in page.elements:
        if name == "th":
            assert attributes.get("scope") in {"col", "row"}
        if name == "a":
            assert (attributes.get("href") or "")[1:] in ids
        if attributes.get("role") == "img" and "aria-labelledby" in attributes:
            assert set((attributes["aria-labelledby"] or "").split()) <= set(ids)
    assert source.count("<table") == source.count("<thead>")


@pytest.mark.parametrize("messages", [90_000])
def test_a_million_events_make_a_small_page(tmp_path: Path, messages: int) -> None:
    history = made_up_history(messages=messages, devices=3000, duration_s=3600, troubles=TROUBLES)
    assert history.events.height > 1_000_000
    services = tuple(f"service-{place}" for place in range(20))
    write_metrics(tmp_path, services=services, duration_s=1200)
    _, page = page_of(judge(history), history, tmp_path)
    assert (tmp_path / "report.html").stat().st_size < 1_000_000
    assert page.count("figure") == 7
