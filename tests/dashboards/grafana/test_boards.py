"""Each board is valid for Grafana's SDK, each query is PromQL, and what a query reads exists."""

import json
import re
from pathlib import Path

import pytest
from grafana_foundation_sdk.models.dashboard import Dashboard

from chaos.run.observe.exporter import Exporter
from dashboards.grafana.boards import BOARDS, FAULTS, Board
from dashboards.grafana.build import DIRECTORY, files
from sut.process.metrics import instruments
from sut.process.metrics.catalogue import CATALOGUE
from tests.kit.promtool import promtool

QUERIES = [
    (board.uid, panel.title, query.expr) for board in BOARDS for panel in board.panels for query in panel.queries
]
RULES = Path(__file__).resolve().parents[3] / "dashboards" / "prometheus" / "rules"


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.uid)
def test_the_json_is_what_the_sdk_knows(board: Board) -> None:
    told = json.loads((DIRECTORY / f"{board.uid}.json").read_text())
    read = Dashboard.from_json(told)
    assert read.uid == board.uid
    assert read.panels is not None
    assert [panel.title for panel in read.panels] == [panel.title for panel in board.panels]
    assert told["annotations"]["list"][0]["expr"] == FAULTS


def test_no_board_is_left_over() -> None:
    assert set(DIRECTORY.glob("*.json")) == set(files())


def test_every_query_parses(tmp_path: Path) -> None:
    rules = [{"record": f"a:q{number}:x", "expr": expr} for number, (_, _, expr) in enumerate(QUERIES)]
    path = tmp_path / "rules.yml"
    path.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    assert promtool("check", "rules", path) == ""


def named() -> set[str]:
    """Every metric that we serve or record."""
    ours = {
        f"petrel_{kind}_{row.name}" + "_total" * (row.kind == "counter")
        for kind, rows in CATALOGUE.items()
        for row in rows
    }
    for family in instruments.REGISTRY.collect():
        ours |= {family.name + end for end in ("", "_total", "_bucket", "_count", "_sum", "_info")}
    exporter = Path(str(__import__("inspect").getsourcefile(Exporter))).read_text()
    ours |= {f"petrel_service_{name}" for name in re.findall(r'"(\w+)": "', exporter)}
    ours |= {"petrel_service_restarts_total", "petrel_service_cpu_seconds_total", "ALERTS"}
    ours |= {name + end for name in re.findall(r'"(petrel_\w+)"', exporter) for end in ("", "_total")}
    ours |= {f"petrel_swarm_{name}_total" for name in re.findall(r'"(\w+)": \("', exporter)}
    for path in RULES.glob("*.yml"):
        ours |= set(re.findall(r"record: (\S+)", path.read_text()))
    return ours


READS = re.compile(r"(?<![\w:{\"])((?:petrel|hop|backend|slo|backend_operation)[\w:]*[\w]|ALERTS)(?![\w:]*[(=])")


def test_every_query_reads_what_is_told() -> None:
    ours = named()
    for board, title, expr in QUERIES:
        read = {
            name
            for name in READS.findall(re.sub(r"\{[^}]*\}|by \([^)]*\)", "", expr))
            if name not in ("hop", "backend")
        }
        assert read, expr
        assert read <= ours, f"{board}, {title}: {read - ours}"
