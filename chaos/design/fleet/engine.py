"""The fleet, tick by tick: gateways one by one in arrays, devices in cohorts, backlogs of work at each place.

Everything that a scenario changes is a field of `World`; a scenario is a function that changes it at its times. A tick
moves in this order: scenario, dials, handshakes, registrations, messages. Latency is drawn for messages due in the
tick: what a delivery takes in a calm fleet (queues.py and the measured base), and the backlogs on its way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from chaos.design.fleet.cohorts import ATTEMPTS, Waiting
from chaos.design.fleet.size import Costs, Fleet

TICK_S: Final = 0.1
DRAWN: Final = 2000
"""Messages of a tick whose latency is drawn."""
MAX_ADMITTED_S: Final = 0.8
"""With more work than this before it a SEND is refused, and repeated later (sut/gateway/admission.py)."""
LINES: Final = (
    "offline", "dials_per_s", "connected_per_s", "handshake_queue", "registration_queue", "sequencer_queue",
    "messages_per_s", "refused_per_s", "p50_ms", "p99_ms", "gateway_load", "redis_load", "sequencer_load",
)  # fmt: skip


class World:
    """The state of the fleet. A scenario may change the attributes that are not private."""

    def __init__(self, fleet: Fleet, costs: Costs, *, seed: int, base_ms: np.ndarray, fixed_s: float = 0.0) -> None:
        """`base_ms`: deliveries of a calm fleet, of which latencies are drawn."""
        self.fleet, self.costs = fleet, costs
        self.rng = np.random.default_rng(seed)
        self.now_s = 0.0
        self.up = np.ones(fleet.gateways, dtype=bool)
        """Gateways that take connections."""
        self.known = np.ones(fleet.gateways, dtype=bool)
        """Gateways that devices dial: a dead one is left out once its lease has ended."""
        self.connected = np.full(fleet.gateways, fleet.connections // fleet.gateways, dtype=np.int64)
        self.connected[: fleet.connections % fleet.gateways] += 1
        self.waiting = Waiting(
            base_s=fleet.reconnect_base_s, cap_s=fleet.reconnect_cap_s, fixed_s=fixed_s, tick_s=TICK_S, rng=self.rng
        )
        self.dialling = np.zeros((ATTEMPTS, fleet.gateways), dtype=np.int64)
        """Handshakes that each gateway has not finished, by attempt."""
        self.registering = 0.0
        """Registrations that Redis has not done."""
        self.sequencing = np.zeros(fleet.partitions)
        """Messages that each sequencer has not numbered."""
        self.held = 0.0
        """Messages that devices hold until they are connected, or were refused."""
        self.rate = 1.0
        """Messages of a device, as a multiple of the average."""
        self.hot_per_s = 0.0
        """Work of partition 0 beside its share, in messages/s."""
        self.redis = 1.0
        """The share of Redis that answers."""
        self.partition_work_s = costs.sequencer_ms / 1000
        self._base_ms = base_ms
        self._came_per_s = fleet.messages_per_s
        self._dead_since: dict[int, float] = {}

    def kill(self, gateways: np.ndarray) -> None:
        """Kill gateways: their devices wait for their first attempt, and others dial them until the lease ends."""
        gone = int(self.connected[gateways].sum())
        self.connected[gateways] = 0
        lost = self.dialling[:, gateways].sum(axis=1)
        self.dialling[:, gateways] = 0
        self.up[gateways] = False
        self.waiting.add(gone, 0)
        for attempt, devices in enumerate(lost):
            self.waiting.add(int(devices), attempt + 1)
        self._dead_since |= dict.fromkeys(gateways.tolist(), self.now_s)

    def flap(self, devices: int) -> None:
        """End that many connections, drawn from all gateways; the devices come back as after any loss."""
        lost = np.minimum(
            self.rng.multinomial(devices, np.full(self.connected.size, 1 / self.connected.size)), self.connected
        )
        self.connected -= lost
        self.waiting.add(int(lost.sum()), 0)

    def drain(self, gateways: np.ndarray, within_s: float) -> None:
        """Take gateways out of service as a deploy does: their devices are asked to come back within that time."""
        self.waiting.add(int(self.connected[gateways].sum()), 0, within_s=within_s)
        self.connected[gateways] = 0
        self.up[gateways] = self.known[gateways] = False

    def start(self, gateways: np.ndarray) -> None:
        """Let gateways take connections again."""
        self.up[gateways] = self.known[gateways] = True
        for gateway in gateways.tolist():
            self._dead_since.pop(gateway, None)

    def tick(self) -> dict[str, float]:
        """Move by TICK_S; return a value for each of LINES."""
        self.now_s += TICK_S
        for gateway, since_s in list(self._dead_since.items()):
            if self.now_s - since_s >= self.fleet.lease_s:
                self.known[gateway] = False
                del self._dead_since[gateway]
        dials = self._dial()
        busy, connected = self._shake_hands()
        self._register(connected)
        sent, refused, latency_ms = self._talk()
        fleet = self.fleet
        registrations_s = self.costs.register_ms / 1000 * connected / TICK_S
        renewals_s = self.connected.sum() / fleet.heartbeat_s * self.costs.renew_ms / 1000
        return {
            "offline": float(fleet.connections - self.connected.sum()),
            "dials_per_s": dials / TICK_S,
            "connected_per_s": connected / TICK_S,
            "handshake_queue": float(self.dialling.sum()),
            "registration_queue": self.registering,
            "sequencer_queue": float(self.sequencing.max()),
            "messages_per_s": sent / TICK_S,
            "refused_per_s": refused / TICK_S,
            "p50_ms": float(np.percentile(latency_ms, 50)),
            "p99_ms": float(np.percentile(latency_ms, 99)),
            "gateway_load": float(busy.max(initial=0.0)),
            "redis_load": (registrations_s + renewals_s) / fleet.redis_shards,
            "sequencer_load": sent / TICK_S / fleet.partitions * self.partition_work_s,
        }

    def _dial(self) -> float:
        """Let the devices that are due dial a gateway that they know. A dead one refuses at once."""
        due = self.waiting.dial()
        known = np.flatnonzero(self.known)
        for attempt in np.flatnonzero(due):
            devices = int(due[attempt])
            if not known.size:
                self.waiting.add(devices, int(attempt) + 1)
                continue
            alive = known[self.up[known]]
            refused = int(self.rng.binomial(devices, 1 - alive.size / known.size))
            self.waiting.add(refused, int(attempt) + 1)
            if devices > refused:
                self.dialling[attempt, alive] += self.rng.multinomial(
                    devices - refused, np.full(alive.size, 1 / alive.size)
                )
        return float(due.sum())

    def _shake_hands(self) -> tuple[np.ndarray, float]:
        """Let each gateway finish what its cores allow. Returns its load (0 to 1) and the devices connected."""
        fleet, costs = self.fleet, self.costs
        steady = (
            self.connected / fleet.heartbeat_s * costs.heartbeat_ms
            + self._came_per_s / max(1, int(self.up.sum())) * costs.gateway_ms
        ) / 1000
        free = np.maximum(fleet.gateway_cores - steady, 0.05 * fleet.gateway_cores) * self.up
        can = free * TICK_S / (costs.connect_ms / 1000)
        queued = self.dialling.sum(axis=0)
        finished = np.zeros_like(queued)
        if queued.any():
            finished = self._take(np.minimum(queued, can)).sum(axis=0)
            late = np.maximum(queued - finished - can * fleet.connect_timeout_s / TICK_S, 0.0)
            if late.any():
                for attempt, devices in enumerate(self._take(late).sum(axis=1)):
                    self.waiting.add(int(devices), attempt + 1)
        self.connected += finished
        load = np.divide(steady + finished * costs.connect_ms / 1000 / TICK_S, fleet.gateway_cores)
        return np.minimum(load, 1.0), float(finished.sum())

    def _take(self, wanted: np.ndarray) -> np.ndarray:
        """Take about so many devices from the handshakes of each gateway; returns them by attempt and gateway."""
        left = self.dialling.sum(axis=0)
        share = np.divide(wanted, left, out=np.zeros(left.shape), where=left > 0)
        drawn = np.floor(self.dialling * share + self.rng.random(self.dialling.shape)).astype(np.int64)
        taken: np.ndarray = np.minimum(drawn, self.dialling)
        self.dialling -= taken
        return taken

    def _register(self, connected: float) -> None:
        self.registering += connected
        renewals = self.connected.sum() / self.fleet.heartbeat_s * self.costs.renew_ms / 1000
        free = max(self.fleet.redis_shards - renewals, 0.05 * self.fleet.redis_shards) * self.redis
        self.registering -= min(self.registering, free * TICK_S / (self.costs.register_ms / 1000))

    def _offered(self) -> float:
        """The messages that people want to send, 1/s."""
        return self.fleet.messages_per_s * self.rate

    def _talk(self) -> tuple[float, float, np.ndarray]:
        """Return messages taken and refused in the tick, and latencies in ms of some that are due in it."""
        fleet, rng = self.fleet, self.rng
        online = float(self.connected.sum()) / fleet.connections
        wanted = self._offered() * TICK_S
        repeated = self.held * TICK_S / self.fleet.repeat_s * online
        self.held += wanted * (1 - online) - repeated
        arriving = rng.poisson(max(wanted * online + repeated, 0.0) / fleet.partitions, fleet.partitions).astype(float)
        arriving[0] += self.hot_per_s * TICK_S
        self._came_per_s = float(arriving.sum()) / TICK_S
        can = TICK_S / self.partition_work_s
        room = np.maximum((MAX_ADMITTED_S / TICK_S + 1) * can - self.sequencing, 0.0)
        taken = np.minimum(arriving, room)
        refused = float((arriving - taken).sum())
        self.held += refused
        chat = max(0.0, float(taken.sum()) / TICK_S * self.costs.chat_ms / 1000 / fleet.chat_cores - 1)
        before = self.sequencing.copy()
        self.sequencing = np.maximum(self.sequencing + taken - can, 0.0)
        gateways = rng.integers(0, fleet.gateways, (2, DRAWN))
        partitions = rng.integers(0, fleet.partitions, DRAWN)
        hand = self.dialling.sum(axis=0) * (self.costs.connect_ms / 1000 / fleet.gateway_cores) * 1000
        latency_ms = rng.choice(self._base_ms, DRAWN)
        latency_ms = latency_ms + np.minimum(hand[gateways], fleet.connect_timeout_s * 1000).sum(axis=0)
        latency_ms += (self.sequencing + before)[partitions] / 2 * self.partition_work_s * 1000
        latency_ms += chat * TICK_S * 1000
        away = rng.random(DRAWN) > online * online
        wait_s = rng.exponential(fleet.reconnect_cap_s / 2, DRAWN)
        latency_ms[away] += wait_s[away] * 1000
        return float(taken.sum()), refused, latency_ms


Step = Callable[[World], None]
"""Changes the world, called before each tick; reads `now_s`."""


def play(world: World, step: Step, duration_s: float) -> dict[str, np.ndarray]:
    """Return the LINES of all ticks."""
    ticks = round(duration_s / TICK_S)
    series = {name: np.zeros(ticks) for name in LINES}
    for number in range(ticks):
        step(world)
        for name, value in world.tick().items():
            series[name][number] = value
    return series
