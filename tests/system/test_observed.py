"""A real run that shows a failure mode, with a real Prometheus: the alert, every panel, and what is scraped."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from chaos.run.observe import prometheus
from chaos.run.swarm import free_port
from dashboards.grafana.boards import BOARDS, FAULTS
from tests.kit.promtool import needs_promtool

pytestmark = [pytest.mark.rare, pytest.mark.timeout(900)]
LABELS = {
    "__name__", "instance", "job", "service", "kind", "target", "backend", "operation", "hop", "le", "code", "type",
    "partition", "verdict", "generation", "implementation", "major", "minor", "patchlevel", "version", "profile",
    "route", "one_time", "variant", "fault", "alertname", "alertstate", "severity", "quantile",
}  # fmt: skip
MAX_SERIES = 6_000
"""Of the embedded profile: it depends on the processes and not on the 150 devices."""


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of `petrel modes --run gateway_crash`."""
    needs_promtool()
    out = tmp_path_factory.mktemp("modes") / "modes"
    command = [sys.executable, "-m", "chaos.cli.petrel", "modes", "--run", "gateway_crash", "--out", str(out), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=800)
    assert done.returncode in (0, 1), done.stderr
    (outcome,) = [one for one in json.loads(done.stdout.splitlines()[-1]) if one["mode"] == "gateway_crash"]
    (out / "outcome.json").write_text(json.dumps(outcome))
    return out


def test_the_alert_fires_and_ends_in_time_and_nothing_is_lost(shown: Path) -> None:
    outcome: dict[str, Any] = json.loads((shown / "outcome.json").read_text())
    assert outcome["proven"], outcome["why"]
    assert outcome["lost"] == 0


def test_no_panel_is_empty_and_no_label_grows_with_the_load(shown: Path) -> None:
    data = shown / "run-1-observe"
    port = free_port()
    process = subprocess.Popen(
        [
            str(prometheus.program()), f"--config.file={data / 'prometheus.yml'}",
            f"--storage.tsdb.path={data / 'data'}", f"--web.listen-address=127.0.0.1:{port}", "--log.level=error",
        ]
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        prometheus.await_ready(process, port, data)
        times = prometheus.ask(url, "query", query="min_over_time(timestamp(petrel_disk_free_bytes)[1h:2s])")["result"]
        start_s, end_s = float(times[0]["value"][1]), float(times[0]["value"][0])
        empty = [
            f"{board.uid}, {panel.title}: {query.expr}"
            for board in BOARDS
            for panel in board.panels
            for query in panel.queries
            if not prometheus.query_range(url, query.expr, start_s=start_s, end_s=end_s, step_s=2)
        ]
        assert not empty
        assert prometheus.query_range(url, FAULTS, start_s=start_s, end_s=end_s, step_s=2)
        assert set(prometheus.ask(url, "labels")) <= LABELS
        (series,) = prometheus.query(url, 'max_over_time(count({__name__=~".+"})[1h:10s])')
        assert series.points[0][1] <= MAX_SERIES
    finally:
        process.terminate()
        process.wait(10)
