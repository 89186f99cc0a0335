# mypy: disable-error-code="no-untyped-call"
"""The live ledger in Locust's web UI: a tab beside the statistics, a page of its own (/petrel), its JSON, the reports.

It shows the counts of the swarm's processes, reported every few seconds. The verdict comes from the history, not from
here. Locust's own page is told a state by which it goes on asking (`Pages.state`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final, Protocol

import msgspec
from flask import Response, request, send_file
from locust.web import WebUI

from load.history.control import PHASES

KEY: Final = "petrel"
JUDGING: Final = "being judged"
"""The verdict of a test that has ended, until there is one."""


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
    drops: int
    violations: int
    run: str
    """The directory of the run that goes on, or was the last."""
    verdict: str
    """Verdict of that run and the path of its report; empty while it goes on."""
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

    def report(self, run: str) -> Path | None:
        """Return the report of a run of this process, by the name of its directory; None without one."""

    def stop_preparing(self) -> None:
        """Somebody pressed Stop: a test that is still being prepared does not begin."""


def attach(web_ui: WebUI, pages: Pages, *, base: str = "") -> None:
    """Add the tab and the routes, below the path `base`; call before the web UI starts."""
    base = base.rstrip("/")
    app = web_ui.app
    assert app is not None
    web_ui.template_args |= {
        "extended_tabs": [{"title": "Ledger", "key": KEY}],
        "extended_tables": [
            {"key": KEY, "structure": [{"key": "row", "title": "Ledger"}, {"key": "value", "title": "Now"}]}
        ],
    }

    def page() -> Response:
        return Response(_PAGE, mimetype="text/html")

    def ledger() -> Response:
        return Response(msgspec.json.encode(pages.view()), mimetype="application/json")

    def report(run: str) -> Response:
        path = pages.report(run)
        if path is None:
            return Response("there is no such report\n", 404, mimetype="text/plain")
        return send_file(path.resolve())

    def complete(response: Response) -> Response:
        path = request.path.removeprefix(base)
        if response.status_code != 200:
            return response
        if path == "/stop":
            pages.stop_preparing()
        elif path == "/stats/requests":
            view = pages.view()
            ledger_url = f"{request.host_url.rstrip('/')}{base}/petrel"
            where = f"{ledger_url}/{view.report}" if view.report else f"{ledger_url} links to it once it is judged"
            awaited = view.run and view.verdict in ("", JUDGING)  # the page asks no more once the test has stopped
            link = [("report", where)] if view.report or awaited else []
            rows = [{"row": name, "value": value} for name, value in [*view.rows(), *link]]  # "name" would sort
            told = {"state": pages.state(), "extended_stats": [{"key": KEY, "data": rows}]}
            response.set_data(json.dumps({**json.loads(response.get_data()), **told}))
        return response

    app.add_url_rule(f"{base}/petrel", "petrel", web_ui.auth_required_if_enabled(page))
    app.add_url_rule(f"{base}/petrel/ledger", "petrel-ledger", web_ui.auth_required_if_enabled(ledger))
    app.add_url_rule(f"{base}/petrel/report/<run>", "petrel-report", web_ui.auth_required_if_enabled(report))
    app.after_request(complete)


_WORDS: Final = json.dumps(PHASES)
_PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Stormpetrel: the live ledger</title>
<link rel="icon" href="data:,">
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 44rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; width: 100% } td { padding: .3rem .5rem; border-bottom: 1px solid #8884 }
td { vertical-align: top } td:first-child { width: 45% }
td + td { text-align: right; font-variant-numeric: tabular-nums; overflow-wrap: anywhere }
td.text { text-align: left }
#state { color: #b00 }
</style></head><body>
<h1>Live ledger</h1>
<p>What the swarm counts, every few seconds. The verdict is judged from the history, not from here.
<span id="state"></span></p>
<p><a id="report" hidden>The report of this run</a></p>
<table aria-live="polite"><tbody id="rows"></tbody></table>
<script>
const spread = v => [v.p50, v.p99, v.max].map(x => x.toFixed(1)).join(" / ");
const here = location.pathname.replace(/\\/$/, "");
const phases = PHASES;
const rows = l => [
  ["phase", phases[l.phase] || l.phase], ["run directory", l.run],
  ["verdict", l.verdict || (l.run ? "when the test is stopped" : "")],
  ["swarm processes", l.processes],
  ["devices online", l.online + " of " + l.devices], ["sent", l.sends], ["acknowledged", l.acked],
  ["waiting for an answer", l.pending], ["refused for good", l.refused], ["given up", l.gave_up],
  ["delivered", l.shown], ...(l.to_come === null ? [] : [["still to be delivered (about)", l.to_come]]),
  ["connections lost", l.drops],
  ["protocol violations seen", l.violations],
  ["send \\u2192 ack, p50 / p99 / max ms", spread(l.ack_ms)],
  ["send \\u2192 shown, p50 / p99 / max ms", spread(l.show_ms)]];
async function poll() {
  try {
    const ledger = await (await fetch(here + "/ledger")).json();
    const body = document.getElementById("rows");
    body.replaceChildren(...rows(ledger).map(cells => {
      const row = document.createElement("tr");
      for (const text of cells) row.insertCell().textContent = text;
      if (String(cells[1]).length > 40) row.cells[1].className = "text";
      return row;
    }));
    const report = document.getElementById("report");
    report.hidden = !ledger.report;
    if (ledger.report) report.href = here + "/" + ledger.report;
    document.getElementById("state").textContent = "";
  } catch { document.getElementById("state").textContent = "The swarm does not answer."; }
  setTimeout(poll, 1000);
}
poll();
</script></body></html>
""".replace("PHASES", _WORDS)
