"""causal: an answer is not shown before its question.

Guarantee: if a device showed m1 before it invoked m2, no device that is a member of both conversations shows m2 before
m1.
Anomaly: the effect is shown before its cause.

    {"e":"show","t":10,"device":1,"conv":7,"msg":4,..}          then device 1 answers elsewhere
    {"e":"send","t":20,"device":1,"conv":8,"msg":5,..}
    {"e":"show","t":30,"device":2,"conv":8,"msg":5,..}          device 2 shows 4 of conversation 7 only at 40

Decisions. First displays count, strictly earlier on both sides. A device that never shows m1 is for `liveness`. Only
what a device itself had shown is a cause; chains are found link by link. A device that waited for the cause in vain may
show the message with a mark (`incomplete`): its reader knows that something before it is missing, and is not deceived.
Such displays are counted apart. Without the mark it was too patient for a slow machine: that is tardy (see Finding). A
device that did not wait is neither, mark or not. A line that cannot be read yet (`"incomplete":"sealed"`: its keys are
not there) is no answer. The history does not say when it opens.

Algorithm. On device d, m2 is a candidate if some m1 was displayed anywhere before m2 was invoked, and on d only after
m2. The running minimum of first displays, from d's last display backwards, finds the candidates. Only for candidates
does the check look up whether m2's sender had shown that m1, in parts of bounded size.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from chaos.verdict.bulk.condensed import Condensed
from chaos.verdict.finding import MAX_COUNTEREXAMPLES, Evidence, Finding, Row, Words, count, nothing
from chaos.verdict.history.history import History
from chaos.verdict.relations.base import MESSAGE, SECOND, in_stay
from chaos.verdict.relations.facts import facts_of
from load.history.events import SEALED

NAME = "causal"
RANK = 80
HELD_S = 1.0
"""From the arrival to the display. Our devices wait 15 s for a cause (ClientSettings.hold_s), or for five connections;
one that does not wait displays at once, within milliseconds even where a process is late."""
PART_ROWS = 1_000_000
"""Approximate number of pairs that are examined at a time."""


def check(history: History) -> Finding:
    """Return the finding; `anomalies` counts the inversions in the first part that has any."""
    facts, words = facts_of(history), Words(history)
    shows = _member_shows(history)
    sends = facts.sends.select(*MESSAGE, sender="device", sent="t")
    answers = shows.join(sends, on=MESSAGE).join(_marks(history, SEALED), on=["device", *MESSAGE], how="anti")
    if not answers.height:
        return nothing(NAME)
    candidates = _candidates(shows, answers, facts.first_shows)
    found, marked = shows.clear(), 0
    for part in _parts(candidates, shows):
        inverted = _inversions(part, shows, facts.first_shows)
        admitted = _held(history, inverted).join(_marks(history, 1), on=["device", *MESSAGE], how="semi")
        marked += admitted.height
        found = inverted.join(admitted, on=["device", *MESSAGE], how="anti")
        if found.height:
            break

    def text(row: Row) -> str:
        return (
            f"{words.device(row, 'sender')} showed {words.msg(row, 'cause')} before it sent {words.msg(row)} "
            f"{words.at(row['sent'])}, but {words.device(row)} showed {words.msg(row)} {words.at(row['t'])} and "
            f"{words.msg(row, 'cause')} {words.at(row['cause_t'])}"
        )

    if found.height:
        more = "at least " if found.height >= MAX_COUNTEREXAMPLES else ""
        return words.invalid(
            NAME,
            f"{more}{count(found.height, 'message')} shown before one that its sender had already shown",
            Evidence(found, text, ("sender", "device")),
            anomalies=found.height,
            tardy=_held(history, found).height == found.height,
        )
    return _none_before(answers.height, candidates.height, marked)


def quick(bulk: Condensed) -> Finding | None:
    """Return the finding if no answer is displayed before its question."""
    if not bulk.shows:
        return nothing(NAME)
    candidates = bulk.causal
    if candidates is None:
        return None
    if candidates.height:
        ends = pl.concat([candidates["device"], candidates["sender"].rename("device")]).unique()
        shows = bulk.shown_on(ends)
        if shows is None:
            return None
        ordered = candidates.sort("t", "device", *MESSAGE)
        if any(_inversions(part, shows, shows).height for part in _parts(ordered, shows)):
            return None
    return _none_before(bulk.shows, candidates.height, 0)


def _none_before(displays: int, candidates: int, marked: int) -> Finding:
    detail = (
        f"{count(displays, 'display')}, {candidates:,} of them looked at closely, none before its cause"
        f"{f', but {marked:,} marked as such after a wait' if marked else ''}"
    )
    return Finding(name=NAME, verdict="valid", detail=detail)


def _held(history: History, found: pl.DataFrame) -> pl.DataFrame:
    """The inversions whose message had arrived HELD_S before it was displayed."""
    arrived = facts_of(history).of("wire").group_by("device", *MESSAGE).agg(arrived=pl.col("t").min())
    waited = found.join(arrived, on=["device", *MESSAGE])
    return waited.filter(pl.col("t") - pl.col("arrived") >= HELD_S * SECOND)


def _marks(history: History, mark: int) -> pl.DataFrame:
    """Return device, conv, msg: the displays that are marked as incomplete (1), or as SEALED."""
    return facts_of(history).of("show").filter(pl.col("arg") == mark).select("device", *MESSAGE).unique()


def _member_shows(history: History) -> pl.DataFrame:
    """Return device, conv, msg, seq, t: first displays at numbers where the device's user is a member, by time."""
    facts = facts_of(history)
    spans = facts.first_shows.join(facts.device_spans, on=["device", "conv"])
    allowed = spans.filter(in_stay()).drop("first", "last")
    return allowed.unique(["device", *MESSAGE]).sort("t", "device", *MESSAGE)


