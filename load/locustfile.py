# mypy: disable-error-code="no-untyped-call,untyped-decorator"
"""The Locust file: one Locust user is one device.

    locust -f load/locustfile.py [--headless] [--processes N] [-u USERS -r PER_SECOND]

A manual start swarms the system that `petrel up` started: each start of a test is a run of its own, in DIR/swarm-N. The
runner sets PETREL_SWARM to a swarm.json instead, which is one run. The master (or the only process) creates the
conversations and then tells each worker its part. When all users are spawned it sets the time 0 of the plan. SIGTERM
to the master ends the swarm. SIGUSR1 to each process ends the sends only, and lets the devices settle.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any, Final

import gevent
import msgspec
from gevent.event import Event
from locust import User, constant, events, runners, task
from locust.env import Environment
from locust.rpc import Message
from locust.runners import LocalRunner, MasterRunner, Runner, WorkerRunner
from locust.web import WebUI

from load import workload as configs
from load.drive.api import ApiError
from load.drive.swarm import Part, Report, Swarm, total
from load.history.latency import Histogram
from load.history.writer import HistoryError, now_ns
from load.webui import LedgerView, attach

PART: Final = "petrel-part"
BEGIN: Final = "petrel-t0"
FAILED: Final = "petrel-failed"
LEAD_NS: Final = 1_000_000_000
"""From the end of the ramp to the first planned send, in ns."""
SENDS_PER_USER_S: Final = 0.13
EXIT_HARNESS: Final = 70
PATIENCE: Final = 60
"""Seconds without a heartbeat until Locust considers a worker dead.

Its default of 3 s would end a run on a busy machine. A worker that really died is noticed at once, by its connection or
by the process that started the swarm.
"""

_LOGGER = logging.getLogger("petrel")


class DeviceUser(User):
    """A Locust user that is one device of the plan for as long as it lives."""

    wait_time = constant(0)
    host = "stormpetrel"
    """Required by Locust's page, which shows it; --petrel-dir determines where the devices connect."""

    @task
    def live(self) -> None:
        """Run the device; ends when Locust stops this user."""
        session = LOCUST.take()
        if session is None:
            Event().wait()  # more users than devices: idle
            return
        try:
            session.run()
        finally:
            LOCUST.give_back(session)


class RequestEvents:
    """Reports acks and displays to Locust's statistics as requests."""

    def __init__(self, environment: Environment) -> None:
        self._fire = environment.events.request.fire

    def acked(self, latency_ns: int) -> None:
        """Report an acknowledged send."""
        self._tell("send -> ack", latency_ns)

    def shown(self, latency_ns: int, *, group: bool, size: int) -> None:
        """Report a displayed message."""
        self._tell("send -> shown (group)" if group else "send -> shown (1:1)", latency_ns, size)

    def failed(self, text: str) -> None:
        """Report a send that was refused or given up."""
        self._tell("send -> ack", 0, error=RuntimeError(text))

    def _tell(self, name: str, latency_ns: int, size: int = 0, error: Exception | None = None) -> None:
        self._fire(
            request_type="chat",
            name=name,
            response_time=latency_ns / 1e6,
            response_length=size,
            exception=error,
            context={},
        )


