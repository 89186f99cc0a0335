"""When devices were there, from their `due_online`, `online` and `offline` events, in two readings.

A *session* is a time from one `online` to the next event of the connection: what the device saw for itself. An
*absence* is planned: from before the first event, or from a planned `offline`, until the device begins to come back.
That is the next `due_online`, or the next `online` in a history that does not tell the attempt. The rest is *presence*,
however often the connection broke in between, and however long the device waits to be online: a service that does not
let a device come back must not be excused by that. A device without any such event is present throughout if it ever did
anything, else never. Whether such a device was connected is *untold*, and so it is before a first event that is an
`offline`.

Connection events of the same time are read as alternating: for a device that was online the `offline` comes first.
Devices are not watched after `History.end_ns`. In a history with holes the process that ran a device may have died
unnoticed. There a device is watched only until its own last event.
"""

from __future__ import annotations

from functools import cached_property
from typing import Final

import polars as pl

from chaos.verdict.history.history import History
from chaos.verdict.relations.base import EVER, FOREVER
from load.history.events import names_of

OWN: Final = names_of("device")
"""Events by which a device shows that it is there."""
_CONNECTION: Final = pl.col("online") | ~pl.col("up")
"""Selects the rows of `Stays._events` that are `online` or `offline`."""


class Stays:
    """Sessions, absences and presences of the devices of one history."""

    def __init__(self, history: History, *, also_lively: pl.Series | None = None) -> None:
        """`also_lively`: devices that did something, where the events of the history may lack that."""
        self._history, self._also_lively = history, also_lively

    @cached_property
    def _events(self) -> pl.DataFrame:
        """device, t, up, online, planned: by device and time; up: due_online or online."""
        e = pl.col("e")
        events = self._history.events.filter(e.is_in(["due_online", "online", "offline"]))
        planned = (e == "offline") & (pl.col("arg") == 1)
        events = events.select("device", "t", up=e != "offline", online=e == "online", planned=planned)
        of_connection = events.filter(_CONNECTION)
        moments = of_connection.group_by("device", "t").agg(pl.col("up").first(), kinds=pl.col("up").n_unique())
        after = pl.when(pl.col("kinds") == 1).then("up").forward_fill()  # of both kinds: afterwards as before
        before = after.shift(1).over("device").fill_null(value=False)
        moments = moments.sort("device", "t").select("device", "t", was_up=before)
        return events.join(moments, on=["device", "t"], how="left").sort(
            "device", "t", (pl.col("up") == pl.col("was_up")).fill_null(value=True), maintain_order=True
        )

    @property
    def told(self) -> bool:
        """True if any event is about a connection, or about the intent to connect."""
        return self._events.height > 0

    @cached_property
    def watched(self) -> pl.DataFrame:
        """device, until: every device that did anything, and the end of the time for which its presence is known."""
        history = self._history
        own = history.events.filter(pl.col("e").is_in(OWN)).group_by("device").agg(until=pl.col("t").max())
        if self._also_lively is not None:
            lively = pl.DataFrame({"device": self._also_lively}).join(own, on="device", how="anti")
            own = pl.concat([own, lively.with_columns(until=pl.lit(None, dtype=pl.Int64))])
        if history.holes:
            return own.with_columns(pl.min_horizontal("until", pl.lit(history.end_ns)))
        return own.with_columns(until=pl.lit(history.end_ns, dtype=pl.Int64))

    @cached_property
    def sessions(self) -> pl.DataFrame:
        """device, start, end: the device was online without a break that it noticed."""
        after = pl.col("t").shift(-1).over("device")
        events = self._events.filter(_CONNECTION)
        found = events.with_columns(end=after).filter("up").join(self.watched, on="device")
        return found.select("device", start="t", end=pl.min_horizontal(pl.col("end").fill_null(FOREVER), "until"))

    @cached_property
    def untold(self) -> pl.DataFrame:
        """device, start, end: times at which nothing tells whether a device that did something was connected."""
        first = self._events.group_by("device").agg(pl.col("t").first(), pl.col("up").first())
        ends = self.watched.join(first, on="device", how="left").filter(~pl.col("up").fill_null(value=False))
        return ends.select("device", start=pl.lit(EVER), end=pl.min_horizontal("t", "until"))

    @cached_property
    def absences(self) -> pl.DataFrame:
        """device, start, end: planned absences, by start; they do not overlap. `end` FOREVER: it did not come back."""
        return self._absences(until="up")

    @cached_property
    def returns(self) -> pl.DataFrame:
        """device, start, end: the planned absences, each with the time until the device is online again."""
        return self._absences(until="online")

    def _absences(self, *, until: str) -> pl.DataFrame:
        """Absences that end with an event that is `until`."""
        first = pl.col("t").cum_count().over("device") == 1
        back = pl.when(until).then("t").backward_fill().over("device").fill_null(FOREVER)
        events = self._events.with_columns(first=first, back=back)
        before = events.filter(pl.col("first") & pl.col("up")).select("device", start=pl.lit(EVER), end="back")
        left = events.filter("planned").select("device", start="t", end="back")
        merged = pl.concat([before, left]).group_by("device", "end").agg(pl.col("start").min())
        return merged.select("device", "start", "end").sort("start", "device")

    @cached_property
    def presences(self) -> pl.DataFrame:
        """device, start, end: the time between the absences, cut at the end of the watched time."""
        absences = self.absences.sort("device", "start")
        back = pl.col("end").shift(1, fill_value=EVER).over("device")
        until_next = absences.select("device", start=back, end="start")
        after_last = absences.group_by("device").agg(start=pl.col("end").max())
        always = self.watched.join(absences, on="device", how="anti").select("device", start=pl.lit(EVER))
        open_ended = pl.concat([after_last, always]).with_columns(end=pl.lit(FOREVER))
        found = pl.concat([until_next, open_ended]).join(self.watched, on="device")
        cut = found.select("device", "start", end=pl.min_horizontal("end", "until"))
        return cut.filter(pl.col("start") < pl.col("end")).sort("device", "start")


def apart(rows: pl.DataFrame, spans: pl.DataFrame, *, start: str, end: str) -> pl.DataFrame:
    """The rows (with `device`) whose time from column `start` to column `end` none of the device's spans overlaps.

    `spans` has device, start and end; those of one device do not overlap each other. Times that touch do not overlap.
    """
    last = rows.sort(end).join_asof(
        spans.select("device", away="start", back="end").sort("away", "back"),
        left_on=end, right_on="away", by="device", allow_exact_matches=False, check_sortedness=False,
    )  # fmt: skip
    return last.filter(pl.col("back").is_null() | (pl.col("back") <= pl.col(start))).drop("away", "back")


def overlapping(rows: pl.DataFrame, spans: pl.DataFrame, *, start: str, end: str) -> pl.DataFrame:
    """Return the rows (with `device`) whose time from column `start` to column `end` overlaps a span of the device.

    `spans` has device, start and end; the spans of one device do not overlap each other.
    """
    last = rows.sort(end).join_asof(
        spans.select("device", begin="start", stop="end").sort("begin", "stop"),
        left_on=end, right_on="begin", by="device", check_sortedness=False,
    )  # fmt: skip
    return last.filter(pl.col("stop") > pl.col(start)).drop("begin", "stop")
