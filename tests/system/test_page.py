"""The tabs of the web UI over a real system, in Chromium: break and heal by buttons, edit, two tests, an experiment.

With PETREL_PICTURES=DIR the pictures of every tab are kept there; docs/pictures has some of them.
"""

import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from load.history.control import ControlReader, Fault, Plan
from sut.deploy import system as deploy
from sut.deploy.system import System
from sut.deploy.topology import Settings
from tests.kit.axe import violations
from tests.kit.browser import CHROMIUM, Page, browser
from tests.kit.pace import scaled
from tests.kit.waits import wait_until
from tests.load.locusts import Started
from tests.load.test_byhand import Web

pytestmark = [
    pytest.mark.long,  # two tests and an experiment by hand, each settled and judged
    pytest.mark.timeout(600),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH"),
]
THEMES = ("light", "dark")
TABS = ("ledger", "latency", "chaos", "topology", "verdict")


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    started = deploy.start(
        profile="embedded", directory=tmp_path_factory.mktemp("up") / "up", settings=Settings(heartbeat_s=5.0),
        on_progress=lambda *_text: None, on_waiting=lambda *_names: None,
    )  # fmt: skip
    yield started
    started.stop()


@pytest.fixture
def web(system: System, tmp_path: Path) -> Iterator[Web]:
    made: list[Started] = []

    def start(*arguments: str) -> Started:
        made.append(Started(tmp_path, *arguments, **system.environment()))
        return made[-1]

    yield Web(start, system.topology.path, "--processes", "2", "--petrel-rate", "12")
    for one in made:
        one.process.send_signal(signal.SIGTERM)
        one.process.wait(scaled(90))  # a test that goes on is settled and judged first


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    with browser(tmp_path / "browser") as opened:
        yield opened
        assert not opened.errors


class Tab:
    """One of the tabs, wherever it is shown."""

    def __init__(self, page: Page, name: str) -> None:
        self._page, self._root = page, f"document.querySelector('petrel-{name}').shadowRoot"
        wait_until(lambda: page.run(f"!!document.querySelector('petrel-{name}')?.shadowRoot?.querySelector('.panel')"))

    def text(self) -> str:
        """What it says, outside its styles."""
        return re.sub(r"\s+", " ", str(self._page.run(f"{self._root}.querySelector('.panel').innerText")))

    def says(self, words: str, timeout_s: float = 30) -> None:
        wait_until(lambda: words in self.text(), timeout_s, told=self.text)

    def choose(self, name: str, value: str) -> None:
        there = f"{self._root}.querySelector('[name={name}]')"
        wait_until(
            lambda: self._page.run(f"!!{there} && ({there}.options === undefined || {there}.options.length > 0)")
        )
        self._page.run(f"{there}.value = {json.dumps(value)}; {there}.dispatchEvent(new Event('change'))")
        assert self._page.run(f"{there}.value") == value

    def press(self, selector: str) -> None:
        there = f"{self._root}.querySelector({json.dumps(selector)})"
        wait_until(lambda: self._page.run(f"!!{there} && !{there}.disabled"), told=self.text)
        self._page.run(f"{there}.click()")


def locusts_tab(page: Page, name: str) -> Tab:
    """The tab in Locust's own page, opened as a person does."""
    page.run(f"[...document.querySelectorAll('[role=tab]')].find(t => t.textContent === {json.dumps(name)}).click()")
    return Tab(page, name.lower())


def faults(run: Path) -> list[Fault | Plan]:
    return [event for event in ControlReader(run / "history").poll() if isinstance(event, Fault | Plan)]


def judged(web: Web, run: Path) -> dict[str, Any]:
    wait_until(lambda: web.ledger()["report"] == f"report/{run.name}", 120, told=lambda: str(web.ledger()))
    verdict: dict[str, Any] = json.loads((run / "verdict.json").read_text())
    assert not any(verdict["counts"][key] for key in ("lost", "duplicates", "gaps", "phantoms", "leaks"))
    return verdict


