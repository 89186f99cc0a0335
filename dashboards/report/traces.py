"""The stamps of a run, from RUN_DIR/metrics/trace-SERVICE.bin (sut/process/trace.py) and the swarm's history.

Stamps explain a run and never judge it: a torn last record is left out, and a file that cannot be read is skipped. The
machines that the processes name tell whether all had one clock (`same_clock`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from chaos.verdict.history import native
from chaos.verdict.history.history import HistoryError

RECORD: Final = np.dtype(
    [
        ("t", "<i8"), ("device", "<u8"), ("client_seq", "<u8"), ("conv", "<i8"), ("seq", "<i8"), ("hop", "u1"),
        ("padding", "V7"),
    ]
)  # fmt: skip
"""conv is u64 in the file; the history's conversations are i64."""
STAMPS: Final = (
    "start", "opened", "handed_on", "taken", "appending", "durable", "applied", "told", "sent",
    "keys_published", "keys_taken",
)  # fmt: skip
"""Names in the order of sut.process.trace.Hop, which counts from 1."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Traces:
    """The stamps of a run, read from its files."""

    stamps: pl.DataFrame
    """service, t, device, client_seq, conv, seq, name, msg; by time."""
    swarm: pl.DataFrame
    """name (notified, sent_again), t, device, conv, msg, seq."""
    every: int
    """One message in this many is traced; 0: none, or processes disagree."""
    machines: frozenset[int]
    """The machines of all processes; 0 stands for an unknown one."""

    @property
    def same_clock(self) -> bool:
        """True if stamps of all processes can be subtracted."""
        return len(self.machines) <= 1


def read_traces(run_dir: Path) -> Traces:
    """Return all stamps of a run directory; empty if nothing was traced. Never raises for the files' contents."""
    files = sorted((run_dir / "metrics").glob("trace-*.bin"))
    stamps = pl.concat([_empty(), *(_stamps(path) for path in files)]).sort("t")
    swarm = pl.concat(_explanations((run_dir / "history").glob("*.bin")))
    starts = stamps.filter(pl.col("name") == "start")
    leads = swarm.filter(pl.col("name") == "machine")
    every = {*starts["client_seq"].to_list(), *leads["seq"].to_list()}
    return Traces(
        stamps=stamps.filter(pl.col("name") != "start"),
        swarm=swarm.filter(pl.col("name") != "machine"),
        every=int(every.pop()) if len(every) == 1 else 0,
        machines=frozenset((*starts["device"].to_list(), *leads["msg"].to_list())),
    )


def _stamps(path: Path) -> pl.DataFrame:
    try:
        data = path.read_bytes()
    except OSError:
        return _empty()
    records = np.frombuffer(data, RECORD, count=len(data) // RECORD.itemsize)
    known = (records["hop"] >= 1) & (records["hop"] <= len(STAMPS)) & (records["t"] > 0)
    records = records[known]
    columns = {name: np.ascontiguousarray(records[name]) for name in ("t", "device", "client_seq", "conv", "seq")}
    frame = pl.DataFrame(columns).with_columns(
        service=pl.lit(path.stem.removeprefix("trace-")),
        name=pl.Series([STAMPS[hop - 1] for hop in records["hop"]], dtype=pl.String),
        # The msg as in the history; a device or a client_seq too large for it is not one of the swarm.
        msg=pl.when((pl.col("device") < 1 << 31) & (pl.col("client_seq") < 1 << 32)).then(
            pl.col("device") * (1 << 32) + pl.col("client_seq")
        ),
    )
    return frame.select(pl.col(name).cast(dtype) for name, dtype in _empty().schema.items())


def _empty() -> pl.DataFrame:
    return pl.DataFrame(
        schema={
            "service": pl.String, "t": pl.Int64, "device": pl.UInt64, "client_seq": pl.UInt64, "conv": pl.Int64,
            "seq": pl.Int64, "name": pl.String, "msg": pl.Int64,
        }
    )  # fmt: skip


def _explanations(paths: Iterable[Path]) -> list[pl.DataFrame]:
    numbers = dict.fromkeys(("t", "device", "conv", "msg", "seq"), pl.Int64)
    found = [pl.DataFrame(schema={"name": pl.String, **numbers})]
    for path in sorted(paths):
        try:
            found.append(native.explanations(path))
        except HistoryError:
            continue
    return found
