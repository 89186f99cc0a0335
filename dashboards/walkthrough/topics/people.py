"""Walkthroughs of people: who is online, and a key agreement."""

from __future__ import annotations

import polars as pl

from chaos.verdict.model import CheckResult
from dashboards.walkthrough.recorded import HISTORY, Recorded, Row, name_of, received, sent, span
from dashboards.walkthrough.story import NotThere, Step, Story, named
from dashboards.walkthrough.topics.messages import story

WITHIN_NS = 90_000_000_000
MAX_VIEWERS = 4
SOON_NS = 30_000_000_000
"""A message this soon after its sender took keys is taken for the one that they were taken for."""


def presence(run: Recorded) -> Story:
    """A user goes and comes back, and those who look are told; nobody else is."""
    told = run.events("presence")
    if not told.height:
        raise NotThere("nobody of this run looked at anybody; presence, signals and everything have viewers")
    changes = _changes(run)
    told = told.rename({"device": "viewer"}).select("viewer", "user", "arg", "t").sort("t")
    went = changes.filter(pl.col("up") == 0).join_asof(
        told.filter(pl.col("arg") == 0).with_columns(heard=pl.col("t")).sort("t"), on="t", by="user",
        strategy="forward", check_sortedness=False,
    ).drop_nulls("heard").filter(pl.col("heard") - pl.col("t") < WITHIN_NS)  # fmt: skip
    came = told.filter(pl.col("arg") == 1).select("user", back="t").sort("back")
    both = went.sort("heard").join_asof(
        came, left_on="heard", right_on="back", by="user", strategy="forward", check_sortedness=False
    ).drop_nulls("back")  # fmt: skip
    chosen = both if both.height else went
    if not chosen.height:
        raise NotThere("no user of this run went away while somebody looked")
    return _looked_at(run, chosen.row(0, named=True), told, changes)


def _changes(run: Recorded) -> pl.DataFrame:
    """user, t, up: devices that connect (1) and that leave (0), by their users."""
    rows = pl.concat([run.events("online").with_columns(up=1), run.events("offline").with_columns(up=0)])
    owners = run.facts.of("device").select("device", owner="user").unique("device")
    return rows.join(owners, on="device").select("device", "t", "up", user="owner").sort("t")


def _looked_at(run: Recorded, row: Row, told: pl.DataFrame, changes: pl.DataFrame) -> Story:
    user = row["user"]
    own = f"device {row['device']}"
    until_ns = row.get("back") or row["heard"]
    heard = told.filter((pl.col("user") == user) & pl.col("t").is_between(row["t"], until_ns + 2_000_000_000))
    viewers = heard["viewer"].unique(maintain_order=True).to_list()[:MAX_VIEWERS]
    steps = [
        Step(t_ns=row["t"], start=own, stop=own, title="leaves", source=HISTORY, text=f"{own} of user {user} is gone.")
    ]
    back = changes.filter((pl.col("user") == user) & (pl.col("up") == 1) & (pl.col("t") > row["t"]))
    if back.height and back["t"][0] <= until_ns:
        steps.append(
            Step(t_ns=back["t"][0], start=own, stop=own, title="comes back", source=HISTORY,
                 text=f"User {user} is connected again.")
        )  # fmt: skip
    for viewer, state, t_ns in heard.select("viewer", "arg", "t").iter_rows():
        if viewer in viewers:
            word = {0: "offline", 1: "online"}.get(state, "unknown")
            place = run.gateway_of(viewer, t_ns) or "gateway"
            steps.append(
                Step(
                    t_ns=t_ns,
                    start=place,
                    stop=f"viewer {viewer}",
                    title=word,
                    source=HISTORY,
                    frame=named("PRESENCE", user=user, state=word),
                    text=f"Viewer {viewer} is told: {word}, {span((t_ns - row['t']) / 1e9)} after the user left.",
                )
            )
    together = run.members.join(run.members.rename({"user": "other"}), on="conv").filter(
        pl.col("user") != pl.col("other")
    )
    contacts = together.select("user", "other").unique().group_by("user").len()
    per_user = float(contacts["len"].mean() or 0)  # type: ignore[arg-type]
    facts = [
        ("told after", span((row["heard"] - row["t"]) / 1e9)),
        ("states told in the run", f"{told.height:,} to those who look"),
        ("changes in the run", f"{changes.height:,}; told to all {per_user:.0f} contacts: "
                               f"{changes.height * per_user:,.0f}"),
    ]  # fmt: skip
    return story(
        "presence", "Who is online, told to those who look",
        "Heartbeats end at the gateway. A change is told only to devices that have the user's picture open, and a "
        "departure only when it has lasted.",
        steps, facts,
    )  # fmt: skip


