"""The tabs in Locust's page: who may ask, what is drawn over time, and what the routes answer."""

import json
import random
import socket
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from flask import Flask, request

from load.drive.desk import Counts
from load.drive.part import Report, Reports
from load.history.latency import HALF_OCTAVES, Histogram
from load.history.recorder import Counters
from load.webui import ASSETS
from load.webui.guard import is_loopback, why_refused
from load.webui.series import MAX_POINTS, Series
from tests.kit.pace import scaled
from tests.kit.waits import wait_until
from tests.load.locusts import free_port
from tests.load.test_byhand import Start, Web, at, system

__all__ = ["system"]
HOST = "127.0.0.1:8089"


@pytest.mark.parametrize(
    ("method", "headers", "refused"),
    [
        ("POST", {}, ""),
        ("POST", {"Origin": f"http://{HOST}", "Sec-Fetch-Site": "same-origin"}, ""),
        ("POST", {"Origin": "http://evil.example"}, "a page of http://evil.example asked for it"),
        ("POST", {"Origin": "http://127.0.0.1:9000"}, "a page of http://127.0.0.1:9000 asked for it"),
        ("POST", {"Origin": "null"}, "a page of null asked for it"),
        ("POST", {"Sec-Fetch-Site": "same-site"}, "a page of another site asked for it"),
        ("GET", {"Sec-Fetch-Site": "cross-site"}, ""),
        ("POST", {"Origin": "http://[::1"}, "a page of http://[::1 asked for it"),
        ("GET", {"Host": "[::1"}, "this page listens on 127.0.0.1 and is not "),
        ("GET", {"Host": "evil.example:8089"}, "this page listens on 127.0.0.1 and is not evil.example"),
        ("GET", {"Host": "localhost:8089"}, ""),
        ("GET", {"Host": "[::1]:8089"}, ""),
    ],
)
def test_who_may_ask(method: str, headers: dict[str, str], refused: str) -> None:
    with Flask("test").test_request_context(method=method, headers={"Host": HOST, **headers}):
        assert why_refused(request, "127.0.0.1") == refused


def test_a_page_that_listens_on_an_address_answers_to_any_name() -> None:
    with Flask("test").test_request_context(headers={"Host": "petrel.example"}):
        assert not why_refused(request, "10.0.0.7")
        assert not why_refused(request, "")
    assert [is_loopback(name) for name in ("::1", "127.8.9.1", "10.0.0.7", "", "notlocalhost")] == [
        True, True, False, False, False,
    ]  # fmt: skip


def answer(url: str, method: str = "GET", body: bytes | None = None, **headers: str) -> tuple[int, dict[str, str], str]:
    asked = urllib.request.Request(url, data=body, method=method, headers=headers)
    try:
        with urllib.request.urlopen(asked, timeout=scaled(10)) as response:
            return response.status, dict(response.headers), response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), error.read().decode()


def test_other_sites_can_neither_read_nor_change_and_orders_are_checked(locust: Start, system: Path) -> None:
    web = Web(locust, system)
    evil = {"Origin": "http://evil.example"}
    for path in ("/petrel/parts", "/stats/requests", "/petrel"):
        status, headers, _ = answer(web.url + path, **evil)
        assert status == 200
        assert not [name for name in headers if name.lower().startswith("access-control")]
    for path in ("/swarm", "/stop", "/petrel/inject", "/petrel/heal", "/petrel/experiment"):
        assert answer(web.url + path, "POST", b"{}", **evil)[0] == 403
        assert answer(web.url + path, "POST", b"{}", **{"Sec-Fetch-Site": "cross-site"})[0] == 403
    assert web.ledger()["phase"] == ""
    as_json = {"Content-Type": "application/json"}
    inject = web.url + "/petrel/inject"
    assert answer(inject)[0] == 405
    assert answer(inject, "POST", b"{}", **{"Content-Type": "text/plain"})[0] == 415
    assert answer(inject, "POST", b"x" * 70_000, **as_json)[0] == 413
    status, _, text = answer(inject, "POST", b'{"fault": "gateway_crash", "for_s": 5}', **as_json)
    assert (status, json.loads(text)["text"]) == (400, "the key target is missing")
    body = b'{"fault": "gateway_crash", "target": "gateway-1", "for_s": 5}'
    status, _, text = answer(inject, "POST", body, **as_json)
    assert (status, json.loads(text)["text"]) == (409, f"no system was started in {system}")
    for name in ("topology.json", "..%2Ftopology.json", "meta.jsonl"):
        assert answer(f"{web.url}/petrel/file/swarm-1/{name}")[0] == 404
    assert answer(f"{web.url}/petrel/assets/..%2F__init__.py")[0] == 404
    for name in ASSETS:
        assert answer(f"{web.url}/petrel/assets/{name}")[0] == 200
    assert answer(web.url + "/petrel/ledger.csv")[2].startswith("t_s,sends,acked,shown,")
    assert "Traceback" not in web.started.text()


