"""presence: the picture of who is online is fresh.

Guarantee: a viewer's picture of a user is never staler than the bound, and the viewer is told again within it after a
reconnect.
Anomaly: a user shown online who has left, a user who came back and is not seen, or a screen that stays empty.

    {"e":"offline","t":1000000000,"device":2}                   user 2's only device
    {"e":"presence","t":2000000000,"viewer":1,"user":2,"state":"online"}
    {"e":"offline","t":90000000000,"device":1}                  the viewer looked at that for 88 s

Decisions. The picture is the last state that the viewer was told. A user is online while any device is in a session. A
user is offline while every device is known to be in none, from before its first `online` on. The picture is stale while
it differs from that state; it may be stale for `presence_s` without a break. The viewer is judged only within one
session: going offline ends its picture. A viewer that had a picture when its session ended and comes back must be told
within the bound, if it stays that long. The bound counts from the end of a fault window that overlaps it. States other
than online and offline are no picture: they end the previous picture, and no update is required after them. Users
without connection events have no state. In a history with holes, a user whose device may have died unnoticed no longer
has one.
"""

from __future__ import annotations

import polars as pl

from chaos.verdict.bulk.condensed import Condensed
from chaos.verdict.finding import Evidence, Finding, Row, Words, count, nothing
from chaos.verdict.history.history import History
from chaos.verdict.relations.base import EVER, FOREVER
from chaos.verdict.relations.facts import facts_of
from load.history.events import UNKNOWN_STATE

NAME = "presence"
RANK = 130


def check(history: History) -> Finding:
    """Return the finding; `anomalies` counts stale pictures and missing updates after a reconnect."""
    facts, words = facts_of(history), Words(history)
    told = facts.of("presence").select("t", "user", "arg", viewer="device")
    states = told.filter(pl.col("arg") <= 1).height
    if not states:
        return nothing(NAME)
    bound_ns = round(history.bounds.presence_s * 1e9)
    pictures = _pictures(history, told)
    truths = _truths(history)
    stale = (
        pictures.join(truths, on="user")
        .filter(pl.col("arg") != pl.col("state"))
        .with_columns(
            since=pl.max_horizontal("start", "from"),
            until=pl.min_horizontal("end", "to"),
        )
        .filter(pl.col("until") - pl.col("since") > bound_ns)
        .sort("since", "viewer", "user")
    )

    def text(row: Row) -> str:
        seen, real = ("online", "offline") if row["arg"] else ("offline", "online")
        return (
            f"{words.device(row, 'viewer')} saw {words.user(row)} {seen} from {words.time(row['since'])} to "
            f"{words.time(row['until'])}, while that user was {real}"
        )

    untold = _untold(history, told, bound_ns)

    def dark(row: Row) -> str:
        return (
            f"{words.device(row, 'viewer')} came back {words.at(row['back'])}, had looked at {words.user(row)} before, "
            f"and was told nothing until {words.time(row['deadline'])}"
        )

    if stale.height or untold.height:
        detail = f"{count(stale.height, 'picture')} stale for more than {history.bounds.presence_s:g} s"
        if untold.height:
            detail += f", {untold.height:,} not told within that after a reconnect"
        return words.invalid(
            NAME,
            detail,
            Evidence(stale, text, ("viewer",)),
            Evidence(untold, dark, ("viewer",)),
            anomalies=stale.height + untold.height,
            tardy=not untold["again"].null_count() and not _never_corrected(stale, told).height,
        )
    return Finding(name=NAME, verdict="valid", detail=f"{count(states, 'state')} told, none stale for too long")


def quick(bulk: Condensed) -> Finding:
    """Return the finding; the rest of the history has all that this check reads."""
    return check(bulk.rest)


def _never_corrected(stale: pl.DataFrame, told: pl.DataFrame) -> pl.DataFrame:
    """The stale pictures that no later event put right."""
    return stale.join(told.select("viewer", "user", until="t"), on=["viewer", "user", "until"], how="anti")


