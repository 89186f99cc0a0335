"""Writes the dashboards as JSON, by Grafana's own SDK: a field that Grafana does not have is a type error.

Needs the package grafana-foundation-sdk, which is in the extra `test`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from grafana_foundation_sdk.builders import common, dashboard, prometheus, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as kinds
from grafana_foundation_sdk.models import dashboard as models

from dashboards.grafana.boards import BOARDS, FAULTS, Board, Panel

DIRECTORY: Final = Path(__file__).with_name("json")
WIDTH: Final = 12
HEIGHT: Final = 8
REFRESH: Final = "5s"


def source() -> models.DataSourceRef:
    """Return the data source, which the reader of a board chooses."""
    return models.DataSourceRef(type_val="prometheus", uid="${datasource}")


def render(board: Board) -> str:
    """Return a board's JSON."""
    built = (
        dashboard.Dashboard(board.title)
        .uid(board.uid)
        .tags(["stormpetrel"])
        .refresh(REFRESH)
        .time("now-15m", "now")
        .timezone("browser")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .editable()
        .with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
        .annotation(
            dashboard.AnnotationQuery().name("faults").datasource(source()).expr(FAULTS).enable(True).icon_color("red")
        )
    )
    for number, panel in enumerate(board.panels):
        built = built.with_panel(_panel(panel, number))
    return JSONEncoder(sort_keys=True, indent=1).encode(built.build()) + "\n"


def _panel(panel: Panel, number: int) -> timeseries.Panel:
    place = models.GridPos(x=WIDTH * (number % 2), y=HEIGHT * (number // 2), w=WIDTH, h=HEIGHT)
    built = (
        timeseries.Panel()
        .title(panel.title)
        .description(panel.text)
        .unit(panel.unit)
        .min(0)
        .datasource(source())
        .grid_pos(place)
        .fill_opacity(8)
        .show_points(kinds.VisibilityMode.NEVER)
        .legend(
            common.VizLegendOptions()
            .display_mode(kinds.LegendDisplayMode.LIST)
            .placement(kinds.LegendPlacement.BOTTOM)
            .show_legend(True)
        )
    )
    for letter, query in zip("ABCDEFGH", panel.queries, strict=False):
        built = built.with_target(
            prometheus.Dataquery().ref_id(letter).expr(query.expr).legend_format(query.legend).exemplar(True)
        )
    return built


def files() -> dict[Path, str]:
    """Return what belongs into each file of json/."""
    return {DIRECTORY / f"{board.uid}.json": render(board) for board in BOARDS}
