# mypy: disable-error-code="no-untyped-call,untyped-decorator"
"""Connects a Locust process to the swarm: options, events, the messages between Locust's processes, the exit status.

By hand it swarms the system that `petrel up` started: each start of a test is a run of its own, in DIR/swarm-N, which
is read back and judged when the test is stopped (load/byhand.py). Headless, the exit status is the verdict's. The
runner sets PETREL_SWARM to a swarm.json instead, which is one run. The master (or the only process) creates the
conversations and then tells each worker its part. When all users are spawned it sets the time 0 of the plan. SIGTERM
to the master ends the swarm. SIGUSR1 to each process ends the sends only, and lets the devices settle.

Only a Locust file may import this module, by its user classes (load/locustfile.py, load/user.py): it listens to
Locust's events from then on, once in a process.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from pathlib import Path
from typing import Any, Final

import gevent
import msgspec
from locust import events, runners
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.rpc import Message
from locust.runners import (
    STATE_CLEANUP,
    STATE_INIT,
    STATE_RUNNING,
    STATE_SPAWNING,
    STATE_STOPPED,
    STATE_STOPPING,
    LocalRunner,
    MasterRunner,
    Runner,
    WorkerRunner,
)
from locust.web import WebUI

from load import byhand
from load import workload as configs
from load.drive.api import ApiError
from load.drive.part import Part, Report, Reports, total
from load.drive.swarm import Swarm
from load.history.latency import Histogram
from load.history.recorder import Counters
from load.history.writer import HistoryError, now_ns
from load.plan.population import Conversation
from load.webui import JUDGING, LedgerView, attach
from load.webui.asked import Experiment
from load.webui.live import Live
from load.webui.locust_stats import RequestEvents

PART: Final = "petrel-part"
BEGIN: Final = "petrel-t0"
FAILED: Final = "petrel-failed"
JOINED: Final = "petrel-joined"
"""A worker can take messages now. Locust tells the master of a worker before that."""
MORE: Final = "petrel-more"
GIVEN: Final = "petrel-given"
RAMPED: Final = "petrel-ramped"
SETTLE: Final = "petrel-settle"
NEVER_BEGAN: Final = "none: it was stopped before it began"
IDLE_LOOK_S: Final = 0.2
"""How often a user without a device looks for one."""
ASK_AGAIN_S: Final = 1.0
"""How long a worker waits for the devices that it asked for."""
LEAD_NS: Final = 1_000_000_000
"""From the end of the ramp to the first planned send, in ns."""
SENDS_PER_USER_S: Final = 0.13
PATIENCE: Final = 60
"""Seconds without a heartbeat until Locust considers a worker dead.

