"""What the dashboards show: six boards of panels, each panel with its queries and its unit.

A query is PromQL as Prometheus takes it: without Grafana's variables, so that a test can run each of them.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Query(NamedTuple):
    """One query of a panel."""

    expr: str
    legend: str
    faults: bool = False
    """True if it has data only while something is, or was, broken."""


class Panel(NamedTuple):
    """One graph of a board: its queries, its unit, and the sentence under its title."""

    title: str
    text: str
    unit: str
    queries: tuple[Query, ...]


class Board(NamedTuple):
    """One dashboard. Its file is json/UID.json."""

    uid: str
    title: str
    panels: tuple[Panel, ...]


def _rate(metric: str, by: str, window: str = "30s") -> str:
    return f"sum by ({by}) (rate({metric}[{window}]))"


def _quantile(metric: str, by: str, q: float, window: str = "1m", where: str = "") -> str:
    return f"histogram_quantile({q:g}, sum by ({by}, le) (rate({metric}_bucket{where}[{window}])))"


OVERVIEW: Final = Board(
    "petrel-overview",
    "Stormpetrel: overview",
    (
        Panel(
            "Connected devices",
            "All gateways together.",
            "short",
            (Query("petrel:gateway_connections:sum", "devices"),),
        ),
        Panel(
            "Messages",
            "SENDs that were answered, refused, and repeated by their devices.",
            "ops",
            (
                Query('hop:petrel_hop_requests:rate1m{hop="gateway"}', "answered"),
                Query('hop:petrel_hop_failures:rate1m{hop="gateway"}', "refused"),
                Query("sum(rate(petrel_sequencer_repeated_sends_total[1m]))", "repeated"),
            ),
        ),
        Panel(
            "Answer to a SEND",
            "From the gateway's socket to the ACK on it.",
            "s",
            (
                Query('hop:petrel_hop_duration_seconds:p50_1m{hop="gateway"}', "p50"),
                Query('hop:petrel_hop_duration_seconds:p99_1m{hop="gateway"}', "p99"),
            ),
        ),
        Panel(
            "Error budget of five minutes",
            "Share of SENDs that were refused (objective: 0.1 %) and that took more than 200 ms (objective: 1 %).",
            "percentunit",
            (
                Query("slo:petrel_send_refused:ratio_rate5m", "refused"),
                Query("slo:petrel_send_slow:ratio_rate5m", "slow"),
            ),
        ),
        Panel(
            "Unhealthy services",
            "Of each kind, seen from outside.",
            "short",
            (Query("sum by (kind) (1 - petrel_service_healthy)", "{{kind}}"),),
        ),
        Panel(
            "Alerts",
            "What fires now.",
            "short",
            (Query('count by (alertname) (ALERTS{alertstate="firing"})', "{{alertname}}", faults=True),),
        ),
        Panel(
            "CPU",
            "Cores that each kind of process uses.",
            "short",
            (Query(_rate("petrel_service_cpu_seconds_total", "kind"), "{{kind}}"),),
        ),
        Panel(
            "Memory",
            "Resident memory of each kind of process.",
            "bytes",
            (Query("sum by (kind) (petrel_service_resident_memory_bytes)", "{{kind}}"),),
        ),
    ),
)
GATEWAY: Final = Board(
    "petrel-gateway",
    "Stormpetrel: gateways",
    (
        Panel("Connections", "By gateway.", "short", (Query("petrel_gateway_connections", "{{service}}"),)),
        Panel(
            "Handshakes and closes",
            "A storm of reconnects is a peak of the first.",
            "ops",
            (
                Query(_rate("petrel_gateway_handshakes_total", "service"), "handshakes {{service}}"),
                Query(_rate("petrel_gateway_closes_total", "code"), "closed {{code}}"),
            ),
        ),
        Panel(
            "Frames",
            "From and to devices.",
            "ops",
            (
                Query("sum(rate(petrel_gateway_received_frames_total[30s]))", "from devices"),
                Query("sum(rate(petrel_gateway_sent_frames_total[30s]))", "to devices"),
            ),
        ),
        Panel(
            "Forwarded frames",
            "To chat services, by type.",
            "ops",
            (Query(_rate("petrel_gateway_forwarded_frames_by_type_total", "type"), "{{type}}"),),
        ),
        Panel(
            "Refused SENDs",
            "Refused because they would wait too long, or because no chat service was up.",
            "ops",
            (
                Query("sum(rate(petrel_gateway_refused_sends_total[30s]))", "too long"),
                Query("sum(rate(petrel_gateway_unforwarded_frames_total[30s]))", "no chat service"),
            ),
        ),
        Panel(
            "Catch-up",
            "Devices told to catch up, and those that wait to be told.",
            "ops",
            (
                Query("sum(rate(petrel_gateway_resyncs_total[30s]))", "told"),
                Query("sum(petrel_gateway_waiting_resyncs)", "waiting"),
            ),
        ),
        Panel(
            "Routes",
            "Written to the registry, removed, and waiting.",
            "ops",
            (
                Query("sum(rate(petrel_gateway_registered_routes_total[30s]))", "written"),
                Query("sum(rate(petrel_gateway_removed_routes_total[30s]))", "removed"),
                Query("sum(petrel_gateway_waiting_routes)", "waiting"),
            ),
        ),
        Panel(
            "Event loop",
            "How late a timer of 0.1 s was, and garbage collections.",
            "s",
            (
                Query(
                    _quantile("petrel_event_loop_lag_seconds", "service", 0.99, where='{kind="gateway"}'),
                    "lag p99 {{service}}",
                ),
                Query(
                    _quantile("petrel_gc_pause_seconds", "service", 0.99, "5m", where='{kind="gateway"}'),
                    "gc p99 {{service}}",
                ),
            ),
        ),
        Panel(
            "Registry and links",
            "1: the registry answers this gateway; 1: it has no gap in its notifications.",
            "short",
            (Query("petrel_gateway_registry_up", "registry {{service}}"), Query("petrel_gateway_whole", "{{service}}")),
        ),
    ),
)
DELIVERY: Final = Board(
    "petrel-delivery",
    "Stormpetrel: delivery path",
    (
        Panel("Rate by hop", "Items a second.", "ops", (Query("hop:petrel_hop_requests:rate1m", "{{hop}}"),)),
        Panel("Errors by hop", "Refused or not done.", "ops", (Query("hop:petrel_hop_failures:rate1m", "{{hop}}"),)),
        Panel("p50 by hop", "", "s", (Query("hop:petrel_hop_duration_seconds:p50_1m", "{{hop}}"),)),
        Panel(
            "p99 by hop",
            "Points are traced messages; their trace ids are those of traces.json.",
            "s",
            (Query("hop:petrel_hop_duration_seconds:p99_1m", "{{hop}}"),),
        ),
        Panel(
            "Lag of partitions",
            "Records of the log that are not applied yet.",
            "short",
            (Query("sum by (partition) (petrel_sequencer_lag_records)", "{{partition}}"),),
        ),
        Panel(
            "Dedup",
            "SENDs that were in the log before.",
            "ops",
            (Query(_rate("petrel_sequencer_repeated_sends_total", "service"), "{{service}}"),),
        ),
        Panel(
            "Notifications",
            "To connections; to nobody, for lack of a live route; not taken by a link.",
            "ops",
            (
                Query("sum(rate(petrel_sequencer_notifications_total[30s]))", "sent"),
                Query("sum(rate(petrel_sequencer_unrouted_notifications_total[30s]))", "no route"),
                Query("sum(rate(petrel_sequencer_dropped_frames_total[30s]))", "not taken"),
            ),
        ),
        Panel(
            "Questions between our processes",
            "p99 by who is asked.",
            "s",
            (Query(_quantile("petrel_link_request_duration_seconds", "target", 0.99), "{{target}}"),),
        ),
        Panel("Links down", "", "short", (Query("sum by (service) (1 - petrel_link_up)", "{{service}}"),)),
        Panel(
            "Push",
            "Attempts, failures, and pushes that wait.",
            "short",
            (
                Query('sum(rate(petrel_hop_duration_seconds_count{hop="push"}[30s]))', "attempts"),
                Query('sum(rate(petrel_hop_failures_total{hop="push"}[30s]))', "failures"),
                Query("sum(petrel_push_apns_pending) + sum(petrel_push_fcm_pending)", "waiting"),
            ),
        ),
    ),
)
STORAGE: Final = Board(
    "petrel-storage",
    "Stormpetrel: log, store and registry",
    (
        Panel(
            "Questions",
            "By backend and operation.",
            "ops",
            (
                Query(
                    _rate("petrel_backend_request_duration_seconds_count", "backend, operation"),
                    "{{backend}} {{operation}}",
                ),
            ),
        ),
        Panel("Failures", "", "ops", (Query("backend:petrel_backend_request_failures:rate30s", "{{backend}}"),)),
        Panel(
            "p90",
            "To read an idle log waits up to 0.1 s.",
            "s",
            (
                Query(
                    "backend_operation:petrel_backend_request_duration_seconds:p90_30s",
                    "{{backend}} {{operation}}",
                ),
            ),
        ),
        Panel(
            "Not stored yet",
            "A restart replays these records.",
            "short",
            (Query("sum by (service) (petrel_sequencer_unstored_records)", "{{service}}"),),
        ),
        Panel(
            "Pages",
            "From the memory of a sequencer, and from the store.",
            "ops",
            (
                Query("sum(rate(petrel_chat_hot_pages_total[30s]))", "memory"),
                Query("sum(rate(petrel_chat_cold_pages_total[30s]))", "store"),
                Query("sum(rate(petrel_chat_shared_pages_total[30s]))", "shared"),
            ),
        ),
        Panel(
            "Health of servers",
            "Foreign servers, seen from outside.",
            "short",
            (Query('petrel_service_healthy{kind=~"redis|sentinel|kafka|cassandra|toxiproxy"}', "{{service}}"),),
        ),
        Panel(
            "Free disk",
            "Of the disk of the system's directory.",
            "percentunit",
            (Query("petrel_disk_free_bytes / petrel_disk_size_bytes", "free"),),
        ),
        Panel(
            "Memory of servers",
            "",
            "bytes",
            (
                Query(
                    'petrel_service_resident_memory_bytes{kind=~"redis|sentinel|kafka|cassandra|toxiproxy"}',
                    "{{service}}",
                ),
            ),
        ),
    ),
)
SWARM: Final = Board(
    "petrel-swarm",
    "Stormpetrel: swarm",
    (
        Panel(
            "Devices",
            "",
            "short",
            (Query("petrel_swarm_devices", "all"), Query("petrel_swarm_online_devices", "online")),
        ),
        Panel(
            "Messages",
            "As devices saw them.",
            "ops",
            (
                Query("rate(petrel_swarm_sends_total[15s])", "sent"),
                Query("rate(petrel_swarm_acked_sends_total[15s])", "confirmed"),
                Query("rate(petrel_swarm_shown_deliveries_total[15s])", "shown"),
            ),
        ),
        Panel("Undelivered", "Displays still to come.", "short", (Query("petrel_swarm_undelivered", "undelivered"),)),
        Panel(
            "Refused and duplicate",
            "Since the start of the run.",
            "short",
            (
                Query("petrel_swarm_refused_sends_total", "refused for good"),
                Query("petrel_swarm_duplicate_deliveries_total", "displayed twice"),
            ),
        ),
    ),
)
CHAOS: Final = Board(
    "petrel-chaos",
    "Stormpetrel: chaos",
    (
        Panel(
            "Faults",
            "What is broken on purpose.",
            "short",
            (Query("petrel_fault_active", "{{fault}} {{target}}", faults=True),),
        ),
        Panel(
            "Alerts",
            "2: firing, 1: pending.",
            "short",
            (
                Query('sum by (alertname) (ALERTS{alertstate="firing"}) * 2', "{{alertname}}", faults=True),
                Query('sum by (alertname) (ALERTS{alertstate="pending"})', "{{alertname}} (pending)", faults=True),
            ),
        ),
        Panel(
            "Health",
            "Services that answer and have no problem.",
            "short",
            (Query("sum by (kind) (petrel_service_healthy)", "{{kind}}"),),
        ),
        Panel(
            "Restarts",
            "In the last minute.",
            "short",
            (Query("sum by (service) (increase(petrel_service_restarts_total[1m]))", "{{service}}"),),
        ),
        Panel(
            "Stopped processes",
            "SIGSTOP.",
            "short",
            (Query("sum by (service) (petrel_service_stopped)", "{{service}}"),),
        ),
        Panel(
            "What users felt",
            "Messages a second, and the p99 of their answers.",
            "short",
            (
                Query('hop:petrel_hop_requests:rate1m{hop="gateway"}', "answered/s"),
                Query('hop:petrel_hop_duration_seconds:p99_1m{hop="gateway"}', "p99 (s)"),
            ),
        ),
    ),
)
BOARDS: Final = (OVERVIEW, GATEWAY, DELIVERY, STORAGE, SWARM, CHAOS)
FAULTS: Final = "petrel_fault_active == 1"
"""Each board marks the times of faults."""
