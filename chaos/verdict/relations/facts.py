"""What the checks derive from a history, computed once and shared: who sent, acked, showed and read back what, and who
was allowed to see which numbers. All frames are plain relations; the columns are in each docstring.

A message is identified by (conv, msg): recorders may count messages per conversation. A device that is whose is told
by `device` events; a device with several users sees what any of them sees.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Final

import polars as pl

from chaos.verdict.history.history import History
from chaos.verdict.relations.base import FOREVER, MESSAGE, PLACE
from chaos.verdict.relations.stays import Stays, apart
from chaos.verdict.relations.windows import Windows
from load.history.events import EVENT_NAMES, names_of

PART_ROWS: Final = 200_000
"""Readers that are looked at in one go: some 100 MB."""
UPON: Final = ("edit", "delete", "reaction")
"""Events that concern another message."""
DOINGS: Final = names_of("device", "read-back")
"""Events that a device brings about."""


class Facts:
    """The derived relations of one history."""

    def __init__(self, history: History) -> None:
        self._history = history

    @cached_property
    def _by_kind(self) -> dict[str, pl.DataFrame]:
        parts = self._history.events.partition_by("e", as_dict=True, maintain_order=True)
        return {str(key[0]): frame for key, frame in parts.items()}

    def of(self, kind: str) -> pl.DataFrame:
        """The events of one kind, by time, with all columns."""
        assert kind in EVENT_NAMES
        found = self._by_kind.get(kind)
        return self._history.events.clear() if found is None else found

    @cached_property
    def sends(self) -> pl.DataFrame:
        """conv, msg, device, t, due: each message's invocation; a repeated send is a retry of the first.

        Nothing is wanted later than it is done: such a due is for `clocks`, and counts as the time of the send.
        """
        first = self.of("send").unique(MESSAGE, keep="first", maintain_order=True)
        return first.select(*MESSAGE, "device", "t", due=pl.min_horizontal("due", "t"))

    @cached_property
    def bodies(self) -> pl.DataFrame:
        """conv, msg, hash: what was sent, and what it was edited to."""
        edited = self.upon.filter((pl.col("e") == "edit") & pl.col("hash").is_not_null())
        return pl.concat([self.of("send").select(*MESSAGE, "hash"), edited.select(*MESSAGE, "hash")]).unique()

    @cached_property
    def upon(self) -> pl.DataFrame:
        """e, t, device, conv, msg, seq, hash: edits, deletions and reactions; msg: the message that they are of.

        It is told by its id, or by its number where no message of the conversation has that id.
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
        """conv, msg: messages that were taken back; nobody has to have them any more."""
        return self.upon.filter(pl.col("e") == "delete").select(MESSAGE).unique()

    @cached_property
    def edited(self) -> pl.DataFrame:
        """conv, msg: messages that were edited; they may have several contents."""
        return self.upon.filter(pl.col("e") == "edit").select(MESSAGE).unique()

    @cached_property
    def acks(self) -> pl.DataFrame:
        """conv, msg, seq, device, t: each number that a message was acked under, when first, and to whom."""
        return self.of("ack").unique(PLACE, keep="first", maintain_order=True).select(*PLACE, "device", "t")

    @cached_property
    def refused(self) -> pl.DataFrame:
        """conv, msg: refused for good."""
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
        """device, conv, msg, seq, hash: what was read back, each once."""
        return self.of("final").select("device", *PLACE, "hash").unique()

    def despite_holes(self, missed: pl.DataFrame) -> pl.DataFrame:
        """Of what devices did not show in time (device, conv, msg, shown): what they certainly should have.

        In a history with holes a removal may have gone unrecorded: there only what was shown later or is in the final.
        """
        if not self._history.holes:
            return missed
        kept = self.finals.select("device", *MESSAGE).unique().with_columns(kept=True)
        found = missed.join(kept, on=["device", *MESSAGE], how="left")
        return found.filter(pl.col("kept").is_not_null() | pl.col("shown").is_not_null())

    @cached_property
    def heads(self) -> pl.DataFrame:
        """device, conv, head: the complete read-backs."""
        return self.of("final_done").group_by("device", "conv").agg(head=pl.col("seq").max())

    @cached_property
    def seen(self) -> pl.DataFrame:
        """device, conv, msg, seq, hash: all that arrived, was displayed or was read back, each once."""
        columns = ["device", *PLACE, "hash"]
        return pl.concat([self.of("wire").select(columns), self.shows.select(columns), self.finals]).unique()

    @cached_property
    def places(self) -> pl.DataFrame:
        """conv, msg, seq, t: every number that any event gives a message; t: the first such event outside finals, null
        when only finals have it.
        """
        columns = [*PLACE, "t"]
        live = [self.acks.select(columns), self.of("wire").select(columns), self.shows.select(columns)]
        read = self.finals.select(*PLACE, t=pl.lit(None, dtype=pl.Int64))
        return pl.concat([*live, read]).group_by(PLACE).agg(pl.col("t").min())

    @cached_property
    def owners(self) -> pl.DataFrame:
        """device, user."""
        return self.of("device").select("device", "user").unique()

    @cached_property
    def strangers(self) -> pl.DataFrame:
        """device: those that did or read something, and whose user is not known."""
        parts = [part.select("device").unique() for kind, part in self._by_kind.items() if kind in DOINGS]
        did = pl.concat([self.owners.select("device").clear(), *parts]).unique()
        return did.join(self.owners, on="device", how="anti")

    @cached_property
    def changes(self) -> pl.DataFrame:
        """conv, seq: the numbers that membership changes, edits, deletions and reactions took."""
        number = ["conv", "seq"]
        own = self.upon.filter(pl.col("seq").is_not_null()).join(self.places, on=PLACE, how="anti")
        members = self.of("member").filter(pl.col("seq") > 0)
        return pl.concat([members.select(number), own.select(number)]).unique()

    @cached_property
    def spans(self) -> pl.DataFrame:
        """conv, user, first, last: a stay; its user is a member for the numbers strictly between first and last.

        By number, not by time. An add of a member and a removal of somebody who is none change nothing.
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
        """`places` (with conv and seq) times the devices, as `reader`, of every user who is a member at that number."""
        seq = pl.col("seq")
        spans = self.device_spans.rename({"device": "reader"})
        found = places.join(spans, on="conv").filter((pl.col("first") < seq) & (seq < pl.col("last")))
        found = found.drop("first", "last")
        shared = self.owners["device"].is_duplicated().any()
        return found.unique(maintain_order=True) if shared else found

    def parts(self, places: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """`places` (with conv, msg and seq) in parts of whole messages, each with about PART_ROWS readers at most.

        Members times messages may be far more than there are events: whoever asks for all readers goes part by part.
        """
        sizes = self.device_spans.group_by("conv").agg(size=pl.len())
        sized = places.join(sizes, on="conv", how="left").sort(*MESSAGE, "seq")
        sized = sized.with_columns(part=pl.col("size").fill_null(1).cast(pl.Int64).cum_sum() // PART_ROWS)
        sized = sized.with_columns(part=pl.col("part").first().over(MESSAGE)).drop("size")
        for part in sized.partition_by("part", maintain_order=True):
            yield part.drop("part")

    def acked_readers(self) -> Iterator[pl.DataFrame]:
        """conv, msg, seq, device, t, reader: each acked message at each device that must have it, in parts."""
        for part in self.parts(self.acks.join(self.deleted, on=MESSAGE, how="anti")):
            yield self.readers(part)

    def shown_of(self, part: pl.DataFrame) -> pl.DataFrame:
        """device, conv, msg, shown: the first displays of a part's messages."""
        shows = self.first_shows.join(part.select(MESSAGE).unique(), on=MESSAGE, how="semi")
        return shows.select("device", *MESSAGE, shown="t")

    @cached_property
    def devices(self) -> pl.Series:
        """Every device that any event names."""
        named = self._history.events.filter(pl.col("e") != "presence")["device"]
        return named.drop_nulls().unique().sort()

    @cached_property
    def stays(self) -> Stays:
        """When devices were there."""
        return Stays(self._history)

    @cached_property
    def windows(self) -> Windows:
        """When faults were there."""
        return Windows(self._history, self.samples)

    @cached_property
    def samples(self) -> pl.DataFrame:
        """device, conv, msg, seq, due, t, latency_ns: deliveries by which latency is judged, by due.

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


def facts_of(history: History) -> Facts:
    """The relations of a history, computed once."""
    return history.once(Facts)