def _candidates(shows: pl.DataFrame, answers: pl.DataFrame, first_shows: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of `answers` whose device later shows something that was first shown anywhere before `sent`."""
    born = first_shows.group_by(MESSAGE).agg(born=pl.col("t").min())
    later = shows.join(born, on=MESSAGE).sort("t", "born", descending=[True, False])
    later = later.with_columns(oldest=pl.col("born").cum_min().over("device")).sort("t")
    joined = answers.filter(pl.col("device") != pl.col("sender")).sort("t").join_asof(
        later.unique(["device", "t"], keep="first", maintain_order=True).select("device", "oldest", next="t"),
        left_on="t", right_on="next", by="device", strategy="forward", allow_exact_matches=False,
        check_sortedness=False,
    )  # fmt: skip
    return joined.filter(pl.col("oldest") < pl.col("sent")).sort("t", "device", *MESSAGE)


def _parts(candidates: pl.DataFrame, shows: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Yield the candidates in slices whose devices have about PART_ROWS displays in total."""
    if not candidates.height:
        return
    sizes = shows.group_by("device").agg(size=pl.len())
    sized = candidates.join(sizes, on="device", how="left", maintain_order="left")
    part = (sized["size"].cast(pl.Int64).cum_sum() // PART_ROWS).fill_null(0)
    for _, slice_ in sized.drop("size").group_by(part.alias("part"), maintain_order=True):
        yield slice_.drop("part", strict=False)


def _inversions(part: pl.DataFrame, shows: pl.DataFrame, first_shows: pl.DataFrame) -> pl.DataFrame:
    """Return the candidates whose sender had shown a later-shown message before the send, and one such message each."""
    causes = shows.select("device", cause_conv="conv", cause="msg", cause_t="t")
    later = part.join(causes, on="device").filter(pl.col("cause_t") > pl.col("t"))
    before = first_shows.select(sender="device", cause_conv="conv", cause="msg", before=pl.col("t"))
    found = later.join(before, on=["sender", "cause_conv", "cause"]).filter(pl.col("before") < pl.col("sent"))
    ordered = found.sort("t", "device", *MESSAGE, "cause_t", "cause_conv", "cause")
    return ordered.unique(["device", *MESSAGE], keep="first", maintain_order=True)