def _pictures(history: History, told: pl.DataFrame) -> pl.DataFrame:
    """Return viewer, user, arg, start, end: each picture of a viewer, cut at the end of its session."""
    stays = facts_of(history).stays
    pair = ["viewer", "user"]
    told = told.sort("t", maintain_order=True).with_columns(next=pl.col("t").shift(-1).over(pair))
    spans = pl.concat([stays.sessions, stays.untold]).rename({"device": "viewer"}).sort("start", "end")
    at = told.sort("t").join_asof(
        spans, left_on="t", right_on="start", by="viewer", coalesce=False, check_sortedness=False
    )
    watched = stays.watched.select(viewer="device")
    known = at.join(watched, on="viewer", how="semi")
    always = at.join(watched, on="viewer", how="anti").with_columns(end=pl.lit(history.end_ns, dtype=pl.Int64))
    both = pl.concat([known.filter(pl.col("t") < pl.col("end")), always]).filter(pl.col("arg") <= 1)
    # The same state told again: the picture continues, and so does its staleness.
    seen = both.select(*pair, "arg", start="t", end=pl.min_horizontal("end", pl.col("next").fill_null(history.end_ns)))
    seen = seen.filter(pl.col("start") < pl.col("end")).sort(*pair, "start")
    goes_on = (pl.col("arg") == pl.col("arg").shift(1).over(pair)) & (
        pl.col("start") == pl.col("end").shift(1).over(pair)
    )
    run = (~goes_on.fill_null(value=False)).cum_sum().over(pair)
    grouped = seen.with_columns(run=run).group_by(*pair, "run", "arg")
    return grouped.agg(pl.col("start").min(), pl.col("end").max()).drop("run")


def _untold(history: History, told: pl.DataFrame, bound_ns: int) -> pl.DataFrame:
    """viewer, user, back, deadline, again: returns of a viewer after which it was not told again in time, or never."""
    facts, pair = facts_of(history), ["viewer", "user"]
    sessions = facts.stays.sessions.rename({"device": "viewer"})
    first = sessions.group_by("viewer").agg(first=pl.col("start").min())
    returns = facts.windows.with_deadline(sessions.select("viewer", "end", back="start"), bound_ns, since="back")
    returns = returns.filter(pl.col("deadline") <= pl.col("end"))
    owed = returns.join(told.select(pair).unique(), on="viewer").join(first, on="viewer").sort("back")
    told = told.sort("t", "arg")
    before = told.select(*pair, "arg", last="t")
    owed = owed.join_asof(
        before, left_on="back", right_on="last", by=pair, allow_exact_matches=False, check_sortedness=False
    ).filter((pl.col("arg") <= 1) & (pl.col("last") >= pl.col("first")))
    again = told.select(*pair, again="t")
    owed = owed.join_asof(
        again, left_on="back", right_on="again", by=pair, strategy="forward", check_sortedness=False
    ).filter(pl.col("again").is_null() | (pl.col("again") > pl.col("deadline")))
    return owed.select(*pair, "back", "deadline", "again").sort("back", *pair)


def _truths(history: History) -> pl.DataFrame:
    """Return user, state, from, to: when a user was online (1: any device is) or offline (0: certainly none is)."""
    facts, stays = facts_of(history), facts_of(history).stays
    unwatched = stays.watched.select("device", start="until", end=pl.lit(FOREVER))
    spans = pl.concat(
        [
            stays.sessions.with_columns(up=pl.lit(1), doubt=pl.lit(0)),
            pl.concat([stays.untold, unwatched]).with_columns(up=pl.lit(0), doubt=pl.lit(1)),
            stays.watched.select("device", start=pl.lit(EVER), end=pl.lit(FOREVER), up=pl.lit(0), doubt=pl.lit(0)),
        ]
    ).join(facts.owners, on="device")
    begin = spans.select("user", "up", "doubt", t="start")
    stop = spans.select("user", -pl.col("up"), -pl.col("doubt"), t="end")
    steps = pl.concat([begin, stop]).group_by("user", "t").agg(pl.col("up", "doubt").sum()).sort("user", "t")
    steps = steps.with_columns(pl.col("up", "doubt").cum_sum().over("user"))
    state = pl.when(pl.col("up") > 0).then(1).when(pl.col("doubt") > 0).then(UNKNOWN_STATE).otherwise(0)
    told = steps.with_columns(state=state.cast(pl.UInt8))
    changed = told.filter((pl.col("state") != pl.col("state").shift(1).over("user")).fill_null(value=True))
    to = pl.col("t").shift(-1).over("user").fill_null(history.end_ns)
    spans = changed.select("user", "state", "t", to=to).rename({"t": "from"})
    return spans.filter(pl.col("state") != UNKNOWN_STATE)