def look_at(page: Page, web: Web, when: str) -> None:
    """Every tab by itself, wide and narrow: nothing runs out of the page, nothing throws."""
    kept = os.environ.get("PETREL_PICTURES")
    for name in TABS:
        page.open("about:blank")  # else only the fragment changes, and the page stays
        page.open(f"{web.url}/petrel#{name}")
        Tab(page, name)
        for width in (1280, 390):
            page.resize(width)
            wait_until(lambda: page.run(f"document.querySelector('petrel-{name}').shadowRoot.textContent.length > 200"))  # noqa: B023
            assert page.run("document.documentElement.scrollWidth <= innerWidth"), (name, width)
            for dark in (False, True):
                page.resize(width, dark=dark)
                wait_until(lambda: page.run(f"document.querySelector('petrel-{name}').dataset.theme") == THEMES[dark])  # noqa: B023
                assert violations(page) == [], (name, width, dark)
            page.resize(width)
            if kept:
                wait_until(lambda: page.run("document.fonts.status === 'loaded'"))
                page.picture(Path(kept) / f"{when}-{name}-{width}.png")
    page.resize(1280)


def test_break_and_heal_by_buttons_edit_and_two_tests(system: System, web: Web, page: Page) -> None:
    first, second = (system.topology.path / f"swarm-{number}" for number in (1, 2))
    page.open(web.url)
    page.fill("userCount", 24)
    page.fill("spawnRate", 50)
    page.press("start")
    wait_until(lambda: web.ledger()["sends"] > 40, 60, told=page.text)

    chaos = locusts_tab(page, "Chaos")
    chaos.choose("fault", "gateway_pause")
    chaos.choose("target", "gateway-2")
    chaos.choose("for", "300")
    chaos.press("#inject")
    chaos.press("#confirm")
    chaos.says("Broken now: 1")
    chaos.says("is in state T")
    web.post("/swarm", b"user_count=36&spawn_rate=50")  # what Edit sends
    wait_until(lambda: web.ledger()["devices"] == 36, 60, told=lambda: str(web.ledger()))
    chaos.press("button.heal")
    chaos.says("Nothing is broken now", scaled(60))
    steps = [(event.phase, event.ok) for event in faults(first) if isinstance(event, Fault)]
    assert steps == [("inject", True), ("heal", True)]

    ledger = locusts_tab(page, "Ledger")
    ledger.says("Test swarm-1 ●")
    wait_until(lambda: web.ledger()["outstanding"] is not None, told=lambda: str(web.ledger()))
    topology = locusts_tab(page, "Topology")
    topology.says("services run")
    assert "gateway-2" in topology.text()
    verdict = locusts_tab(page, "Verdict")
    verdict.says("No counterexample so far")
    verdict.says("duplicates", 90)
    look_at(page, web, "during")

    page.open(web.url)
    page.press("stop")
    result = judged(web, first)
    assert [(fault["name"], fault["effective"], fault["healed"]) for fault in result["faults"]] == [
        ("gateway_pause", True, True)
    ]
    assert "gateway_pause" in (first / "report.html").read_text()
    assert "sequencer-1" in (first / "report.html").read_text(), "its processes are sampled too"

    page.press("new")
    page.fill("userCount", 12)
    page.fill("spawnRate", 50)
    page.press("start")
    wait_until(lambda: web.ledger()["run"] == str(second) and web.ledger()["acked"] > 60, 60, told=page.text)
    page.press("stop")
    assert judged(web, second)["faults"] == []
    look_at(page, web, "after")
    Tab(page, "verdict").says("The report of this run")


def test_an_experiment_from_the_page_starts_breaks_heals_and_ends(system: System, web: Web, page: Page) -> None:
    page.open(f"{web.url}/petrel#chaos")
    chaos = Tab(page, "chaos")
    chaos.choose("experiment", "quick")
    chaos.choose("users", "20")
    chaos.choose("duration", "30")
    chaos.choose("seed", "5")
    chaos.press("#draw")
    chaos.says("Schedule of quick, seed 5")
    chaos.press("#start")
    chaos.press("#confirm")
    wait_until(lambda: web.ledger()["run"], 60, told=chaos.text)
    run = Path(web.ledger()["run"])
    chaos.says(f"Timeline of {run.name}", 60)
    verdict = judged(web, run)
    planned = [event for event in faults(run) if isinstance(event, Plan)]
    assert planned
    assert len(verdict["faults"]) == len(planned)
    assert all(fault["effective"] and fault["healed"] for fault in verdict["faults"]), verdict["faults"]
    assert verdict["experiment"] == "quick"
    assert verdict["seed"] == 5
    chaos.says("Nothing is broken now")
