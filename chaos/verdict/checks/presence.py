"""presence: the picture of who is there is fresh.

Guarantee: a viewer's picture of a user, which is the last state it was told, is never staler than the bound. Anomaly: a
ghost that stays online, a friend who came back and is not seen.

    {"e":"offline","t":1000000000,"device":2}                   user 2's only device
    {"e":"presence","t":2000000000,"viewer":1,"user":2,"state":"online"}
    {"e":"offline","t":90000000000,"device":1}                  the viewer looked at that for 88 s

Decisions. A user is online while any device is in a session. The picture is stale while it differs from that; it may
do so for `presence_s` without a break. The viewer is asked only within one session: going offline ends its picture.
States other than online and offline are no picture: they end the one there was. Users without connection events have
no state.
"""

from __future__ import annotations

import polars as pl

from chaos.verdict.finding import Evidence, Finding, Row, Words, count, nothing
from chaos.verdict.history import History

NAME = "presence"


def check(history: History) -> Finding:
    """Judge; anomalies are stretches of stale picture."""
    facts, words = history.facts, Words(history)
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

    if stale.height:
        return Finding(
            name=NAME,
            verdict="invalid",
            detail=f"{count(stale.height, 'picture')} stale for more than {history.bounds.presence_s:g} s",
            counterexamples=words.tell(Evidence(stale, text, ("viewer",))),
            anomalies=stale.height,
        )
    return Finding(name=NAME, verdict="valid", detail=f"{count(states, 'state')} told, none stale for too long")


def _pictures(history: History, told: pl.DataFrame) -> pl.DataFrame:
    """viewer, user, arg, start, end: what a viewer saw, cut at the end of the session in which it was told."""
    stays = history.facts.stays
    pair = ["viewer", "user"]
    told = told.sort("t", maintain_order=True).with_columns(next=pl.col("t").shift(-1).over(pair))
    sessions = stays.sessions.select(viewer="device", start="start", end="end").sort("start")
    at = told.sort("t").join_asof(
        sessions, left_on="t", right_on="start", by="viewer", coalesce=False, check_sortedness=False
    )
    known = at.join(stays.sessions.select(viewer="device").unique(), on="viewer", how="semi")
    always = at.join(known.select("viewer"), on="viewer", how="anti").with_columns(
        end=pl.lit(history.end_ns, dtype=pl.Int64)
    )
    both = pl.concat([known.filter(pl.col("t") < pl.col("end")), always]).filter(pl.col("arg") <= 1)
    # Told the same again: the picture goes on, and so does its staleness.
    seen = both.select(*pair, "arg", start="t", end=pl.min_horizontal("end", pl.col("next").fill_null(history.end_ns)))
    seen = seen.sort(*pair, "start")
    goes_on = (pl.col("arg") == pl.col("arg").shift(1).over(pair)) & (
        pl.col("start") == pl.col("end").shift(1).over(pair)
    )
    run = (~goes_on.fill_null(value=False)).cum_sum().over(pair)
    grouped = seen.with_columns(run=run).group_by(*pair, "run", "arg")
    return grouped.agg(pl.col("start").min(), pl.col("end").max()).drop("run")


def _truths(history: History) -> pl.DataFrame:
    """user, state, from, to: when a user was online (1: any device in a session) and offline (0)."""
    facts = history.facts
    sessions = facts.stays.sessions.join(facts.owners, on="device")
    steps = pl.concat(
        [
            sessions.select("user", t="start", step=pl.lit(1)),
            sessions.select("user", t="end", step=pl.lit(-1)),
        ]
    )
    steps = steps.group_by("user", "t").agg(pl.col("step").sum()).sort("user", "t")
    open_ = steps.with_columns(state=(pl.col("step").cum_sum().over("user") > 0).cast(pl.UInt8))
    changed = open_.filter((pl.col("state") != pl.col("state").shift(1).over("user")).fill_null(value=True))
    to = pl.col("t").shift(-1).over("user").fill_null(history.end_ns)
    return changed.select("user", "state", "t", to=to).rename({"t": "from"})
