"""What `petrel simulate` found, as tables and plots: for the terminal and for the page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from chaos.design.fleet.scenarios import AT_S
from chaos.design.magnitude import short
from chaos.screen.sheets import Graph, Section, Table

if TYPE_CHECKING:
    from chaos.design.fleet.against import Compared
    from chaos.design.fleet.retries import Storm
    from chaos.design.fleet.simulation import Played, Simulation

COLUMNS: Final = {
    "p99_ms": "p99 before, ms",
    "worst_p50_ms": "worst p50, ms",
    "worst_p99_ms": "worst p99, ms",
    "offline": "devices away",
    "dials_per_s": "dials/s, most",
    "connected_per_s": "connected/s, most",
    "storm_s": "storm, s",
    "handshake_queue": "handshakes waiting",
    "registration_queue": "registrations waiting",
    "sequencer_queue": "messages waiting at a sequencer",
    "refused": "refusals",
    "gateway_load": "load of a gateway",
    "redis_load": "load of Redis",
    "sequencer_load": "load of sequencers",
}
"""Figure -> heading."""


def tables(found: Simulation, compared: Sequence[Compared]) -> list[Table]:
    """Return the tables of a simulation: scenarios, day, repeats, and what was compared."""
    return [
        _scenarios(found.scenarios),
        _day(found),
        _thresholds(found),
        *([_compared(compared)] if compared else []),
    ]


def write(path: Path, found: Simulation, compared: Sequence[Compared]) -> Path:
    """Write the page and return its path. Raises OSError."""
    from dashboards import sheet

    scenarios, day, thresholds, *against = tables(found, compared)
    fleet = found.fleet
    lead = (
        f"{short(fleet.gateways)} gateways of {fleet.gateway_cores:g} cores, {short(fleet.connections)} connections, "
        f"{short(fleet.messages_per_s)} messages/s on average and {fleet.peak:g} times that in the evening, "
        f"{short(fleet.partitions)} sequencers, {short(fleet.chat_cores)} cores of chat services, "
        f"{short(fleet.redis_shards)} shards of Redis. Costs: {found.costs.source}. Seed {found.seed}."
    )
    sections = [
        Section(
            key="scenarios", title="Scenarios", tables=[scenarios],
            lead="Each begins calm; the change comes after 10 s. A storm lasts until nobody waits and p99 is below "
            "twice what it was. Loads are those of the busiest place; above 1 its queue grows.",
        ),
        Section(
            key="day", title="A day", tables=[day], graphs=_day_graphs(found),
            lead="Messages go one by one through the queues of a slice of the fleet, hour by hour.",
        ),
        Section(
            key="repeats", title="Repeats that never end", tables=[thresholds], graphs=_storm_graphs(found),
            lead="A queue that carries 1 is away for some seconds. Devices repeat what is not answered. From the load "
            "in the table on, the repeats alone keep the queue full after its cause is gone.",
        ),
        *[
            Section(
                key="against", title="Predicted and measured", tables=[table],
                lead="The model, calibrated with the first point of the measurement, beside the system as it ran. "
                "Close is within 20%.",
            )
            for table in against
        ],
        *[_section(one) for one in found.scenarios],
    ]  # fmt: skip
    return sheet.render(path, title="The fleet, simulated", lead=lead, sections=sections)


def _scenarios(played: Sequence[Played]) -> Table:
    rows = [[one.name, *(short(one.figures[name]) for name in COLUMNS)] for one in played]
    return Table(columns=["scenario", *COLUMNS.values()], rows=rows)


def _day(found: Simulation) -> Table:
    rows = [
        [
            f"{hour.hour:02d}:00", short(hour.messages_per_s), short(hour.p50_ms), short(hour.p99_ms),
            *(f"{load:.2f}" for load in (hour.gateway_load, hour.chat_load, hour.sequencer_load, hour.redis_load)),
        ]
        for hour in found.day
    ]  # fmt: skip
    columns = ["hour", "messages/s", "p50, ms", "p99, ms", "load: gateways", "chat", "sequencers", "Redis"]
    return Table(columns=columns, rows=rows)


def _thresholds(found: Simulation) -> Table:
    by_outage: dict[float, list[str]] = {}
    for one in found.thresholds:
        by_outage.setdefault(one.away_s, []).append("none" if one.load is None else f"{one.load:.2f}")
    rows = [[f"{away_s:g} s", *loads] for away_s, loads in by_outage.items()]
    return Table(columns=["outage", "stays from load, all taken", "with admission"], rows=rows)


def _compared(compared: Sequence[Compared]) -> Table:
    rows = [
        [
            f"{one.devices} devices", one.quantity, short(one.measured), short(one.predicted), one.unit,
            "-" if one.error is None else f"{100 * one.error:+.0f}%", "close" if one.close else "not close",
        ]
        for one in compared
    ]  # fmt: skip
    return Table(columns=["size", "quantity", "measured", "predicted", "unit", "error", ""], rows=rows)


def _day_graphs(found: Simulation) -> list[Graph]:
    latency = {"p99": [hour.p99_ms for hour in found.day], "p50": [hour.p50_ms for hour in found.day]}
    loads = {
        "sequencers": [hour.sequencer_load for hour in found.day],
        "chat services": [hour.chat_load for hour in found.day],
        "Redis": [hour.redis_load for hour in found.day],
    }
    return [
        Graph(key="day-latency", title="Delivery by hour (ms)", unit="ms", lines=latency, step_s=3600),
        Graph(key="day-load", title="Load by hour", unit="", lines=loads, step_s=3600),
    ]


def _storm_graphs(found: Simulation) -> list[Graph]:
    graphs = []
    by_load: dict[float, dict[str, Storm]] = {}
    for admission, storm in found.storms:
        by_load.setdefault(storm.load, {})["with admission" if admission else "all taken"] = storm
    for load, storms in by_load.items():
        lines = {name: storm.wait_s for name, storm in storms.items()}
        graphs.append(
            Graph(
                key=f"repeats-{100 * load:.0f}", title=f"Wait of a message at load {load:g} (s)", unit="s", lines=lines,
                fault_s=(20.0, 20.0 + next(iter(storms.values())).away_s),
            )
        )  # fmt: skip
    return graphs


def _section(one: Played) -> Section:
    def graph(name: str, title: str, unit: str, lines: dict[str, str], *, log: bool = False) -> Graph:
        values = {label: one.series[line] for label, line in lines.items()}
        return Graph(
            key=f"{one.name}-{name}", title=title, unit=unit, lines=values, log=log, fault_s=(AT_S, AT_S + 1.0)
        )

    graphs = [
        graph("latency", "Delivery (ms)", "ms", {"p99": "p99_ms", "p50": "p50_ms"}, log=True),
        graph(
            "away", "Devices", "devices",
            {"away": "offline", "in a handshake": "handshake_queue", "not registered": "registration_queue"},
        ),
        graph("rates", "Dials and connects (1/s)", "1/s", {"connected": "connected_per_s", "dials": "dials_per_s"}),
        graph("messages", "Messages (1/s)", "1/s", {"taken": "messages_per_s", "refused": "refused_per_s"}),
    ]  # fmt: skip
    shown = [graph for graph in graphs if any(any(values) for values in graph.lines.values())]
    return Section(key=one.name, title=one.name.replace("_", " "), lead=f"{one.summary}.", graphs=shown)
