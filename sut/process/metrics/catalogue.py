"""The counters of our processes as Prometheus metrics.

A process counts in plain numbers, which cost nothing on a hot path, and answers pings with them. Here each of them gets
its name, type and help by Prometheus' conventions. They are read when somebody scrapes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final, Literal, NamedTuple

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

Stats = Callable[[], Mapping[str, float]]


class Row(NamedTuple):
    """One metric of one kind of process."""

    stat: str
    """The name in the answer to a ping. With "*": the beginning of several, whose rest is the label."""
    kind: Literal["counter", "gauge"]
    name: str
    """Without the `petrel_KIND_` before it, and without the `_total` of a counter."""
    text: str
    label: str = ""


READY: Final = Row("ready", "gauge", "ready", "1 once the log and the store were reached.")
CATALOGUE: Final[Mapping[str, tuple[Row, ...]]] = {
    "gateway": (
        Row("connections", "gauge", "connections", "Devices with an open connection."),
        Row("sockets", "gauge", "sockets", "Accepted sockets, before their upgrade too."),
        Row("users", "gauge", "users", "Users with a connection here."),
        Row("addresses", "gauge", "client_addresses", "Client addresses with a socket here."),
        Row("handshakes", "counter", "handshakes", "Devices that opened a connection."),
        Row("refused", "counter", "refused_requests", "Upgrades answered with an HTTP error."),
        Row("refused_address", "counter", "refused_sockets", "Sockets refused, for too many of one address."),
        Row("refused_user", "counter", "refused_users", "Devices refused, for too many of one user."),
        Row("frames_refused_user", "counter", "refused_frames", "Frames refused, for too many of one user."),
        Row("closed_*", "counter", "closes", "Connections that ended, by close code.", "code"),
        Row("frames_in", "counter", "received_frames", "Frames of devices."),
        Row("frames_out", "counter", "sent_frames", "Frames to devices."),
        Row("bytes_out", "counter", "sent_bytes", "Bytes to devices."),
        Row("indebted", "counter", "held_reads", "Times that a connection was not read, as it cost too much."),
        Row("forwarded", "counter", "forwarded_frames", "Frames that a chat service took."),
        Row("forwarded_*", "counter", "forwarded_frames_by_type", "Frames that a chat service took, by type.", "type"),
        Row("unforwarded", "counter", "unforwarded_frames", "Frames that no chat service took."),
        Row("handed_again", "counter", "handed_again_frames", "Frames of a dead chat service, handed to another."),
        Row("undeliverable", "counter", "undeliverable_frames", "Frames to a connection that is gone."),
        Row("sends_waiting", "gauge", "waiting_sends", "SENDs without an answer."),
        Row("sends_refused", "counter", "refused_sends", "SENDs refused, as they would wait too long."),
        Row("resyncs", "counter", "resyncs", "Times that a device was told to catch up."),
        Row("resyncs_waiting", "gauge", "waiting_resyncs", "Devices that are to be told to catch up."),
        Row("resyncs_held", "counter", "held_resyncs", "Times that a device was not told to catch up at once."),
        Row("missed", "counter", "missed_notices", "Notices of sequencers that notifications may be missing."),
        Row("chats_up", "gauge", "linked_chats", "Chat services with a link."),
        Row("announces", "gauge", "announcing", "1 while routes are announced to sequencers directly."),
        Row("registry_up", "gauge", "registry_up", "1 while the registry answers."),
        Row("routes_waiting", "gauge", "waiting_routes", "Registrations and removals that the registry lacks."),
        Row("routes_written", "counter", "registered_routes", "Routes written to the registry."),
        Row("routes_removed", "counter", "removed_routes", "Routes removed from the registry."),
        Row("lease_lapses", "counter", "lease_lapses", "Times that the lease may have ended before its renewal."),
        Row("whole", "gauge", "whole", "1 while no notification can be lost unnoticed."),
        Row("stalls", "counter", "clock_stalls", "Pauses of the process that timers do not count."),
        Row("silent", "gauge", "silent_connections", "Connections whose device does not answer."),
        Row("probes", "counter", "probes", "Pings to devices that are silent."),
        Row("revoked", "gauge", "revocations", "Revocations that are remembered."),
        Row("draining", "gauge", "draining", "1 while devices are sent elsewhere."),
        Row("presence_told", "counter", "presence_frames", "Presence frames to devices."),
        Row("presence_looks", "counter", "presence_looks", "Looks at the presence of users."),
        Row("presence_looked", "counter", "presence_looked_users", "Users whose presence was looked up."),
        Row("presence_frozen", "counter", "presence_freezes", "Looks without an answer."),
        Row("presence_watched", "gauge", "presence_watched_users", "Users that a device here watches."),
        Row("presence_cut", "counter", "presence_cut_watches", "Watches that were cut to their limit."),
        Row("presence_lapses", "counter", "presence_lapses", "Times that presence may have lapsed."),
    ),
    "chat": (
        READY,
        Row("appended", "counter", "appended_messages", "SENDs that are in the log."),
        Row("append_failed", "counter", "failed_appends", "SENDs whose append failed."),
        Row("sends_dropped", "counter", "dropped_sends", "SENDs that waited too long for their append."),
        Row("reads", "gauge", "reads", "Questions of devices under way."),
        Row("reads_waiting", "gauge", "waiting_reads", "Questions of devices that wait."),
        Row("reads_dropped", "counter", "dropped_reads", "Questions of devices that were refused."),
        Row("pages_hot", "counter", "hot_pages", "Pages from the memory of a sequencer."),
        Row("pages_cold", "counter", "cold_pages", "Pages from the store."),
        Row("pages_shared", "counter", "shared_pages", "Pages that several devices asked for at once."),
        Row("cursors", "gauge", "waiting_cursors", "Positions of devices that are not stored yet."),
        Row("signals_lost", "counter", "lost_signals", "Receipts and typing signals that found no sequencer."),
    ),
    "sequencer": (
        READY,
        Row("applied", "counter", "applied_records", "Records of the log that were applied."),
        Row("repeated", "counter", "repeated_sends", "SENDs that were in the log before (dedup hits)."),
        Row("refused", "counter", "refused_records", "Records that the rule refused."),
        Row("unstored", "gauge", "unstored_records", "Records that are applied and not stored yet."),
        Row("behind", "gauge", "recovering_partitions", "Partitions that have not caught up since the start."),
        Row("conversations", "gauge", "conversations", "Conversations in memory."),
        Row("answers", "counter", "answers", "Answers to senders."),
        Row("notifications", "counter", "notifications", "Notifications to connections."),
        Row("unrouted", "counter", "unrouted_notifications", "Notifications to users without a live route."),
        Row("told_again", "counter", "notifications_told_again", "Notifications sent once a route was announced."),
        Row("dropped", "counter", "dropped_frames", "Frames that a full or broken link did not take."),
        Row("passed_on", "counter", "detoured_frames", "Frames that went through a chat service."),
        Row("takeovers", "gauge", "taken_over_sequencers", "Sequencers whose partitions this one works on."),
        Row("taken_over", "counter", "takeovers", "Takeovers of another sequencer."),
        Row("receipts_taken", "counter", "receipts_taken", "Receipts from chat services."),
        Row("receipts_sent", "counter", "receipts_sent", "Receipts to authors."),
        Row("receipts_dropped", "counter", "receipts_dropped", "Receipts that were dropped."),
        Row("typing_told", "counter", "typing_signals", "Typing signals to members."),
        Row("typing_dropped", "counter", "dropped_typing_signals", "Typing signals that were dropped."),
        Row("signals_dropped", "counter", "dropped_signals", "Signals dropped, as messages filled the queue."),
        Row("committed_*", "gauge", "committed_offset", "Offset up to which all is stored.", "partition"),
        Row("lag_*", "gauge", "lag_records", "Records of the log that are not applied yet.", "partition"),
    ),
    "push": (
        READY,
        Row("behind", "gauge", "recovering_partitions", "Partitions that have not caught up since the start."),
        Row("undecided", "gauge", "undecided_messages", "Messages about whose pushes nothing is decided yet."),
        Row("decided", "counter", "decided_messages", "Messages about whose pushes was decided."),
        Row("online", "counter", "online_devices", "Devices that needed no push."),
        Row("asked", "counter", "asked_gateways", "Questions to gateways about who is connected."),
        Row("open", "gauge", "open_records", "Records of the log that wait for a push."),
        Row("apns_pending", "gauge", "apns_pending", "Pushes that wait for Apple."),
        Row("fcm_pending", "gauge", "fcm_pending", "Pushes that wait for Google."),
        Row("apns_*", "counter", "apns_answers", "Answers of Apple's provider.", "verdict"),
        Row("fcm_*", "counter", "fcm_answers", "Answers of Google's provider.", "verdict"),
    ),
    "api": (READY,),
    "provider": (
        Row("accepted", "counter", "accepted_pushes", "Pushes that the stand-in accepted."),
        Row("grants", "counter", "grants", "Access tokens that the stand-in granted."),
    ),
}
"""By the kind of process."""
ELSEWHERE: Final = frozenset({"rss_bytes"})
"""Counters that Prometheus has by another name: process_resident_memory_bytes."""
SOURCES: Final[list[Stats]] = []
"""What answers pings of this process counts. Each PeerServer is in it while it listens."""


class Counted(Collector):
    """The counters of this process, read at each scrape."""

    def __init__(self, kind: str, read: Stats) -> None:
        """`read`: returns the counters; called at each scrape, by whoever scrapes."""
        self._kind = kind
        self._read = read

    def describe(self) -> Iterable[Metric]:
        """Return nothing: what is counted is known once the process serves."""
        return ()

    def collect(self) -> Iterable[Metric]:
        return families(self._kind, self._read())


def counted() -> dict[str, float]:
    """Return the counters of all sources."""
    found: dict[str, float] = {}
    for stats in SOURCES:
        found |= stats()
    return found


def families(kind: str, stats: Mapping[str, float]) -> list[Metric]:
    """Return the metrics of one process of this kind with these counters. Counters without a row are left out."""
    left = dict(stats)
    found: list[Metric] = []
    for row in sorted(CATALOGUE.get(kind, ()), key=lambda row: row.stat.endswith("*")):  # whole names first
        name = f"petrel_{kind}_{row.name}"
        labels = [row.label] if row.label else []
        family: CounterMetricFamily | GaugeMetricFamily
        if row.kind == "counter":
            family = CounterMetricFamily(name, row.text, labels=labels)
        else:
            family = GaugeMetricFamily(name, row.text, labels=labels)
        if not row.label:
            if row.stat in left:
                family.add_metric([], left.pop(row.stat))
        else:
            begin = row.stat.removesuffix("*")
            for stat in [stat for stat in left if stat.startswith(begin)]:
                family.add_metric([stat.removeprefix(begin)], left.pop(stat))
        if family.samples:
            found.append(family)
    return found


def unnamed(kind: str, stats: Iterable[str]) -> set[str]:
    """Return the counters that have no row."""
    rows = CATALOGUE.get(kind, ())
    whole = {row.stat for row in rows} | ELSEWHERE
    begins = tuple(row.stat.removesuffix("*") for row in rows if row.stat.endswith("*"))
    return {stat for stat in stats if stat not in whole and not (begins and stat.startswith(begins))}
