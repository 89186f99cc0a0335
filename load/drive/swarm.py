"""One process's part of a swarm run: history, population, plan, fleet.

A run has one leading process, which creates the conversations and changes memberships. It has any number of processes
with devices; the only process of a small run is both. They agree by the configuration, and by the data of the leader:
the conversations' ids, each process's devices (`Part`), and t0.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Final

import gevent

from load.device.causality import Ties
from load.device.device import Run
from load.drive.api import ApiClient
from load.drive.arrange import Changes, create_conversations, record_population
from load.drive.fleet import Fleet
from load.drive.lean.host import Host, Seat
from load.drive.machine import Beat
from load.drive.part import Part, Report, report_of, run_of
from load.drive.session import Session
from load.history.control import ControlWriter, Machine, PhaseName, Sends
from load.history.recorder import Observer, Recorder
from load.history.writer import HistoryError, HistoryWriter, now_ns
from load.plan import plan as plans
from load.plan import population as populations
from load.workload import SwarmConfig

if TYPE_CHECKING:
    from load.drive.keys import Keys

_LOGGER = logging.getLogger(__name__)

WRITE_OUT_NS: Final = 15_000_000_000
"""Time after the plan's end in which a message may still wait for its first transmission, in ns.

The run does not wait longer for a device that finds no gateway.
"""
LOOK_S: Final = 0.05


class Swarm:
    """One process's part of one run. Not reusable: another run is another Swarm."""

    def __init__(self, config: SwarmConfig, *, observer: Observer, on_failure: Callable[[str], None]) -> None:
        """Create this process's history files. Raises HistoryError."""
        self.config = config
        self.phase = ""
        self._observer = observer
        self._on_failure = on_failure
        self._api = ApiClient(config.api_url, ca_file=config.ca_file, allowed=config.allowed)
        name = f"swarm-{os.getpid()}"
        try:
            config.history.mkdir(parents=True, exist_ok=True)
            self._control = ControlWriter(config.history / f"{name}.jsonl", process=name)
        except OSError as error:
            raise HistoryError(f"{error.filename}: {error.strerror}") from None
        self._history = HistoryWriter(config.history / f"{name}.bin")
        self._changes: Changes | None = None
        self._fleet: Fleet | None = None
        self._host: Host | None = None
        self._recorder: Recorder | None = None
        self._tasks: list[gevent.Greenlet] = []
        self.begun = False
        """True once t0 is known."""
        self._tokens: dict[int, str] = {}
        self._conversations: tuple[int, ...] = ()
        self._crypto: Keys | None = None

    @cached_property
    def population(self) -> populations.Population:
        """The population of the whole run."""
        return populations.make(self.config)

    @cached_property
    def plan(self) -> plans.Plan:
        """The plan of the whole run."""
        return plans.make(self.config, self.population)

    def lead(self) -> Part:
        """Create all conversations and write who is in them. Returns what other processes need. Raises ApiError."""
        self._enter("setup")
        if self.config.push:
            self._api.register(self.config.api_key, self.population.users)
        conversations = create_conversations(self._api, self.population, self.config.api_key)
        record_population(self._history, self.population, conversations)
        if self.config.tier == "fleet":
            self.plan = plans.Plan(devices={}, changes=plans.changes(self.config, self.population))
        creators = {
            one.conversation: self.population.conversations[one.conversation].creator for one in self.plan.changes
        }
        acting = {*creators.values(), *(change.by for change in self.plan.changes if change.by)}
        self._tokens = self._api.tokens(self.config.api_key, sorted(acting))
        if self.config.tier == "fleet":
            self._forget()
        self._changes = Changes(
            api=self._api,
            creators=creators,
            conversations=conversations,
            tokens=self._tokens,
            history=self._history,
            control=self._control,
            sleep=gevent.sleep,
        )
        self._enter("ramp")
        return Part(config=self.config, conversations=conversations)

    def _forget(self) -> None:
        """Keep only what the changes of groups need: the fleet processes compute the rest for themselves."""
        del self.population
        gc.collect()

    def join(self, part: Part) -> None:
        """Take this process's share of the devices. Raises ApiError."""
        if self.config.tier == "fleet":
            if sys.platform != "linux":
                self._on_failure("tier fleet needs Linux: take tier greenlet")
                return
            self._host = Host(part, observer=self._observer, on_failure=self._on_failure)
            return
        share = self._share(part)
        self._conversations = part.conversations
        if missing := share.keys() - self._tokens.keys():
            self._tokens |= self._api.tokens(self.config.api_key, sorted(missing))
        known = dict(zip(part.conversations, self.population.conversations, strict=True))
        groups = frozenset(conv for conv, conversation in known.items() if conversation.kind == "group")
        self._recorder = Recorder(
            self._history,
            groups=groups,
            recipients={conv: self._recipients(conversation) for conv, conversation in known.items()},
            observer=self._observer,
            trace_every=self.config.trace_every,
        )
        run = run_of(self.config, part.conversations, self._recorder, self._ties(part))
        run.groups = groups
        if self.config.crypto_share:
            self._join_crypto(run, part, share)
        self._fleet = Fleet(
            run=run,
            plans=share,
            tokens=self._tokens,
            api=self._api,
            api_key=self.config.api_key,
            ca_file=self.config.ca_file,
            ways=self.config.ways,
            on_failure=self._on_failure,
        )
        self._fleet.start()
        if self._crypto is not None:
            self._crypto.wake = self._fleet.wake
            self._tasks.append(gevent.spawn(self._crypto.work, gevent.sleep))

    def _share(self, part: Part) -> dict[int, plans.DevicePlan]:
        """Device -> plan, of those that this process has from the start."""
        config = self.config
        share = self.plan.share(part.worker, part.workers) if part.workers else {}
        if not config.at_start:
            return share
        return {device: plan for device, plan in share.items() if device < config.first_id + config.at_start}

    def _recipients(self, conversation: populations.Conversation) -> int:
        """Return the recipients of a message, as planned; of a test by hand, of those that have a user at its start."""
        config = self.config
        members = conversation.members
        if config.at_start:
            members = tuple(user for user in members if user - config.first_id < config.at_start)
        return max(0, len(members) - 1)

    @property
    def spare(self) -> list[int]:
        """The devices that no process has from the start."""
        config = self.config
        return [device for device in self.population.users if config.at_start <= device - config.first_id]

    def adopt(self, devices: Iterable[int]) -> None:
        """Take devices that are added while it goes on. Raises ApiError."""
        if self._fleet is None:
            return
        wanted = list(devices)
        tokens = self._api.tokens(self.config.api_key, wanted)
        self._fleet.adopt({device: self.plan.devices[device] for device in wanted}, tokens)

    def _ties(self, part: Part) -> Ties | None:
        """Return the memberships for causal order; None if devices do not keep it."""
        if not self.config.causal:
            return None
        ignore = self.config.ignore_dependencies
        return Ties.planned(self.population, self.plan, part.conversations, ignore_dependencies=ignore)

    def _join_crypto(self, run: Run, part: Part, share: Mapping[int, plans.DevicePlan]) -> None:
        """Set up real encryption for the devices of this process that are chosen for it. Raises ApiError."""
        from load.drive import keys

        config = self.config
        users, places = keys.choose(self.population, config.crypto_share, config.seed, self.plan.changes)
        run.crypto = self._crypto = keys.Keys(
            users=users,
            conversations=frozenset(part.conversations[place] for place in places),
            seed=config.seed,
            canary=config.canary.encode(),
            plaintext=config.crypto_plaintext,
            api=self._api,
            tokens=self._tokens,
            recorder=run.recorder,
        )
        known = dict(zip(part.conversations, self.population.conversations, strict=True))
        self._crypto.join_all(share, known, sleep=gevent.sleep)

    def begin(self, t0_ns: int) -> None:
        """Set the plan's time 0. Only the first call counts."""
        if self.begun:
            return
        self.begun = True
        # All objects that live as long as the run exist now, so garbage collections need not scan them again.
        gc.collect()
        gc.freeze()
        end_ns = t0_ns + round(self.config.duration_s * 1e9)
        if self._fleet is not None:
            self._fleet.begin(t0_ns)
        if self._host is not None:
            self._host.begin(t0_ns)
        self._enter("steady", t0_ns)
        if self._fleet is not None:
            self._tasks.append(gevent.spawn(Beat(self._control.process, self._control.write, gevent.sleep).run))
        self._tasks.append(gevent.spawn_later((end_ns - now_ns()) / 1e9, self._plan_is_done, end_ns))
        if self._changes is not None:
            changes = self._changes
            self._tasks.append(gevent.spawn(changes.run, self.plan.changes, t0_ns=t0_ns, end_ns=end_ns))

    def quiesce(self) -> None:
        """End the plan early: no more sends, absences or changes; the devices settle their open requests."""
        if not self.begun or self.phase == "quiesce":
            return
        if self._fleet is not None:
            self._fleet.quiesce()
        if self._host is not None:
            self._host.quiesce()
        if self._changes is not None:
            self._changes.quiet = True
        self._enter("quiesce")

    def _plan_is_done(self, end_ns: int) -> None:
        """Enter the phase quiesce once the last planned messages are sent, or WRITE_OUT_NS after the plan's end."""
        give_up_ns = now_ns() + WRITE_OUT_NS
        while self._fleet is not None and not self._fleet.wrote_all() and now_ns() < give_up_ns:
            gevent.sleep(LOOK_S)
        if self.phase != "quiesce":
            self._enter("quiesce", end_ns)

    @property
    def ramped(self) -> bool:
        """True unless fleet processes of this machine still have devices that have not begun to connect."""
        return self._host is None or self._host.ramped

    def take(self) -> Session | Seat | None:
        """Return what a new user runs: a device, or a fleet process. None if all of this process's are taken."""
        if self._host is not None:
            return self._host.take()
        return self._fleet.take() if self._fleet is not None else None

    def conversations_of(self, device: int) -> list[tuple[int, populations.Conversation]]:
        """Return the conversations of a device of this run, each with its id."""
        return self._talks.get(device, [])

    @cached_property
    def _talks(self) -> dict[int, list[tuple[int, populations.Conversation]]]:
        talks: dict[int, list[tuple[int, populations.Conversation]]] = {}
        for conv, conversation in zip(self._conversations, self.population.conversations, strict=True):
            for user in conversation.members:
                talks.setdefault(user, []).append((conv, conversation))
        return talks

    def give_back(self, taken: Session | Seat) -> None:
        """The user of this stopped; a device is available again."""
        if isinstance(taken, Seat):
            if self._host is not None:
                self._host.give_back(taken)
        elif self._fleet is not None:
            self._fleet.give_back(taken)

    def report(self) -> Report:
        """Return the counters and latencies of this process so far."""
        if self._host is not None:
            return self._host.report()
        return report_of(self._recorder) if self._recorder is not None else Report()

    def stop(self) -> None:
        """End this part; its users must have ended. The history is complete afterwards."""
        gc.unfreeze()
        gevent.killall(self._tasks)
        if self._changes is not None:
            self._changes.abandon()
        self._tell_sends()
        if self._fleet is not None:
            self._fleet.stop()
        if self._host is not None:
            self._host.stop()
        if self._crypto is not None:
            self._crypto.finish()
            _LOGGER.info("encryption: %s", self._crypto.cost)
        if self._recorder is not None and self.config.causal:
            hold, counters = self._recorder.hold, self._recorder.counters
            _LOGGER.info("causal order: %d of %d displays waited, p50 %.1f ms, p99 %.1f ms, max %.1f ms; %d in vain",
                         counters.held, counters.shown, hold.percentile_ms(50), hold.percentile_ms(99),
                         hold.percentile_ms(100), counters.held_late)  # fmt: skip
        self._history.close()
        with contextlib.suppress(OSError):
            self._enter("end")
        self._control.close()

    def tell(self, event: Machine) -> None:
        """Write what was seen of the machine. Raises OSError."""
        self._control.write(event)

    def _tell_sends(self) -> None:
        """Write the number of planned sends, and of those that were never made."""
        if self._fleet is None or not self.begun:
            return
        planned, unsent = self._fleet.sends
        try:
            self._control.write(Sends(t=now_ns(), process=self._control.process, planned=planned, unsent=unsent))
        except OSError as error:
            _LOGGER.error("the history lacks what was never sent: %s", error.strerror)

    def hole(self, detail: str) -> None:
        """Record a gap in this history."""
        try:
            self._control.hole(detail)
        except OSError as error:
            _LOGGER.error("this could not be written either (%s): %s", error.strerror, detail)

    def _enter(self, phase: PhaseName, t: int = 0) -> None:
        self.phase = phase
        self._control.phase(phase, t)