class Locust:
    """Connects one Locust process to the swarm: handles Locust's events and the messages between its processes."""

    def __init__(self) -> None:
        self._environment: Environment
        self._swarm: Swarm | None = None
        self._part: Part | None = None
        self._reports: dict[str, Report] = {}
        self._extra_users = 0
        self._failed = False

    def attach(self, environment: Environment, web_ui: WebUI | None) -> None:
        """Register the handlers for one environment, whose runner exists already."""
        runners.HEARTBEAT_LIVENESS = PATIENCE
        self._environment = environment
        hooks, runner = environment.events, environment.runner
        gevent.signal_handler(signal.SIGUSR1, self.quiesce)
        hooks.test_stop.add_listener(self.on_test_stop)
        hooks.quitting.add_listener(self.on_quitting)
        if isinstance(runner, WorkerRunner):
            runner.register_message(PART, self.on_part)
            runner.register_message(BEGIN, self.on_begin)
            hooks.report_to_master.add_listener(self.on_report)
            return
        hooks.test_start.add_listener(self.on_test_start)
        hooks.spawning_complete.add_listener(self.on_spawning_complete)
        if isinstance(runner, MasterRunner):
            runner.register_message(FAILED, self.on_worker_failed)
            hooks.worker_report.add_listener(self.on_worker_report)
        if web_ui is not None:
            attach(web_ui, self.view)

    def quiesce(self) -> None:
        """Handle SIGUSR1: this process's devices send no more, stay online and settle their open requests."""
        if self._swarm is not None:
            self._swarm.quiesce()

    def take(self) -> Any:
        """Return a session for a new user, None if there is none left."""
        session = self._swarm.take() if self._swarm is not None else None
        if session is None:
            self._extra_users += 1
            if self._extra_users == 1:
                _LOGGER.warning("more users than devices in the plan: the extra ones idle")
        return session

    def give_back(self, session: Any) -> None:
        """Make a session available again after its user stopped."""
        if self._swarm is not None:
            self._swarm.give_back(session)

    def on_test_start(self, **_: object) -> None:
        """Master or only process: arrange the run, before any user exists."""
        runner = self._runner
        self._reports.clear()
        try:
            config = self._configuration(runner.target_user_count)
            self._swarm = Swarm(config, observer=RequestEvents(self._environment), on_failure=self.fail)
            started_s = time.monotonic()
            self._part = self._swarm.lead()
            took_s = time.monotonic() - started_s
            _LOGGER.info("%d conversations in %.1f s; the run is in %s", len(self._part.conversations), took_s,
                         config.history)  # fmt: skip
            if isinstance(runner, MasterRunner):
                self._hand_out(runner, self._part)
            else:
                self._swarm.join(self._part)
        except (configs.ConfigError, ApiError, HistoryError) as error:
            self.fail(str(error))
            raise gevent.GreenletExit from None  # ends Locust's start of the test

    def on_part(self, *, msg: Message, **_: object) -> None:
        """Worker: take the master's part and join the run; it spawns users next."""
        part = msgspec.convert(msgspec.json.decode(msg.data["part"]), Part)
        try:
            self._swarm = Swarm(part.config, observer=RequestEvents(self._environment), on_failure=self.fail)
            self._swarm.join(part)
        except (ApiError, HistoryError) as error:
            self.fail(str(error))

    def on_spawning_complete(self, **_: object) -> None:
        """Master or only process: set the time 0 of the plan, as the ramp is over."""
        if self._swarm is None or self._swarm.begun:
            return
        t0_ns = now_ns() + LEAD_NS
        self._swarm.begin(t0_ns)
        if isinstance(self._environment.runner, MasterRunner):
            self._environment.runner.send_message(BEGIN, {"t0_ns": t0_ns})

    def on_begin(self, *, msg: Message, **_: object) -> None:
        """Worker: take the time 0 of the plan."""
        if self._swarm is not None:
            self._swarm.begin(msg.data["t0_ns"])

    def on_report(self, *, data: dict[str, Any], **_: object) -> None:
        """Worker: add its report to Locust's own statistics for the master."""
        if self._swarm is not None:
            data["petrel"] = msgspec.to_builtins(self._swarm.report())

    def on_worker_report(self, *, client_id: str, data: dict[str, Any], **_: object) -> None:
        """Master: keep the report of a worker."""
        if "petrel" in data:
            self._reports[client_id] = msgspec.convert(data["petrel"], Report)

    def on_worker_failed(self, *, msg: Message, **_: object) -> None:
        """Master: end the run, as a worker cannot continue."""
        self.fail(f"a worker stopped: {msg.data['reason']}")

    def on_test_stop(self, **_: object) -> None:
        """Close the history once the users have ended."""
        if self._swarm is not None:
            self._swarm.stop()

    def on_quitting(self, environment: Environment, **_: object) -> None:
        """Set the exit status: in a run that is judged elsewhere, a refused send is no failure."""
        if self._failed:
            environment.process_exit_code = EXIT_HARNESS
        elif "PETREL_SWARM" in os.environ:
            environment.process_exit_code = 0

    def fail(self, reason: str) -> None:
        """The swarm cannot continue: log one line, record a hole in the history, and stop."""
        if self._failed:
            return
        self._failed = True
        _LOGGER.error("%s", reason)
        if self._swarm is not None:
            self._swarm.hole(reason)
        runner, options = self._runner, self._environment.parsed_options
        if isinstance(runner, WorkerRunner):
            runner.send_message(FAILED, {"reason": reason})
        elif options is not None and options.headless:
            gevent.spawn(runner.quit)
        else:
            self._failed = False  # people read the line in the web UI's log, fix it, and start again
            gevent.spawn(runner.stop)

    def view(self) -> LedgerView:
        """Return the counts for the web page."""
        runner = self._environment.runner
        reports = list(self._reports.values())
        if isinstance(runner, LocalRunner) and self._swarm is not None:
            reports = [self._swarm.report()]
        counters, ack, show = total(reports)
        return LedgerView(
            phase=self._swarm.phase if self._swarm else "",
            processes=len(reports),
            devices=counters.devices,
            online=counters.online,
            sends=counters.sends,
            acked=counters.acked,
            pending=counters.pending,
            refused=counters.refused,
            gave_up=counters.gave_up,
            shown=counters.shown,
            to_come=max(0, counters.expected - counters.shown),
            drops=counters.drops,
            violations=counters.violations,
            ack_ms=_spread(ack),
            show_ms=_spread(show),
        )

    @property
    def _runner(self) -> Runner:
        runner = self._environment.runner
        assert runner is not None
        return runner

    def _configuration(self, users: int) -> configs.SwarmConfig:
        """Return the runner's swarm.json, or a new configuration for a manual start. Raises ConfigError."""
        if path := os.environ.get("PETREL_SWARM"):
            return configs.load(Path(path))
        options = self._environment.parsed_options
        assert options is not None
        rate = options.petrel_rate or users * SENDS_PER_USER_S
        return configs.by_hand(
            Path(options.petrel_dir),
            seed=options.petrel_seed,
            users=users,
            duration_s=options.petrel_seconds,
            rate_per_s=rate,
        )

    @staticmethod
    def _hand_out(runner: MasterRunner, part: Part) -> None:
        """Send each worker its part, in the order in which Locust assigns users to the workers of one host."""
        workers = sorted(client.id for client in (*runner.clients.ready, *runner.clients.running))
        for number, client_id in enumerate(workers):
            own = msgspec.structs.replace(part, worker=number, workers=len(workers))
            runner.send_message(PART, {"part": msgspec.json.encode(own)}, client_id)


def _spread(histogram: Histogram) -> dict[str, float]:
    return {
        "p50": histogram.percentile_ms(50),
        "p99": histogram.percentile_ms(99),
        "max": histogram.percentile_ms(100),
    }


LOCUST: Final = Locust()


@events.init.add_listener
def on_init(environment: Environment, web_ui: WebUI | None = None, **_: object) -> None:
    """Attach to Locust once it is initialised."""
    LOCUST.attach(environment, web_ui)


@events.init_command_line_parser.add_listener
def on_parser(parser: ArgumentParser) -> None:
    """Add options for a manual start; a swarm.json in PETREL_SWARM overrides them all."""
    parser.add_argument("--petrel-dir", default="runs/up", help="Directory of the running system")
    parser.add_argument("--petrel-seconds", type=float, default=600.0, help="Length of the send plan")
    parser.add_argument("--petrel-rate", type=float, default=0.0, help="Sends a second in all; 0: 0.13 for each user")
    parser.add_argument("--petrel-seed", type=int, default=1, help="Seed of population and plan")
