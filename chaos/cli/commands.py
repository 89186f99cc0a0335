"""What the commands of `petrel` do that experiments are about: run, replay, verify, history, faults, modes."""

from __future__ import annotations

import argparse
import itertools
import os
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from rich.table import Column, Table
from rich.text import Text

from chaos.cli.servers import from_options
from chaos.errors import UNKNOWN, VALID, ChaosError, HarnessError, UsageError, no_such
from chaos.screen.console import for_people
from sut.deploy.errors import DeployError
from sut.deploy.machine import may_isolate
from sut.deploy.place import Place
from sut.deploy.profiles import PROFILES, build
from sut.deploy.servers import binaries
from sut.deploy.supervise.state import CLOCK_OFFSET, clock_offset_ns
from sut.deploy.topology import Settings

if TYPE_CHECKING:
    from chaos.run.runner import Request
    from chaos.verdict.model import Verdict
    from sut.deploy.servers.external import Servers


def check_profile(name: str) -> None:
    """Raises UsageError."""
    if name not in PROFILES:
        raise UsageError(no_such("profile", name, PROFILES))


def check_variant(name: str | None) -> None:
    """Raises UsageError."""
    from sut import variants

    if name is not None and "." not in name and name not in variants.VARIANTS:
        raise UsageError(no_such("variant", name, variants.VARIANTS))
    if name is not None:
        try:
            variants.find(name)
        except variants.UnknownVariant as error:
            raise UsageError(str(error)) from None


def check_redis(servers: Servers | None = None) -> None:
    """Nothing runs without a redis-server, ours or another's. Raises UsageError with the command that gets one."""
    if servers is not None and servers.sentinels:
        return
    try:
        binaries.find_redis_server()
    except DeployError as error:
        raise UsageError(str(error)) from None


def run(options: argparse.Namespace) -> Verdict:
    """`petrel run`. Raises ChaosError."""
    from chaos.run import experiment, rundir, schedule

    check_profile(options.profile)
    wanted = experiment.override(
        experiment.for_profile(experiment.load(options.experiment), options.profile),
        users=options.users,
        duration_s=options.duration,
        rate=options.rate,
    )
    schedule.check_fits(wanted)
    check_variant(options.variant)
    servers = from_options(options, options.profile)
    check_redis(servers)
    seed = secrets.randbelow(1 << 31) if options.seed is None else options.seed
    share_clock()
    from chaos.run.runner import Request

    request = Request(
        experiment=wanted,
        seed=seed,
        profile=options.profile,
        variant=options.variant,
        directory=options.out or rundir.default_path(wanted.name, seed),
        servers=servers,
    )
    return execute(request, as_json=options.json)


def replay(options: argparse.Namespace) -> Verdict:
    """`petrel replay`. Raises ChaosError."""
    from chaos.run import rundir, schedule

    recorded = schedule.load(options.run_dir / "schedule.yaml")
    check_profile(recorded.profile)
    check_variant(recorded.variant)
    servers = from_options(options, recorded.profile)
    check_redis(servers)
    share_clock()
    from chaos.run.runner import Request

    request = Request(
        experiment=recorded.experiment,
        seed=recorded.seed,
        profile=recorded.profile,
        variant=recorded.variant,
        directory=options.out or rundir.default_path(recorded.experiment.name, recorded.seed),
        replay=recorded,
        servers=servers,
    )
    return execute(request, as_json=options.json)


def capacity(options: argparse.Namespace) -> int:
    """`petrel capacity`: the search of chaos/bench/limits.py. Returns 0 when some rate is carried, else 2."""
    from chaos.bench import limits as searching
    from chaos.run import experiment, rundir

    check_profile(options.profile)
    servers = from_options(options, options.profile)
    check_redis(servers)
    wanted = experiment.override(
        experiment.for_profile(experiment.load("capacity"), options.profile),
        users=options.users,
        duration_s=options.duration,
        rate=None,
    )
    if not searching.LOWEST_PER_S <= options.first <= searching.HIGHEST_PER_S:
        raise UsageError(f"--first is from {searching.LOWEST_PER_S:g} to {searching.HIGHEST_PER_S:g}")
    seed = secrets.randbelow(1 << 31) if options.seed is None else options.seed
    out: Path = options.out or rundir.default_path("capacity", seed)
    rundir.check_new(out)
    share_clock()
    from chaos.run.runner import Request

    console = for_people(stderr=options.json)

    def attempt(rate: float) -> searching.Step:
        at_rate = experiment.override(wanted, users=None, duration_s=None, rate=rate)
        directory = out / f"{rate:g}-per-s"
        verdict = execute(
            Request(
                experiment=at_rate,
                seed=seed,
                profile=options.profile,
                variant=None,
                directory=directory,
                servers=servers,
            ),
            as_json=options.json,
            alone=False,
        )
        return searching.Step(
            rate_per_s=rate,
            verdict=verdict.verdict,
            p50_ms=verdict.latency_ms.steady.p50,
            p99_ms=verdict.latency_ms.steady.p99,
            acked_per_s=verdict.counts.sends_acked / wanted.duration_s,
            deliveries_per_s=verdict.counts.deliveries / wanted.duration_s,
            run_dir=str(directory),
        )

    steps = searching.search(attempt, first=options.first)
    found = searching.best(steps)
    result = searching.Capacity(
        profile=options.profile,
        users=wanted.users,
        bound_ms=wanted.bounds.latency_ms,
        messages_per_s=found.rate_per_s if found else 0.0,
        deliveries_per_s=found.deliveries_per_s if found else 0.0,
        steps=steps,
    )
    (out / "capacity.json").write_bytes(msgspec.json.encode(result) + b"\n")
    console.print(searching.table(steps))
    told = f"{result.messages_per_s:,.0f} messages/s, {result.deliveries_per_s:,.0f} deliveries/s"
    console.print(Text(f"{options.profile}: {told} at p99 <= {result.bound_ms:g} ms, swarm included"), soft_wrap=True)
    if options.json:
        print(msgspec.json.encode(result).decode(), flush=True)  # noqa: T201
    return VALID if found else UNKNOWN