Its default of 3 s would end a run on a busy machine. A worker that really died is noticed at once, by its connection or
by the process that started the swarm.
"""

REPORT_S: Final = 1.0
"""How often a worker of a test by hand reports: the page draws a point a second."""
SPAWN_PER_S: Final = 100.0
"""At which rate the users of an experiment that the page starts come."""

JUDGED_ELSEWHERE: Final = "PETREL_SWARM" in os.environ
"""A runner started this swarm, and judges the run."""

_LOGGER = logging.getLogger("petrel")


class Locust:
    """Connects one Locust process to the swarm: handles Locust's events and the messages between its processes."""

    def __init__(self) -> None:
        self._environment: Environment
        self._swarm: Swarm | None = None
        self._part: Part | None = None
        self._reports = Reports()
        self._waiting = 0
        """Users without a device."""
        self._asked_s = 0.0
        self._told_idle = False
        self._failed = False
        self._pool = byhand.Pool(())
        self._known: set[str] = set()
        """Workers that have their part."""
        self._ramped: set[str] = set()
        """Workers whose fleet processes are past their ramp."""
        self._t0_ns = 0
        self._watch: gevent.Greenlet | None = None
        self._judging: gevent.Greenlet | None = None
        self._stopped = False
        """The history of the current run is closed."""
        self._settling = False
        self._preparing: gevent.Greenlet | None = None
        """Prepares a test: Locust's state is still that of the test before."""
        self._edited = False
        """The number of users was changed in mid-run."""
        self._run = ""
        self._verdict = ""
        self._runs: dict[str, Path] = {}
        """Every run of this process, by the name of its directory."""
        self._live = Live(None)
        self._sent_reports = 0

    def attach(self, environment: Environment, web_ui: WebUI | None) -> None:
        """Register the handlers for one environment, whose runner exists already."""
        runners.HEARTBEAT_LIVENESS = PATIENCE
        if not JUDGED_ELSEWHERE:
            runners.WORKER_REPORT_INTERVAL = REPORT_S
        self._environment = environment
        hooks, runner = environment.events, environment.runner
        gevent.signal_handler(signal.SIGUSR1, self.quiesce)
        hooks.test_stop.add_listener(self.on_test_stop)
        hooks.quitting.add_listener(self.on_quitting)
        if isinstance(runner, WorkerRunner):
            runner.register_message(PART, self.on_part)
            runner.register_message(BEGIN, self.on_begin)
            runner.register_message(GIVEN, self.on_given, concurrent=True)
            runner.register_message(SETTLE, self.on_settle)
            runner.send_message(JOINED, {})
            hooks.report_to_master.add_listener(self.on_report)
            return
        hooks.test_start.add_listener(self.on_test_start)
        hooks.spawning_complete.add_listener(self.on_spawning_complete)
        if not JUDGED_ELSEWHERE:
            hooks.test_stopping.add_listener(self.on_test_stopping)
        if isinstance(runner, MasterRunner):
            runner.register_message(FAILED, self.on_worker_failed)
            runner.register_message(MORE, self.on_more)
            runner.register_message(JOINED, self.on_joined)
            runner.register_message(RAMPED, self.on_ramped)
            hooks.worker_report.add_listener(self.on_worker_report)
        if web_ui is not None:
            options = environment.parsed_options
            self._live = Live(None if JUDGED_ELSEWHERE else self._directory)
            base = (options.web_base_path or "") if options is not None else ""
            attach(web_ui, self, self._live, host=web_ui.host, base=base)

    def quiesce(self) -> None:
        """Handle SIGUSR1: this process's devices send no more, stay online and settle their open requests."""
        if self._swarm is not None:
            self._swarm.quiesce()

    def take(self) -> Any:
        """A device of the test that goes on, which nobody runs; None when there is none."""
        return self._swarm.take() if self._swarm is not None and not self._stopped else None

    def wait_for_device(self) -> Any:
        """A device for a new user; waits for one that another user gives up, or that nobody had."""
        session = self.take()
        self._waiting += 1
        try:
            while session is None:
                self._ask_for_more()
                gevent.sleep(IDLE_LOOK_S)
                session = self.take()
        finally:
            self._waiting -= 1
        return session

    def _ask_for_more(self) -> None:
        swarm, runner, now_s = self._swarm, self._runner, time.monotonic()
        if now_s < self._asked_s + ASK_AGAIN_S:
            return
        wanted, self._asked_s = self._waiting, now_s
        if swarm is None or self._stopped:
            if isinstance(runner, WorkerRunner):  # ready again only after the parts of this test were handed out
                runner.send_message(JOINED, {})
        elif not swarm.config.at_start:
            self._tell_idle()
        elif isinstance(runner, WorkerRunner):
            runner.send_message(MORE, {"count": wanted})
        else:
            self._adopt(self._pool.take(wanted))

    def on_more(self, *, msg: Message, **_: object) -> None:
        """Master: a worker has users without devices."""
        devices = self._pool.take(int(msg.data["count"]))
        self._runner.send_message(GIVEN, {"devices": devices}, msg.node_id)

    def on_given(self, environment: Environment, msg: Message) -> None:  # by position or by name: Locust 2.42 and 2.47
        """Worker: devices that nobody had."""
        if not self._stopped:  # else it asked for the test before
            self._adopt(msg.data["devices"])

    def _adopt(self, devices: list[int]) -> None:
        if not devices:
            self._tell_idle()
        elif self._swarm is not None:
            try:
                self._swarm.adopt(devices)
            except ApiError as error:
                self.fail(str(error))

    def _tell_idle(self) -> None:
        if not self._told_idle:
            self._told_idle = True
            _LOGGER.warning("more users than devices in the plan: the extra ones idle")

    def conversations_of(self, device: int) -> list[tuple[int, Conversation]]:
        """Return the conversations of a device of the test that goes on, each with its id."""
        return self._swarm.conversations_of(device) if self._swarm is not None else []

    def give_back(self, session: Any) -> None:
        """Make a session available again after its user stopped."""
        if self._swarm is not None:
            self._swarm.give_back(session)

    def on_test_start(self, **_: object) -> None:
        """Master or only process: arrange the run, before any user exists."""
        self._reports = Reports()
        self._live.prepare()
        self._judging, self._settling, self._told_idle, self._asked_s = None, False, False, 0.0
        self._run, self._verdict, self._swarm, self._stopped, self._edited = "", "", None, False, False
        self._known, self._ramped, self._pool = set(), set(), byhand.Pool(())
        self._preparing = gevent.getcurrent()
        try:
            self._prepare(self._runner)
        except BaseException:  # also where it is stopped, or started again, meanwhile
            self._never_began()
            raise
        finally:
            self._preparing = None

    def _prepare(self, runner: Runner) -> None:
        try:
            config = self._configuration(runner.target_user_count)
            self._run = str(config.history.parent)
            self._runs[config.history.parent.name] = config.history.parent
            self._swarm = Swarm(config, observer=RequestEvents(self._environment), on_failure=self.fail)
            started_s = time.monotonic()
            self._part = self._swarm.lead()
            took_s = time.monotonic() - started_s
            _LOGGER.info("%d conversations in %.1f s; the run is in %s", len(self._part.conversations), took_s,
                         config.history)  # fmt: skip
            self._pool = byhand.Pool(self._swarm.spare if config.at_start else ())
            if isinstance(runner, MasterRunner):
                self._hand_out(runner, self._part)
            else:
                self._swarm.join(self._part)
        except (configs.ConfigError, ApiError, HistoryError) as error:
            self.fail(str(error))
            raise gevent.GreenletExit from None  # ends Locust's start of the test

    def _never_began(self) -> None:
        """Close what was prepared of a test that does not begin."""
        self._stopped = True
        self._live.end()
        self._verdict = self._verdict or NEVER_BEGAN
        if self._swarm is not None:
            self._swarm.stop()

    def on_part(self, *, msg: Message, **_: object) -> None:
        """Worker: take the master's part and join the run; it spawns users next."""
        part = msgspec.convert(msgspec.json.decode(msg.data["part"]), Part)
        try:
            self._stopped, self._told_idle, self._asked_s = False, False, 0.0
            self._swarm = Swarm(part.config, observer=RequestEvents(self._environment), on_failure=self.fail)
            self._sent_reports = 0
            self._swarm.join(part)
        except (ApiError, HistoryError) as error:
            self.fail(str(error))
        else:
            if part.config.tier == "fleet":
                gevent.spawn(self._tell_ramped, self._swarm)

    def on_spawning_complete(self, **_: object) -> None:
        """Master or only process: the ramp is over, or goes on in the fleet processes."""
        if self._swarm is None:
            return
        if self._swarm.begun:
            self._edited = True
            return
        if self._swarm.config.tier == "fleet":
            gevent.spawn(self._begin_once_ramped, self._swarm)
        else:
            self._begin()

    def _begin_once_ramped(self, swarm: Swarm) -> None:
        while not swarm.ramped or not self._ramped.issuperset(self._known):
            gevent.sleep(IDLE_LOOK_S)
        if swarm is self._swarm and not swarm.begun:
            self._begin()

    def on_ramped(self, *, msg: Message, **_: object) -> None:
        """Master: every device of a worker's fleet processes has begun to connect."""
        self._ramped.add(msg.node_id)

    def _tell_ramped(self, swarm: Swarm) -> None:
        """Worker: wait for the end of the ramp in its fleet processes, and say so."""
        while not swarm.ramped:
            gevent.sleep(IDLE_LOOK_S)
        self._runner.send_message(RAMPED, {})

    def _begin(self) -> None:
        """Set the time 0 of the plan."""
        assert self._swarm is not None
        t0_ns = self._t0_ns = now_ns() + LEAD_NS
        self._swarm.begin(t0_ns)
        self._live.begin(self._swarm.config.history.parent, t0_ns, self._look, self._runner.stop)
        if not JUDGED_ELSEWHERE:
            self._watch = gevent.spawn(byhand.watch_cores, self._directory, self._swarm.tell)
        if isinstance(self._environment.runner, MasterRunner):
            self._environment.runner.send_message(BEGIN, {"t0_ns": t0_ns})

    def _look(self) -> tuple[Counters, Histogram]:
        counters, _, show = total(self._all_reports())
        return counters, show

    def on_joined(self, *, msg: Message, **_: object) -> None:
        """Master: a worker can take messages. One that joins a test that goes on gets devices as it asks for them."""
        runner, part, client_id = self._runner, self._part, msg.node_id
        late = runner.state in (STATE_SPAWNING, STATE_RUNNING) and client_id not in self._known
        if part is None or self._swarm is None or not self._swarm.config.at_start or not late:
            return
        self._known.add(client_id)
        own = msgspec.structs.replace(part, workers=0)
        runner.send_message(PART, {"part": msgspec.json.encode(own)}, client_id)
        if self._swarm.begun:
            runner.send_message(BEGIN, {"t0_ns": self._t0_ns}, client_id)

    def on_test_stopping(self, **_: object) -> None:
        """By hand, master or only process: before the users go, everything under way arrives, or the time is up."""
        swarm, runner = self._swarm, self._runner
        if swarm is None or not swarm.begun or self._settling:
            return
        self._settling = True
        self._live.settle()
        swarm.quiesce()
        if isinstance(runner, MasterRunner):
            runner.send_message(SETTLE, {})
        if not self._failed and not byhand.wait_until_drained(swarm.config):
            _LOGGER.warning("not all was delivered within %g s", byhand.DRAIN_S)

    def on_settle(self, **_: object) -> None:
        """Worker: no more sends."""
        self.quiesce()

    def on_begin(self, *, msg: Message, **_: object) -> None:
        """Worker: take the time 0 of the plan."""
        if self._swarm is not None:
            self._swarm.begin(msg.data["t0_ns"])

    def on_report(self, *, data: dict[str, Any], **_: object) -> None:
        """Worker: add its report to Locust's own statistics for the master."""
        if self._swarm is not None:
            self._sent_reports += 1
            report = msgspec.structs.replace(self._swarm.report(), number=self._sent_reports)
            data["petrel"] = msgspec.to_builtins(report)
            data["petrel-run"] = self._swarm.config.history_dir

    def on_worker_report(self, *, client_id: str, data: dict[str, Any], **_: object) -> None:
        """Master: keep the report of a worker, if it is about this test and not the one before."""
        if "petrel" in data and self._swarm is not None and data["petrel-run"] == self._swarm.config.history_dir:
            self._reports.take(client_id, msgspec.convert(data["petrel"], Report))

    def on_worker_failed(self, *, msg: Message, **_: object) -> None:
        """Master: end the run, as a worker cannot continue."""
        self.fail(f"a worker stopped: {msg.data['reason']}")

    def on_test_stop(self, **_: object) -> None:
        """The users are gone: close the history."""
        if self._watch is not None:
            self._watch.kill()
            self._watch = None
        if self._swarm is None or self._stopped:
            return
        self._stopped = True
        self._swarm.stop()
        self._live.end()
        if JUDGED_ELSEWHERE or isinstance(self._runner, WorkerRunner):
            return
        if self._swarm.begun:
            self._verdict = JUDGING
            self._judging = gevent.spawn(self._conclude, self._swarm.config.history.parent)
        elif not self._verdict:
            self._verdict = NEVER_BEGAN
            _LOGGER.warning("the test was stopped before it began: there is no verdict")

    def _conclude(self, run: Path) -> int:
        """Have the run judged, and say what came of it. Returns the exit status."""
        status, said = byhand.judge(run)
        if self._run == str(run):
            self._verdict = said
        _LOGGER.info("%s", said)
        return status

    def on_quitting(self, environment: Environment, **_: object) -> None:
        """The exit status: by hand the verdict's. In a run that is judged elsewhere a refused send is no failure."""
        runner, options = self._runner, environment.parsed_options
        if JUDGED_ELSEWHERE or isinstance(runner, WorkerRunner):
            environment.process_exit_code = byhand.EXIT_HARNESS if self._failed else 0
            return
        runner.quit()  # ends a test that goes on, and its histories
        self._live.quit()
        judged = self._judging.get() if self._judging is not None else None
        if self._failed:
            environment.process_exit_code = byhand.EXIT_HARNESS
        elif judged is not None:
            environment.process_exit_code = judged
        elif options is not None and options.headless:
            _LOGGER.error("the test ended before it began: nothing was tested")
            environment.process_exit_code = byhand.EXIT_HARNESS

    def fail(self, reason: str) -> None:
        """The swarm cannot continue: log one line, record a hole in the history, and stop."""
        if self._failed:
            return
        self._failed = True
        self._verdict = f"none: {reason}"
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
        reports = self._all_reports()
        counters, ack, show = total(reports)
        seen = self._live.counts(Path(self._run).name)
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
            to_come=self._to_come(counters),
            outstanding=seen.outstanding if seen is not None else None,
            suspicious=seen.suspicious if seen is not None else None,
            drops=counters.drops,
            violations=counters.violations,
            reports=self._reports.taken,
            reports_lost=self._reports.lost,
            run=self._run,
            verdict=self._verdict,
            report=f"report/{name}" if (name := Path(self._run).name) and self.file(name, "report.html") else "",
            ack_ms=_spread(ack),
            show_ms=_spread(show),
        )

    def _all_reports(self) -> list[Report]:
        """Return the newest figures of each process of the swarm."""
        if isinstance(self._environment.runner, LocalRunner) and self._swarm is not None:
            return [self._swarm.report()]
        return self._reports.newest()

    def _to_come(self, counters: Counters) -> int | None:
        """Return how many deliveries are to come; None where the plan's members are not those with a user."""
        swarm = self._swarm
        if swarm is None or self._stopped or self._edited:
            return None
        return max(0, counters.expected - counters.shown)

    def state(self) -> str:
        """Return the state for Locust's page (load/webui)."""
        state: str = self._runner.state
        if self._preparing is not None:
            return STATE_SPAWNING
        return STATE_RUNNING if state in (STATE_STOPPING, STATE_CLEANUP) else state

    def file(self, run: str, name: str) -> Path | None:
        """Return a file of a run of this process; None without one, and until all files of the run are written."""
        path = self._runs[run] / name if run in self._runs and run != self._judged_now() else None
        return path if path is not None and path.exists() else None

    def _judged_now(self) -> str:
        """The name of the run that is being judged; its report is there before the manifest that closes it."""
        return Path(self._run).name if self._verdict == JUDGING else ""

    def experiment(self, wanted: Experiment) -> tuple[bool, str]:
        """Start a test with the faults of an experiment, which ends by itself."""
        if self._preparing is not None or self._runner.state not in (STATE_INIT, STATE_STOPPED):
            return False, "a test goes on: stop it first"
        ok, text = self._live.arrange(wanted)
        if ok:
            gevent.spawn(self._runner.start, wanted.users, SPAWN_PER_S)
        return ok, text

    def stop_preparing(self) -> None:
        """A test that is being prepared does not begin: Locust would go on with it after Stop."""
        if self._preparing is not None:
            self._preparing.kill()

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
        classes = self._environment.user_classes
        if idle := byhand.taskless(classes):
            raise configs.ConfigError(idle)
        byhand.require_system(self._directory)
        wanted = self._live.wanted
        config = configs.by_hand(
            self._directory,
            seed=options.petrel_seed if wanted is None else wanted.seed,
            users=users,
            duration_s=options.petrel_seconds if wanted is None else wanted.duration_s,
            rate_per_s=options.petrel_rate or users * SENDS_PER_USER_S,
            devices=options.petrel_devices,
            sends=byhand.senders(classes, options.petrel_rate),
        )
        byhand.describe(config, self._directory, experiment=byhand.EXPERIMENT if wanted is None else wanted.experiment)
        return config

    @property
    def _directory(self) -> Path:
        """The directory of the running system, in a test by hand."""
        options = self._environment.parsed_options
        assert options is not None
        return Path(options.petrel_dir)

    def _hand_out(self, runner: MasterRunner, part: Part) -> None:
        """To each worker its part, in the order in which Locust deals users out to the workers of one host."""
        workers = sorted(client.id for client in (*runner.clients.ready, *runner.clients.running))
        self._known = set(workers)
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
    if idle := byhand.taskless(environment.user_classes):
        if not isinstance(environment.runner, WorkerRunner):
            _LOGGER.error("%s", idle)
        raise SystemExit(byhand.EXIT_USAGE)
    LOCUST.attach(environment, web_ui)


@events.init_command_line_parser.add_listener
def on_parser(parser: LocustArgumentParser) -> None:
    """Add options for a manual start; a swarm.json in PETREL_SWARM overrides them all.

    The web UI listens on loopback unless it is told otherwise: it can break a system.
    """
    parser.set_defaults(web_host="127.0.0.1")
    for name, kind, default, text in (
        ("dir", str, "runs/up", "Directory of the running system"),
        ("seconds", float, 600.0, "Length of the send plan, in seconds"),
        ("rate", float, 0.0, "Planned sends a second in all; 0: 0.13 for each user, none beside tasks of your own"),
        ("seed", int, 1, "Seed of population and plan"),
        ("devices", int, 0, "Most users that there will be; 0: twice those at the start"),
    ):
        parser.add_argument(f"--petrel-{name}", type=kind, default=default, help=text,
                            env_var=f"LOCUST_PETREL_{name.upper()}")  # fmt: skip
