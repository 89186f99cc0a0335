"""The latency budget on the page and in its file: complete, in words too, and silent where nothing was traced."""

import re
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest

from chaos.verdict.history.history import load_run
from chaos.verdict.judge import judge
from dashboards.report import render
from dashboards.report.budget import BAR, LABELS, TOTALS, budget_view
from dashboards.report.hops import HOPS, Budget, Mix, Share, Spread, measure
from dashboards.report.svg import WIDTH
from sut.process.trace import Hop
from tests.dashboards.traced import EVERY, MACHINE, TracedRun, ns


def busy(path: Path) -> TracedRun:
    """Group messages each second, one of them in a fault window and slow to append."""
    run = TracedRun(path)
    run.fault("chat_crash", 9_900, 11_000)
    for turn in range(30):
        run.message(4 * turn + 3, due_ms=turn * 1000, append=704 if turn == 10 else 4, readers=(2, 3))
    return run


def page_of(run: TracedRun) -> tuple[str, Path]:
    directory = run.write()
    history = load_run(directory)
    return render(judge(history), history, directory).read_text(), directory


def section(page: str) -> str:
    found = re.search(r'<section id="hops">.*?</section>', page, re.DOTALL)
    return found.group(0) if found else ""


def test_the_page_shows_each_hop_when_steady_and_in_fault_windows(tmp_path: Path) -> None:
    page, _ = page_of(busy(tmp_path / "run"))
    shown = section(page)
    assert '<a href="#hops">' in page
    assert f"one message in {EVERY}" in shown
    rows = dict(re.findall(r'<tr><th scope="row">([\w-]+)</th>(.*?)</tr>', shown))
    assert list(rows) == ["wait", "gateway", "chat", "append", "apply", "notify", "receive", "fetch", "show", "all"]
    values = re.findall(r"<td class=\"n.*?\">(.*?)</td>", rows["append"])
    assert values[:3] == ["4", "4", "4"]
    assert values[6] == "704"
    assert int(values[3]) + int(values[7]) == 60
    assert re.findall(r"<td class=\"n.*?\">(.*?)</td>", rows["all"])[0] == "36.5"
    assert "60 of 60 deliveries of traced messages are timed." in shown
    assert "the largest difference is 0.000 ms" in shown


def test_the_file_holds_what_the_page_shows(tmp_path: Path) -> None:
    _, directory = page_of(busy(tmp_path / "run"))
    written = msgspec.json.decode((directory / "metrics" / "hops.json").read_bytes(), type=Budget)
    assert written == measure(load_run(directory), directory)
    assert written.faults is not None
    assert written.faults.hops["append"].max == 704


def test_bars_are_whole_named_and_in_words(tmp_path: Path) -> None:
    page, _ = page_of(busy(tmp_path / "run"))
    picture = ElementTree.fromstring(re.findall(r"<svg.*?</svg>", section(page), re.DOTALL)[0])
    bars: dict[str, float] = {}
    for bar in picture.iter("rect"):
        assert float(bar.attrib["height"]) == BAR
        bars[bar.attrib["y"]] = bars.get(bar.attrib["y"], 0.0) + float(bar.attrib["width"])
    assert len(bars) == 4
    for width in bars.values():
        assert width == pytest.approx(WIDTH - LABELS - TOTALS, abs=1)
    words = picture.findtext("desc") or ""
    assert "Steady, around p50 (36.5 ms): fetch 8 ms, receive 7 ms" in words
    assert "Fault windows, around p99 (736 ms): append 704 ms" in words
    assert {bar.findtext("title", "").partition(":")[0] for bar in picture.iter("rect")} <= {hop.name for hop in HOPS}


def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    run = busy(tmp_path / "run")
    run.message(123, due_ms=40_000, readers=(2, 3), without=(Hop.APPLIED,))
    page, _ = page_of(run)
    assert "60 of 62 deliveries of traced messages are timed" in page
    assert "left out: 2 (the sequencer&#39;s stamp is lost)" in page


def test_there_is_a_sentence_where_clocks_cannot_be_compared(tmp_path: Path) -> None:
    run = busy(tmp_path / "run")
    run._stamps["chat-1"][0] = (ns(-10_000), MACHINE + 1, EVERY, 0, 0, Hop.START)
    page, directory = page_of(run)
    assert "There is no latency budget: the processes did not run on one machine" in section(page)
    assert "<table" not in section(page)
    assert msgspec.json.decode((directory / "metrics" / "hops.json").read_bytes())["steady"] is None


def test_an_untraced_run_says_nothing_of_it(tmp_path: Path) -> None:
    run = TracedRun(tmp_path / "run")
    run.event(5, 0, device=1, conv=2, msg=3)
    page, directory = page_of(run)
    assert "hops" not in re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    assert list((directory / "metrics").iterdir()) == []
    assert budget_view(None) is None


def test_numbers_of_nothing_are_drawn_as_nothing() -> None:
    spread = {hop.name: Spread(p50=0, p99=0, max=0, mean=0, n=1) for hop in HOPS}
    share = Share(deliveries=1, messages=1, end_to_end=spread["wait"], hops=spread, near_p50=Mix(), near_p99=Mix())
    view = budget_view(Budget(every=1, traced=1, complete=1, steady=share))
    assert view is not None
    assert view.picture is not None
    assert "<rect" not in view.picture
    assert not view.faults