def share_clock() -> None:
    """One clock for this process and all that it starts; before load.history.history is imported, which reads it."""
    os.environ[CLOCK_OFFSET] = str(clock_offset_ns(os.environ))


def execute(request: Request, *, as_json: bool, alone: bool = True) -> Verdict:
    """Run it, judge it and show both. Interrupted, one of several (not `alone`) ends all. Raises ChaosError."""
    from chaos.run import outcome, runner
    from chaos.run.interrupt import Aborted, Interrupt
    from chaos.screen.live import Display, show_verdict

    console = for_people(stderr=as_json)
    variant = f", variant {request.variant}" if request.variant else ""
    console.print(
        Text(f"{request.experiment.name}: {request.experiment.users} devices, seed {request.seed}{variant}"),
        soft_wrap=True,
    )
    console.print(Text(f"run directory {request.directory}"), soft_wrap=True)
    try:
        with Interrupt() as interrupt:
            with Display(console) as display:
                directory = runner.execute(request, display=display, interrupt=interrupt)
            verdict = outcome.conclude(directory, say=lambda text: console.print(Text(text)))
    except Aborted:
        raise HarnessError("interrupted twice: everything was ended at once, there is no verdict") from None
    show_verdict(console, verdict, report=request.directory / "report.html")
    if interrupt.asked and not alone:
        raise HarnessError("interrupted")
    return verdict


def verify(options: argparse.Namespace) -> Verdict:
    """`petrel verify`. Raises ChaosError."""
    from chaos.run import outcome
    from chaos.screen.live import show_verdict

    if (options.run_dir is None) == (options.history is None):
        raise UsageError("verify takes either RUN_DIR or --history FILE")
    foreign = options.run_dir is None
    verdict = outcome.verify(options.history if foreign else options.run_dir, foreign=foreign)
    show_verdict(for_people(stderr=options.json), verdict)
    return verdict


def history(options: argparse.Namespace) -> int:
    """`petrel history`. Raises ChaosError."""
    from chaos.run import outcome
    from chaos.verdict.history import export

    loaded = outcome.load(options.run_dir)
    try:
        if options.format == "parquet":
            path: Path = options.out or options.run_dir / "history.parquet"
            export.write_parquet(loaded, path)
            print(path)  # noqa: T201
        elif options.out is not None:
            with options.out.open("wb") as file:
                export.write_jsonl(loaded, file)
        else:
            export.write_jsonl(loaded, sys.stdout.buffer)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise ChaosError(f"{options.out or 'standard output'}: {error.strerror or error}") from None
    return 0


def faults(options: argparse.Namespace) -> int:
    """`petrel faults`: what each breaks, and whether that is possible on this machine. Starts and builds nothing."""
    from chaos.faults import FAULTS
    from chaos.faults.fault import describe, unavailable
    from sut.deploy.net.packets import Packets

    check_profile(options.profile)
    toxiproxy = binaries.find_toxiproxy(on_progress=lambda _text: None, install=False)
    ports = itertools.count(1)
    topology = build(
        options.profile,
        Place(
            directory=Path.cwd(),
            redis_server=Path("redis-server"),
            toxiproxy=toxiproxy.path or Path("toxiproxy-server"),
            port=lambda *_hosts: next(ports),
            settings=Settings(),
            variant=None,
            kafka_jars=Path("kafka"),
            cassandra_jars=Path("cassandra"),
            root=may_isolate(),
            gid=lambda: 1,
        ),
    )
    table = Table(
        Column("fault", no_wrap=True),
        "available",
        "targets",
        "what it does",
        box=None,
        pad_edge=False,
        padding=(0, 2, 0, 0),
    )
    packets = Packets("none").available()
    links = None if toxiproxy.path or toxiproxy.can_build else toxiproxy.reason
    for name, fault in FAULTS.items():
        reason = unavailable(
            fault,
            topology=topology,
            lacks={"links": lambda: links, "packets": lambda: packets},
        )
        available = Text("yes", "green") if reason is None else Text(f"no: {reason}", "yellow")
        if reason is None and "links" in fault.needs and toxiproxy.path is None:
            available = Text(f"yes, but {toxiproxy.reason}", "yellow")
        table.add_row(name, available, Text(str(len(fault.targets(topology)))), Text(describe(fault).summary))
    for_people().print(table)
    return 0


def modes() -> int:
    """`petrel modes`: the known-bad designs, for --variant."""
    from sut.variants import VARIANTS

    table = Table(
        Column("variant", no_wrap=True), "shown by", "what is wrong", box=None, pad_edge=False, padding=(0, 2, 0, 0)
    )
    for variant in VARIANTS.values():
        shown_by = ", ".join(variant.caught_by) or f"petrel bench {variant.measured_by}"
        table.add_row(variant.name, Text(shown_by), Text(variant.wrong))
    for_people().print(table)
    return 0
