# mypy: disable-error-code="no-untyped-call"
"""The tabs beside Locust's own in its web UI, the same pages by themselves (/petrel), their JSON, the files of runs.

Locust's React build draws a tab of `extended_tabs` by its `component`. Here that is the name of a custom element, which
a module script of ours defines, so Locust's page is extended and not changed. The counts come from the swarm's
processes and, second by second, from the history; the verdict comes from the history alone. Locust's own page is told a
state by which it goes on asking (`Pages.state`). guard.py keeps other web sites away.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

import msgspec
from flask import Flask, Response, request, send_file

from load.history.control import PHASES
from load.sentences import sentence
from load.webui.asked import Experiment, Healing, Injection
from load.webui.guard import guard
from load.webui.live import Live
from load.webui.series import Point

if TYPE_CHECKING:  # who looks at these pages without Locust must not be patched by gevent
    from locust.web import WebUI

KEY: Final = "petrel"
JUDGING: Final = "being judged"
"""The verdict of a test that has ended, until there is one."""
TABS: Final = ("Ledger", "Latency", "Chaos", "Topology", "Verdict")
ASSETS: Final = ("tabs.js", "page.js", "kit.js", "ledger.js", "latency.js", "chaos.js", "topology.js", "verdict.js",
                 "petrel.css", "page.css")  # fmt: skip
KINDS: Final = {".js": "text/javascript", ".css": "text/css"}
FILES: Final = ("report.html", "junit.xml", "verdict.json")
"""What a run's directory offers to the page."""
MAX_BODY: Final = 65536


class LedgerView(msgspec.Struct, frozen=True, kw_only=True):
    """The counts that the page shows."""

    phase: str
    """As in the history (load/history/control.py); the page shows words."""
    processes: int
    devices: int
    online: int
    sends: int
    acked: int
    pending: int
    """Sends without an answer yet."""
    refused: int
    gave_up: int
    shown: int
    """First displays at devices other than the sending one."""
    to_come: int | None
    """Deliveries that acked messages still require; approximate, because groups change meanwhile. None: not known,
    because people changed the number of users, or over."""
    outstanding: int | None
    """Deliveries that devices online now have not shown, as the history says; None: not known."""
    suspicious: int | None
    """The subset of those whose message was acked long ago (load.drive.desk)."""
    drops: int
    violations: int
    reports: int
    """Reports of the swarm's processes that arrived; each holds all counts of its process so far."""
    reports_lost: int
    """Reports that did not arrive. They cost nothing once a later one has come."""
    run: str
    """The directory of the run that goes on, or was the last."""
    verdict: str
    """Verdict of that run; empty while it goes on."""
    report: str
    """Path of that report below this page; empty while there is none."""
    ack_ms: dict[str, float]
    show_ms: dict[str, float]
    """p50, p99 and max since the planned time of the send."""

    def rows(self) -> list[tuple[str, str]]:
        """Return (label, text) of each row of the table."""
        latency = " / ".join
        to_come = [] if self.to_come is None else [("still to be delivered (about)", str(self.to_come))]
        return [
            ("phase", PHASES.get(self.phase, self.phase)),
            ("run directory", self.run),
            ("verdict", self.verdict or ("when the test is stopped" if self.run else "")),
            ("devices online", f"{self.online} of {self.devices}"),
            ("sent", str(self.sends)),
            ("acknowledged", str(self.acked)),
            ("waiting for an answer", str(self.pending)),
            ("refused, given up", f"{self.refused}, {self.gave_up}"),
            ("delivered", str(self.shown)),
            *to_come,
            ("connections lost", str(self.drops)),
            ("protocol violations seen", str(self.violations)),
            ("send -> ack p50 / p99 / max ms", latency(f"{value:.1f}" for value in self.ack_ms.values())),
            ("send -> shown p50 / p99 / max ms", latency(f"{value:.1f}" for value in self.show_ms.values())),
        ]


class Pages(Protocol):
    """What the pages ask of the leading Locust process."""

    def view(self) -> LedgerView:
        """Return what the ledger page shows: the counts of the test that goes on, or of the last one."""

    def state(self) -> str:
        """Return the state that Locust's page is told.

        The page asks again only while it is told "spawning" or "running". A state that passes, such as "stopped" while
        a test is being prepared, would stay on it for the whole test.
        """

    def file(self, run: str, name: str) -> Path | None:
        """Return a file of a run of this process, by the name of its directory; None without one."""

    def stop_preparing(self) -> None:
        """Somebody pressed Stop: a test that is still being prepared does not begin."""

    def experiment(self, wanted: Experiment) -> tuple[bool, str]:
        """Start a test with the faults of an experiment. Returns whether it begins, and what was said."""


