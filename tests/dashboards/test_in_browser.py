"""The report in Chromium: no overflow, no violation of axe-core, light and dark, wide and on a phone; opens at once."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos.verdict.judge import judge
from dashboards.report import render
from load.history.control import Machine
from tests.dashboards.made_up import START_NS, made_up_history, write_metrics
from tests.dashboards.test_report import TOOTHLESS, TROUBLES
from tests.kit.axe import violations
from tests.kit.browser import CHROMIUM, Page, browser
from tests.kit.pace import scaled

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH")]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser(tmp_path_factory.mktemp("browser")) as opened:
        yield opened
        assert not opened.errors


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with everything on it: faults of both kinds, a story, processes, commands."""
    run = tmp_path_factory.mktemp("run")
    history = made_up_history(messages=4000, troubles=(*TROUBLES, TOOTHLESS), lose=700)
    write_metrics(run, services=("gateway-1", "gateway-2", "chat-1"), duration_s=60)
    (run / "schedule.yaml").write_text("")
    (run / "swarm.json").write_text('{"users": 30, "duration_s": 60.0, "rate_per_s": 66.5}')
    return render(judge(history), history, run)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_everybody_can_read_it(page: Page, report: Path, width: int, dark: bool) -> None:
    page.resize(width, dark=dark)
    page.open(report.as_uri())
    assert violations(page) == []
    assert page.run("document.documentElement.scrollWidth <= innerWidth")
    outside = page.run(
        "[...document.querySelectorAll('.plot svg, .stack td, .mix svg')].filter(e => e.checkVisibility() && "
        "e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 80))"
    )
    assert outside == []
    shown = page.run("[...document.querySelectorAll('.frame')].filter(e => e.checkVisibility()).map(e => e.className)")
    assert set(shown) == {"frame wide" if width == 1280 else "frame narrow"}
    smallest = page.run(
        "Math.min(...[...document.querySelectorAll('.plot svg')].filter(e => e.checkVisibility())"
        ".map(e => e.getBoundingClientRect().width / e.viewBox.baseVal.width))"
    )
    assert smallest > 0.8, "text of 12 units is readable"


def test_the_keys_read_every_plot(page: Page, report: Path) -> None:
    page.resize(1280)
    page.open(report.as_uri())
    page.run("document.querySelector('.plot .wide svg[tabindex]').focus()")
    page.run("document.activeElement.dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowRight', bubbles: true}))")
    assert page.run("document.querySelector('.moment').textContent").startswith("at ")
    cursors = (
        "[...document.querySelectorAll('.cursor')].filter(e => e.checkVisibility()).map(e => e.getAttribute('x1'))"
    )
    assert len(set(page.run(cursors))) == 1


def test_a_long_run_opens_at_once_and_is_small(page: Page, tmp_path: Path) -> None:
    history = made_up_history(messages=90_000, devices=3000, duration_s=3600, troubles=TROUBLES)
    write_metrics(tmp_path, services=tuple(f"service-{place}" for place in range(30)), duration_s=3600)
    path = render(judge(history), history, tmp_path)
    assert path.stat().st_size < 2_500_000
    page.resize(1280)
    began_s = time.monotonic()
    page.open(path.as_uri())
    assert time.monotonic() - began_s < scaled(2)


def test_the_slowest_steady_delivery_is_explained_by_what_was_near(tmp_path: Path) -> None:
    history = made_up_history(messages=3000, troubles=TROUBLES)
    text = render(judge(history), history, tmp_path).read_text()
    assert "The slowest steady delivery took " in text
    assert "itself woke" not in text
    due_s = float(text.partition("The slowest steady delivery took ")[2].partition("was due at ")[2].partition(" s")[0])
    stall = Machine(t=START_NS + round(due_s * 1e9), process="swarm-7", span_s=1.0, stalls_s=(0.03, 0.9))
    with_stall = type(history)(**{**vars_of(history), "machine": (stall,)})
    text = render(judge(with_stall), with_stall, tmp_path).read_text()
    assert "when swarm-7 itself woke 900 ms late" in text


def vars_of(history: object) -> dict[str, object]:
    return {name: getattr(history, name) for name in type(history).__dataclass_fields__}  # type: ignore[attr-defined]
