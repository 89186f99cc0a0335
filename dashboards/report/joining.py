"""Joins each traced delivery with all the stamps on its way, from the display backwards.

The recipient's last moments identify the notification, the incarnation of the sequencer, the append and the attempt
that led to them. So a message that was sent twice is not timed from one attempt to the other. A delivery that lacks a
stamp is left out and counted under the hop that has no end; no time is estimated.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import polars as pl

from chaos.verdict.history.history import History
from chaos.verdict.relations.facts import facts_of
from dashboards.report.traces import Traces

ORDER_SLACK_NS: Final = 1_000_000
"""In ns. Stamps that contradict each other by no more count as one moment: a few lines of a process lie between."""
DELIVERY: Final = ["device", "conv", "msg"]
TIMES: Final = (
    "due", "sent_at", "attempt_at", "handed_on", "appending", "kept", "applied", "written", "arrived", "answered",
    "body", "shown",
)  # fmt: skip
"""The moments of a delivery, in their order; a hop lies between two of them."""


class Joined:
    """The deliveries of a history that have all their stamps, and the number of those that lack one."""

    def __init__(self, history: History, traces: Traces) -> None:
        self.left_out: Counter[str] = Counter()
        """Counts by the moment that has no stamp; "order": stamps contradict each other."""
        self._traces = traces
        rows = self._arrivals(history, traces.every)
        self.total = rows.height
        """Deliveries of traced messages."""
        self.rows = self._in_order(self._attempts(self._appends(self._notifications(rows)), history))
        """Columns: DELIVERY, TIMES (in rising order), latency_ns, durable, and four flags.

        `again`: not the first attempt. `announced`: by a notification of its own. `fetched`: the body came after that.
        `brought`: not announced.
        """

    def _arrivals(self, history: History, every: int) -> pl.DataFrame:
        """Return when each delivery was notified, when its body came, and when it was displayed.

        `head` is the number in the notification.
        """
        facts, msg = facts_of(history), pl.col("msg")
        traced = (msg // (1 << 32) + msg % (1 << 32)) % every == 0
        shown = facts.samples.filter(traced).select(*DELIVERY, "seq", "due", shown="t")
        body = facts.of("wire").filter(traced).group_by(DELIVERY).agg(body=pl.col("t").min())
        told = self._swarm("notified").sort("t").unique(DELIVERY, keep="first", maintain_order=True)
        rows = shown.join(body, on=DELIVERY, how="left").join(
            told.select(*DELIVERY, head="seq", told="t"), on=DELIVERY, how="left"
        )
        rows = rows.with_columns(
            pl.col("head").fill_null(pl.col("seq")),
            fetched=pl.col("told").is_not_null(),
            arrived=pl.min_horizontal("told", "body"),
        )
        return self._having(rows, "body")

    def _notifications(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Add when the recipient's gateway wrote the message to the recipient's connection at that time.

        Some messages have no such time: the answer to a FETCH for an earlier message, or to a SYNC, brought them first.
        """
        opened = self._stamps("opened").select(pl.col("device").cast(pl.Int64), gateway="service", opened="t")
        rows = self._having(_latest(rows, opened, at="arrived", by=["device"]), "opened")
        wrote = pl.concat(
            [
                self._stamps(name).select("conv", gateway="service", head="seq", fetched=fetched, written="t")
                for name, fetched in (("told", pl.lit(value=True)), ("sent", pl.lit(value=False)))
            ]
        )
        rows = _latest(rows, wrote, at="arrived", by=["gateway", "conv", "head", "fetched"])
        now = pl.col("written") >= pl.col("opened")
        rows = rows.with_columns(pl.when(now).then("written").alias("written"))
        rows = rows.with_columns(brought=pl.col("written").is_null() & ~pl.col("fetched"))
        return self._having(
            rows.with_columns(told_by=pl.coalesce("written", pl.when("brought").then("body"))), "told_by"
        )

    def _appends(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Add when the message got its number, and the begin and end of its first append."""
        applied = self._stamps("applied").select("msg", applied="t")
        rows = self._having(_latest(rows, applied, at="told_by", by=["msg"]), "applied")
        rows = rows.with_columns(
            written=pl.coalesce("written", "applied"),
            arrived=pl.when("brought").then("applied").otherwise("arrived"),
        ).with_columns(answered=pl.when("brought").then("applied").otherwise("body"))
        durable = self._stamps("durable").select("msg", chat="service", durable="t")
        first = durable.sort("durable").unique("msg", keep="first", maintain_order=True)
        rows = self._having(rows.join(first, on="msg", how="left"), "durable")
        appending = self._stamps("appending").select("msg", chat="service", appending="t")
        rows = self._having(_latest(rows, appending, at="durable", by=["msg", "chat"]), "appending")
        # The sequencer may read a record before the chat service hears that the append has returned.
        return rows.with_columns(kept=pl.min_horizontal("durable", "applied"))

    def _attempts(self, rows: pl.DataFrame, history: History) -> pl.DataFrame:
        """Add when the attempt that led to this append was sent, and when it passed a gateway."""
        taken = self._stamps("taken").select("msg", chat="service", taken="t")
        rows = self._having(_latest(rows, taken, at="appending", by=["msg", "chat"]), "taken")
        handed_on = self._stamps("handed_on").select("msg", handed_on="t")
        rows = self._having(_latest(rows, handed_on, at="taken", by=["msg"]), "handed_on")
        sends = facts_of(history).sends.select("conv", "msg", sent_at="t")
        rows = self._having(rows.join(sends, on=["conv", "msg"], how="left"), "sent_at")
        again = self._swarm("sent_again").select("msg", attempt_at="t")
        attempts = pl.concat([sends.select("msg", attempt_at="sent_at"), again])
        rows = self._having(_latest(rows, attempts, at="handed_on", by=["msg"], slack_ns=ORDER_SLACK_NS), "attempt_at")
        return rows.with_columns(again=pl.col("attempt_at") > pl.col("sent_at"))

    def _in_order(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return the rows whose moments are in order; moments out of order by less than ORDER_SLACK_NS are moved."""
        steps = [pl.col(after) - pl.col(before) for before, after in pairwise(TIMES)]
        fine = pl.min_horizontal(steps) >= -ORDER_SLACK_NS
        self.left_out["order"] += rows.filter(~fine).height
        rows = rows.filter(fine).with_columns(latency_ns=pl.col("shown") - pl.col("due"))
        for before, after in pairwise(TIMES):
            rows = rows.with_columns(pl.max_horizontal(before, after).alias(after))
        rows = rows.with_columns(announced=~pl.col("brought"))
        columns = [*DELIVERY, *TIMES, "latency_ns", "durable", "again", "announced", "fetched", "brought"]
        return rows.select(columns).sort("due", *DELIVERY)

    def _stamps(self, name: str) -> pl.DataFrame:
        return self._traces.stamps.filter(pl.col("name") == name)

    def _swarm(self, name: str) -> pl.DataFrame:
        return self._traces.swarm.filter(pl.col("name") == name)

    def _having(self, rows: pl.DataFrame, moment: str) -> pl.DataFrame:
        """Return the rows that have this moment, and count the others."""
        there = rows.filter(pl.col(moment).is_not_null())
        self.left_out[moment] += rows.height - there.height
        return there


def _latest(rows: pl.DataFrame, stamps: pl.DataFrame, *, at: str, by: Sequence[str], slack_ns: int = 0) -> pl.DataFrame:
    """Return each row with the latest stamp not after its `at`, or null.

    The last column of `stamps` is their time.
    """
    found = stamps.columns[-1]
    joined = rows.with_columns(limit=pl.col(at) + slack_ns).sort("limit").join_asof(
        stamps.sort(found), left_on="limit", right_on=found, by=list(by), check_sortedness=False
    )  # fmt: skip
    return joined.drop("limit")