def attach(web_ui: WebUI, pages: Pages, live: Live, *, host: str = "", base: str = "") -> None:
    """Add the tabs and the routes, below the path `base`; call before the web UI starts. `host`: what it listens on."""
    base = base.rstrip("/")
    app = web_ui.app
    assert app is not None
    guard(app, host)
    web_ui.template_args |= {
        "extended_tabs": [
            {"title": name, "key": f"{KEY}-{name.lower()}", "component": f"{KEY}-{name.lower()}"} for name in TABS
        ],
    }
    _add_reads(app, web_ui, pages, live, base)
    _add_orders(app, web_ui, pages, live, base)

    def complete(response: Response) -> Response:
        path = request.path.removeprefix(base)
        if response.status_code != 200:
            return response
        if path == "/stop":
            pages.stop_preparing()
        elif path == "/stats/requests":
            told = {"state": pages.state(), "extended_stats": [{"key": KEY, "data": _rows(pages.view(), base)}]}
            response.set_data(json.dumps({**json.loads(response.get_data()), **told}))
        elif path in ("", "/"):
            tag = f'<script type="module" src="{base}/petrel/assets/tabs.js"></script></head>'
            response.set_data(response.get_data(as_text=True).replace("</head>", tag, 1))
        return response

    app.after_request(complete)


def _rows(view: LedgerView, base: str) -> list[dict[str, str]]:
    ledger_url = f"{request.host_url.rstrip('/')}{base}/petrel"
    where = f"{ledger_url}/{view.report}" if view.report else f"{ledger_url} links to it once it is judged"
    awaited = view.run and view.verdict in ("", JUDGING)  # the page asks no more once the test has stopped
    link = [("report", where)] if view.report or awaited else []
    return [{"row": name, "value": value} for name, value in [*view.rows(), *link]]  # "name" would sort


def _add_reads(app: Flask, web_ui: WebUI, pages: Pages, live: Live, base: str) -> None:
    """Add the pages, their parts, and the files of runs."""

    def page() -> Response:
        return Response(_asset("page.html"), mimetype="text/html")

    def asset(name: str) -> Response:
        if name not in ASSETS:
            return _missing("file")
        return Response(_asset(name), mimetype=KINDS[Path(name).suffix], headers={"Cache-Control": "no-cache"})

    def ledger() -> Response:
        return _json(pages.view())

    def parts() -> Response:
        view = pages.view()
        return _json({"ledger": view, "rows": view.rows(), "state": pages.state(), **live.parts()})

    def series() -> Response:
        made = live.series
        since = request.args.get("since", default=0, type=int)
        if request.args.get("made", default=0, type=int) != made.made or since > len(made.points):
            since = 0
        return _json({"begin_s": made.begin_s, "made": made.made, "since": since, "points": made.points[since:]})

    def table() -> Response:
        text = io.StringIO()
        writer = csv.writer(text)
        names = Point.__struct_fields__[:-1]
        writer.writerow(names)
        writer.writerows([getattr(point, name) for name in names] for point in live.series.points)
        headers = {"Content-Disposition": "attachment; filename=ledger.csv"}
        return Response(text.getvalue(), mimetype="text/csv", headers=headers)

    def report(run: str) -> Response:
        return file(run, "report.html")

    def file(run: str, name: str) -> Response:
        path = pages.file(run, name) if name in FILES else None
        return _missing(name.partition(".")[0]) if path is None else send_file(path.resolve())

    for path, view in {
        "": page, "/assets/<name>": asset, "/ledger": ledger, "/parts": parts, "/series": series,
        "/ledger.csv": table, "/report/<run>": report, "/file/<run>/<name>": file,
    }.items():  # fmt: skip
        app.add_url_rule(f"{base}/petrel{path}", f"petrel{path}", web_ui.auth_required_if_enabled(view))


def _add_orders(app: Flask, web_ui: WebUI, pages: Pages, live: Live, base: str) -> None:
    """Add the routes that change something; each takes a POST of JSON."""

    def inject() -> Response:
        return _obey(Injection, lambda wanted: live.ask(do="inject", **msgspec.structs.asdict(wanted)))

    def heal() -> Response:
        return _obey(Healing, lambda wanted: live.ask(do="heal", id=wanted.id))

    def draw() -> Response:
        return _obey(
            Experiment,
            lambda wanted: live.ask(
                do="draw", experiment=wanted.experiment, seed=wanted.seed, duration_s=wanted.duration_s
            ),
        )

    def experiment() -> Response:
        return _obey(Experiment, pages.experiment)

    for order in (inject, heal, draw, experiment):
        app.add_url_rule(
            f"{base}/petrel/{order.__name__}", f"petrel-{order.__name__}", web_ui.auth_required_if_enabled(order),
            methods=["POST"],
        )  # fmt: skip


T = TypeVar("T")


def _obey(kind: type[T], order: Callable[[T], tuple[bool, str]]) -> Response:
    """Read the body, do as it says, and tell what came of it: 200, 400 for a bad request, 409 where it cannot be."""
    if request.mimetype != "application/json":
        return _json({"ok": False, "text": "the body must be JSON"}, 415)
    if (request.content_length or 0) > MAX_BODY:
        return _json({"ok": False, "text": "the body is too long"}, 413)
    try:
        wanted = msgspec.json.decode(request.get_data(), type=kind)
    except msgspec.DecodeError as error:
        return _json({"ok": False, "text": sentence(error)}, 400)
    ok, text = order(wanted)
    return _json({"ok": ok, "text": text}, 200 if ok else 409)


def _json(value: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, mimetype="application/json")


def _missing(what: str) -> Response:
    return Response(f"there is no such {what}\n", 404, mimetype="text/plain")


def _asset(name: str) -> str:
    return files(__name__).joinpath("static", name).read_text(encoding="utf-8")