def encryption(run: Recorded) -> Story:
    """A device takes another one's keys, and the first ciphertext follows."""
    taken = run.stamps("keys_taken").filter(pl.col("device") != pl.col("client_seq"))
    if not taken.height:
        raise NotThere("no device of this run took keys; experiments with crypto_share encrypt, such as everything")
    sends = run.facts.sends.filter(pl.col("msg").is_in(run.stamps("applied")["msg"].unique().to_list()))
    shown = run.facts.first_shows.select("conv", "msg", "device", shown="t")
    for row in taken.filter(pl.col("seq") > 0).iter_rows(named=True):
        taker, owner = int(row["device"]), int(row["client_seq"])
        mine = sends.filter((pl.col("device") == taker) & (pl.col("t") >= row["t"]))
        read = mine.join(shown.filter(pl.col("device") == owner), on=["conv", "msg"]).sort("t")
        if read.height and read["t"][0] - row["t"] < SOON_NS:
            return _agreed(run, row, taker, owner, read.row(0, named=True))
    raise NotThere("no traced message followed a key agreement of this run soon enough")


def _found(check: CheckResult | None) -> str:
    return f"{check.verdict}: {check.detail}" if check is not None else "not judged"


def _agreed(run: Recorded, row: Row, taker: int, owner: int, message: Row) -> Story:
    api = row["service"]
    published = run.stamps("keys_published", device=owner).filter(pl.col("t") <= row["t"])
    steps = []
    if published.height:
        steps.append(
            Step(
                t_ns=published["t"][-1],
                start=name_of(owner),
                stop=api,
                title="keys published",
                source=f"trace-{api}.bin",
                frame=named("PUT keys", one_time_prekeys_left=published["seq"][-1]),
                text=f"{name_of(owner)} has published its identity key, a signed prekey and one-time prekeys.",
            )
        )
    steps.append(
        Step(
            t_ns=row["t"],
            start=api,
            stop=name_of(taker),
            title="keys taken",
            source=f"trace-{api}.bin",
            frame=named("GET keys", of_device=owner, one_time_prekey=row["seq"]),
            text=f"{name_of(taker)} takes a bundle. One-time prekey {row['seq']} is deleted as it is handed out.",
        )
    )
    applied = run.stamps("applied", msg=message["msg"])
    steps += [*sent(run, message), *received(run, message, owner, int(applied["seq"][0]))]
    taken = run.stamps("keys_taken")
    leaks = next((check for check in run.verdict.checks if check.name == "leaks"), None)
    numbered = taken.filter(pl.col("seq") > 0)
    twice = numbered.height - numbered.unique(["client_seq", "seq"]).height
    facts = [
        ("bundles taken in the run", f"{taken.height:,}, {numbered.height:,} with a one-time prekey"),
        ("one-time prekeys handed out twice", str(twice)),
        ("the check leaks, with the search for plaintext", _found(leaks)),
    ]
    return story(
        "encryption", "A key agreement, and the first ciphertext",
        "The sender computes a shared secret from published keys, without the other being online (X3DH). What the "
        "system carries from here on is ciphertext.",
        steps, facts,
    )  # fmt: skip
