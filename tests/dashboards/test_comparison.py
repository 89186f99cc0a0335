"""The page that compares two runs: whole, offline, escaped, and it says what the comparison says."""

from pathlib import Path

import msgspec

from chaos.verdict.checks import latency
from chaos.verdict.comparison import Run, compare
from chaos.verdict.judge import judge
from dashboards import comparison
from tests.dashboards.made_up import Trouble, made_up_history
from tests.dashboards.test_report import SCRIPT, Reader


def test_two_runs_on_a_page(tmp_path: Path) -> None:
    crash = Trouble(name="crash", target="a-1", at_s=20, for_s=4)
    sides = []
    for name, troubles in ((f"runs/{SCRIPT}", (crash,)), ("runs/b", ())):
        history = made_up_history(messages=4000, troubles=troubles)
        steady = latency.steady(history).select("due", "latency_ns")
        sides.append((Run(run_dir=name, verdict=judge(history), steady=steady), history))
    (a, history_a), (b, history_b) = sides
    found = compare(a, b, worse_by=0.5)
    path = comparison.render(tmp_path / "page.html", found, (a.verdict, history_a), (b.verdict, history_b))
    assert path == tmp_path / "page.html"
    assert [file.name for file in tmp_path.iterdir()] == ["page.html"]
    text = path.read_text()
    page = Reader(text)
    assert found.verdict == "valid" and found.why in page.text
    assert SCRIPT not in text and "//" not in text.partition("<body>")[2].partition("<script")[0]
    p99 = next(figure for figure in found.figures if figure.name == "p99")
    assert f"{p99.low:.2f} to {p99.high:.2f}" in page.text
    assert "crash p99 of its worst second, ms" in page.text
    assert page.count("svg") > 3
    assert msgspec.json.decode(msgspec.json.encode(found))["verdict"] == "valid"