def test_the_page_listens_on_loopback_unless_it_is_told_otherwise(locust: Start, system: Path) -> None:
    port = free_port()
    started = locust("--web-port", str(port), "--petrel-dir", str(system))
    wait_until(lambda: "Starting web interface" in started.text(), told=started.text)
    wait_until(lambda: reached("127.0.0.1", port))
    addresses = {found[4][0] for found in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
    for address in addresses - {"127.0.0.1"}:
        assert not reached(str(address), port)
    assert not reached("127.0.0.2", port)


def reached(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=scaled(2)).close()
    except OSError:
        return False
    return True


def test_reports_are_cumulative_so_lost_and_late_ones_change_nothing() -> None:
    reports = Reports()

    def take(number: int, sends: int) -> None:
        reports.take("w1", Report(number=number, counters=Counters(sends=sends)))

    take(1, 10)
    take(4, 40)
    take(3, 30)  # after the one that followed it
    take(4, 40)
    assert [report.counters.sends for report in reports.newest()] == [40]
    assert (reports.taken, reports.lost) == (2, 2)


def test_what_was_shown_since_is_what_was_added() -> None:
    rng = random.Random(3)
    everything, later = Histogram(), Histogram()
    for number in range(2000):
        ns = round(10 ** rng.uniform(4, 10))
        everything.add_ns(ns)
        if number == 999:
            before = Histogram.load(everything.export())
        elif number > 999:
            later.add_ns(ns)
    since = everything.since(before)
    assert since.count == later.count == 1000
    assert [since.percentile_ms(p) for p in (50, 95, 99)] == [later.percentile_ms(p) for p in (50, 95, 99)]
    assert since.max_us == pytest.approx(later.max_us, rel=0.04)
    rows = since.half_octaves()
    assert len(rows) == HALF_OCTAVES
    assert sum(rows) == 1000
    assert rows[0] == pytest.approx(1000 * 2 / 6, rel=0.2), "10 us to 1 ms of 10 us to 10 s"


def test_a_long_test_keeps_its_counts_in_half_the_points() -> None:
    series, shown = Series(), Histogram()
    for second in range(2 * MAX_POINTS):
        shown.add_ns((1 + second % 7) * 1_000_000)
        counts = Counts(run="swarm-1", outstanding=second % 3, suspicious=0)
        series.add(100.0 + second, Counters(sends=second), Histogram.load(shown.export()), counts)
    assert series.made == 1
    assert len(series.points) == MAX_POINTS
    assert series.points[-1].sends == 2 * MAX_POINTS - 1
    assert sum(sum(point.rows) for point in series.points) == 2 * MAX_POINTS
    assert series.points[0].t_s == 1.0
    assert all(point.p50 is not None and 1 <= point.p50 <= 8 for point in series.points)
    series.add(1e5, Counters(sends=1), shown, None)
    assert series.points[-1].p50 is None
    assert series.points[-1].outstanding is None


def test_a_system_that_never_was_leaves_the_page_and_says_so(locust: Start, chat, tmp_path: Path) -> None:
    web = Web(locust, at(tmp_path, chat.api_url))
    parts = json.loads(web.get("/petrel/parts"))
    assert parts["problem"] == f"no system was started in {tmp_path}"
    assert parts["ledger"]["run"] == ""
