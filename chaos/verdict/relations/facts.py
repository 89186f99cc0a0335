"""The relations that checks derive from a history, computed once: sends, acks, displays, read-backs, memberships.

All values are plain relations; each docstring lists the columns. A message is identified by (conv, msg), because
recorders may count messages per conversation. `device` events say to which user a device belongs; a device with several
users sees what any of them sees.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Final

import polars as pl

from chaos.verdict.history.history import History
from chaos.verdict.relations.base import FOREVER, MESSAGE, PLACE, in_stay
from chaos.verdict.relations.stays import Stays, apart
from chaos.verdict.relations.windows import Windows
from load.history.events import EVENT_NAMES, names_of

PART_ROWS: Final = 200_000
"""Approximate number of readers in one part: some 100 MB."""
UPON: Final = ("edit", "delete", "reaction")
"""Events that concern another message."""
DOINGS: Final = names_of("device", "read-back")
"""Events that a device causes."""


class Facts:
    """The derived relations of one history."""

    def __init__(self, history: History) -> None:
        self._history = history

    @cached_property
    def _by_kind(self) -> dict[str, pl.DataFrame]:
        parts = self._history.events.partition_by("e", as_dict=True, maintain_order=True)
        return {str(key[0]): frame for key, frame in parts.items()}

    def of(self, kind: str) -> pl.DataFrame:
        """Return the events of one kind, by time, with all columns."""
        assert kind in EVENT_NAMES
        found = self._by_kind.get(kind)
        return self._history.events.clear() if found is None else found

    @cached_property
    def sends(self) -> pl.DataFrame:
        """conv, msg, device, t, due: each message's first invocation; a repeated send is a retry.

        A due later than its send counts as the time of the send; `clocks` judges it.
        """
        first = self.of("send").unique(MESSAGE, keep="first", maintain_order=True)
        return first.select(*MESSAGE, "device", "t", due=pl.min_horizontal("due", "t"))

    @cached_property
    def bodies(self) -> pl.DataFrame:
        """conv, msg, hash: the contents that were sent, and those they were edited to."""
        edited = self.upon.filter((pl.col("e") == "edit") & pl.col("hash").is_not_null())
        return pl.concat([self.of("send").select(*MESSAGE, "hash"), edited.select(*MESSAGE, "hash")]).unique()

    @cached_property
    def upon(self) -> pl.DataFrame:
        """e, t, device, conv, msg, seq, hash: edits, deletions and reactions; msg is the message that they concern.

        An event names it by its id, or by its number if no message of the conversation has that id.
        """
        rows = pl.concat([self.of(kind) for kind in UPON]).select("e", "t", "device", *MESSAGE, "seq", "hash")
        sent = self.of("send").select(MESSAGE).unique()
        other = rows.join(sent, on=MESSAGE, how="anti")
        if not other.height:
            return rows
        at = {(conv, seq): msg for conv, msg, seq in self.places.select(PLACE).iter_rows()}
        decode = self._history.ids.decode
        msgs = [at.get((conv, decode("msg", of)), of) for conv, of in other.select(MESSAGE).iter_rows()]
        named = other.with_columns(pl.Series("msg", msgs, dtype=pl.Int64))
        return pl.concat([rows.join(sent, on=MESSAGE, how="semi"), named])

    @cached_property
    def deleted(self) -> pl.DataFrame:
        """conv, msg, gone: deleted messages, and since when; no device must still have them."""
        return self.upon.filter(pl.col("e") == "delete").group_by(MESSAGE).agg(gone=pl.col("t").min())

    @cached_property
    def edited(self) -> pl.DataFrame:
        """conv, msg: edited messages; they may have several contents."""
        return self.upon.filter(pl.col("e") == "edit").select(MESSAGE).unique()

    @cached_property
    def acks(self) -> pl.DataFrame:
        """conv, msg, seq, device, t: each number that a message was acked under, with the first such ack."""
        return self.of("ack").unique(PLACE, keep="first", maintain_order=True).select(*PLACE, "device", "t")

    @cached_property
    def refused(self) -> pl.DataFrame:
        """conv, msg: messages that were definitely refused."""
        return self.of("nack").filter(pl.col("arg") == 1).select(MESSAGE).unique()

    @cached_property
    def indeterminate(self) -> pl.DataFrame:
        """conv, msg, device, t, due: sends with neither an ack nor a definite refusal."""
        return self.sends.join(self.acks, on=MESSAGE, how="anti").join(self.refused, on=MESSAGE, how="anti")

    @cached_property
    def shows(self) -> pl.DataFrame:
        """device, conv, msg, seq, hash, t: every display, by time."""
        return self.of("show").select("device", *PLACE, "hash", "t")

    @cached_property
    def first_shows(self) -> pl.DataFrame:
        """device, conv, msg, seq, t: the first display of each message on each device, by time."""
        return self.shows.unique(["device", *MESSAGE], keep="first", maintain_order=True).drop("hash")

    @cached_property
    def finals(self) -> pl.DataFrame:
        """device, conv, msg, seq, hash: the messages that were read back, each once."""
        return self.of("final").select("device", *PLACE, "hash").unique()

    def despite_holes(self, missed: pl.DataFrame) -> pl.DataFrame:
        """Return the rows of `missed` (device, conv, msg, shown) that certainly should have been shown in time.

        In a history with holes a removal may be unrecorded. There only messages shown later or in the final are
        certain.
        """
        if not self._history.holes:
            return missed
        kept = self.finals.select("device", *MESSAGE).unique().with_columns(kept=True)
        found = missed.join(kept, on=["device", *MESSAGE], how="left")
        return found.filter(pl.col("kept").is_not_null() | pl.col("shown").is_not_null())

    @cached_property
    def heads(self) -> pl.DataFrame:
        """device, conv, head, done: the complete read-backs, and when the last of a device and conversation ended."""
        return self.of("final_done").group_by("device", "conv").agg(head=pl.col("seq").max(), done=pl.col("t").max())

    @cached_property
    def seen(self) -> pl.DataFrame:
        """device, conv, msg, seq, hash: all messages that arrived, were displayed or were read back, each once."""
        columns = ["device", *PLACE, "hash"]
        return pl.concat([self.of("wire").select(columns), self.shows.select(columns), self.finals]).unique()

    @cached_property
    def places(self) -> pl.DataFrame:
        """conv, msg, seq, t: every number that any event gives a message.

        `t` is the first such event outside finals; null if only finals have it.
        """
        columns = [*PLACE, "t"]
        live = [self.acks.select(columns), self.of("wire").select(columns), self.shows.select(columns)]
        read = self.finals.select(*PLACE, t=pl.lit(None, dtype=pl.Int64))
        return pl.concat([*live, read]).group_by(PLACE).agg(pl.col("t").min())

    @cached_property
    def owners(self) -> pl.DataFrame:
        """device, user: the users of each device."""
        return self.of("device").select("device", "user").unique()

    @cached_property
    def strangers(self) -> pl.DataFrame:
        """device: devices that caused an event and whose user is not known."""
        parts = [part.select("device").unique() for kind, part in self._by_kind.items() if kind in DOINGS]
        did = pl.concat([self.owners.select("device").clear(), *parts]).unique()
        return did.join(self.owners, on="device", how="anti")

    @cached_property
    def changes(self) -> pl.DataFrame:
        """conv, seq: the numbers that membership changes, edits, deletions and reactions took."""
        number = ["conv", "seq"]
        members = self.of("member").filter(pl.col("seq") > 0)
        return pl.concat([members.select(number), self.upon_numbers.select(number)]).unique()

    @cached_property
    def upon_numbers(self) -> pl.DataFrame:
        """The rows of `upon` that have a number of their own."""
        return self.upon.filter(pl.col("seq").is_not_null()).join(self.places, on=PLACE, how="anti")

    @cached_property
    def spans(self) -> pl.DataFrame:
        """conv, user, first, last: the user is a member for the numbers strictly between first and last.

        Counted by number, not by time. An add of a member and a removal of a non-member change nothing.
        """
        stay = ["conv", "user"]
        changes = self.of("member").select(*stay, "seq", "arg").unique().sort(*stay, "seq", "arg")
        before = pl.col("arg").shift(1, fill_value=0).over(stay)
        return (
            changes.filter(pl.col("arg") != before)
            .with_columns(last=pl.col("seq").shift(-1, fill_value=FOREVER).over(stay))
            .filter(pl.col("arg") == 1)
            .select(*stay, first="seq", last="last")
        )

    @cached_property
    def device_spans(self) -> pl.DataFrame:
        """device, conv, first, last: the stays of each device's users."""
        return self.owners.join(self.spans, on="user").select("device", "conv", "first", "last").unique()

    def readers(self, places: pl.DataFrame) -> pl.DataFrame:
        """Return `places` (with conv and seq) joined with each member's devices at that number, as `reader`."""
        spans = self.device_spans.rename({"device": "reader"})
        found = places.join(spans, on="conv").filter(in_stay())
        found = found.drop("first", "last")
        shared = self.owners["device"].is_duplicated().any()
        return found.unique(maintain_order=True) if shared else found

    def parts(self, places: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """Yield `places` (with conv, msg and seq) in parts of whole messages, with about PART_ROWS readers at most.

        There may be far more readers than events, so a caller that needs all readers must work part by part.
        """
        sizes = self.device_spans.group_by("conv").agg(size=pl.len())
        sized = places.join(sizes, on="conv", how="left").sort(*MESSAGE, "seq")
        sized = sized.with_columns(part=pl.col("size").fill_null(1).cast(pl.Int64).cum_sum() // PART_ROWS)
        sized = sized.with_columns(part=pl.col("part").first().over(MESSAGE)).drop("size")
        for part in sized.partition_by("part", maintain_order=True):
            yield part.drop("part")

    def acked_readers(self) -> Iterator[pl.DataFrame]:
        """Yield conv, msg, seq, device, t, gone, reader: each acked message at each device that must have it, in parts.

        `gone`: when it was deleted, which ends that duty.
        """
        for part in self.parts(self.acks.join(self.deleted, on=MESSAGE, how="left")):
            yield self.readers(part)

    def shown_of(self, part: pl.DataFrame) -> pl.DataFrame:
        """Return device, conv, msg, shown: the first displays of a part's messages."""
        shows = self.first_shows.join(part.select(MESSAGE).unique(), on=MESSAGE, how="semi")
        return shows.select("device", *MESSAGE, shown="t")

    @cached_property
    def devices(self) -> pl.Series:
        """Every device that any event names."""
        named = self._history.events.filter(pl.col("e") != "presence")["device"]
        return named.drop_nulls().unique().sort()

    @cached_property
    def stays(self) -> Stays:
        """The sessions and absences of devices."""
        return Stays(self._history)

    @cached_property
    def windows(self) -> Windows:
        """The fault windows of the history."""
        return Windows(self._history, self.samples)

    @cached_property
    def samples(self) -> pl.DataFrame:
        """device, conv, msg, seq, due, t, latency_ns: the deliveries by which latency is judged, by due.

        First displays at devices other than the sending one, of which no time from due to the display lies in a planned
        absence, or between that and being online again: how long coming back takes is for `liveness` and `catch_up`.
        """
        kept = apart(self.deliveries, self.stays.returns, start="due", end="t")
        return kept.with_columns(latency_ns=(pl.col("t") - pl.col("due")).clip(0)).sort("due", "device", *MESSAGE)

    @cached_property
    def deliveries(self) -> pl.DataFrame:
        """device, conv, msg, seq, t, due: first displays at devices other than the sending one."""
        sends = self.sends.select(*MESSAGE, "due", sender="device")
        shown = self.first_shows.join(sends, on=MESSAGE)
        return shown.filter(pl.col("device") != pl.col("sender")).drop("sender")

    @property
    def delivered(self) -> int:
        """How many rows `deliveries` has."""
        return self.deliveries.height


def facts_of(history: History) -> Facts:
    """Return the relations of a history, computed once."""
    return history.once(Facts)
