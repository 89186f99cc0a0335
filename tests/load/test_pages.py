"""Locust's page and the ledger as a person sees them, in headless Chromium: two tests, one after the other."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.browser import CHROMIUM, Page, browser
from tests.kit.waits import wait_until
from tests.load.test_byhand import Start, Web, judged, system

__all__ = ["system"]
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH")
ASKS_EVERY_S = 2.0
"""Locust's page asks for the state so often, while it is told that a test goes on."""


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    with browser(tmp_path / "browser") as opened:
        yield opened


def start(page: Page, users: int) -> None:
    page.fill("userCount", users)
    page.fill("spawnRate", 50)
    page.press("start")


def follows(page: Page, web: Web) -> None:
    """The page shows a test that goes on, also after it has asked for some time."""
    wait_until(lambda: web.ledger()["sends"] > 30, told=page.text)
    until_s = time.monotonic() + 2.5 * ASKS_EVERY_S
    while time.monotonic() < until_s:
        assert "stop" in page.buttons(), page.text()
        assert "RUNNING" in page.text()
        time.sleep(0.2)


def end(page: Page, web: Web) -> None:
    page.press("stop")
    wait_until(lambda: "new" in page.buttons(), 60, told=page.text)
    wait_until(lambda: web.ledger()["report"], 60)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("split", [pytest.param([], marks=pytest.mark.long), ["--processes", "2"]])
def test_locust_s_page_follows_two_tests_and_the_ledger_links_to_their_reports(
    locust: Start, chat, system: Path, page: Page, split: list[str]
) -> None:
    web = Web(locust, system, *split)
    page.open(web.url)
    for run in (1, 2):
        chat.create_s = 2.0  # some seconds until the test begins, in which the page asks
        if run == 2:
            page.press("new")
        start(page, 10)
        follows(page, web)
        chat.create_s = 0.0
        end(page, web)
        judged(system / f"swarm-{run}")
    assert not page.errors
    page.open(f"{web.url}/petrel")
    ledger = "document.querySelector('petrel-ledger')?.shadowRoot"

    def shown() -> str:
        return str(page.run(f"{ledger}?.textContent ?? ''"))

    wait_until(lambda: "Test swarm-2" in shown() and "phaseended" in shown(), told=shown)
    assert "still to be delivered" not in shown()
    link = f"{ledger}.getElementById('report')"
    assert page.run(f"{link}.offsetParent !== null && {link}.textContent") == "The report of this run"
    page.open(page.run(f"{link}.href"))
    assert "by-hand" in page.text()
    assert not page.errors
