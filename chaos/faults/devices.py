"""The faults on a cell: the ways of some of the devices to all gateways.

Only a system whose experiment sets `mobile_share` has cells.
"""

from __future__ import annotations

from types import MappingProxyType

from chaos.faults.mechanisms.toxic import Blackhole, CellToxic, HalfClose, Latency, Reset, Stall
from sut.deploy.probes import question
from sut.deploy.probes.question import Answer


class DeviceBlackhole(Blackhole, CellToxic):
    """A cell loses everything, in both directions: its devices' connections stay open, and no byte arrives.

    Breaks: what the gateways write is lost, although no write fails. Nobody is told. A device that counts as present
    gets no notification, so it must be pushed to. It must notice by itself that its connection is dead.
    Proven: the proxy reports the timeout toxic, and the gateway answers at once past the proxy. Over each link of the
    cell a question is not answered while its connection stays open.
    Undone: the toxics are removed.
    Healed: the proxy reports no toxic and an answer over each link comes as soon as before.
    """

    name = "device_blackhole"


class DeviceFreeze(Stall, CellToxic):
    """A cell stalls, as in a tunnel: it carries nothing during the stall and delivers all held-back bytes afterwards.

    Breaks: as a black hole, but the connections go on after it. What was held back arrives late, perhaps beside the
    same from a second connection.
    Proven: the proxy reports a bandwidth of 0, and the gateway answers at once past the proxy. Over each link of the
    cell a question is not answered while its connection stays open.
    Undone: the toxics are removed.
    Healed: the proxy reports no toxic and an answer over each link comes as soon as before.
    """

    name = "device_freeze"


class DeviceHalfClose(HalfClose, CellToxic):
    """A cell ends its devices' connections towards the gateways only; the devices are not told.

    Breaks: the gateway forgets the devices, while they wait on connections that look open. They must notice the
    silence, and get pushes until then.
    Proven: the proxy reports the timeout toxic, which ends the gateways' side, and slow_close, which keeps the other
    open. The gateway answers at once past the proxy. Over each link of the cell a question is not answered while its
    connection stays open.
    Undone: the toxics are removed, and the devices' connections end.
    Healed: the proxy reports no toxic and an answer over each link comes as soon as before.
    """

    name = "device_half_close"


class DeviceReset(Reset, CellToxic):
    """Every connection of a cell breaks at its next byte, as by a carrier's translator that lost its state.

    New connections are reset. Those that were open before are closed in order.
    Breaks: the devices' requests may have been taken or not, and they cannot know. Devices that redial at once would
    loop without end, so they must back off.
    Proven: the proxy reports the reset_peer toxic, and the gateway answers at once past the proxy. Over each link of
    the cell a question ends with a broken connection.
    Undone: the toxics are removed.
    Healed: the proxy reports no toxic and an answer over each link comes as soon as before.
    """

    name = "device_reset"


class DeviceLatency(Latency, CellToxic):
    """A cell becomes slow to answer: everything over it arrives, in order, `latency_ms` later in each direction.

    Breaks: round trips that wait for one another add up. Deadlines that were chosen for a fast network are missed.
    Proven: the proxy reports the latency toxic, and the gateway answers at once past the proxy. Over each link of the
    cell an answer takes at least one delay in each direction.
    Undone: the toxics are removed.
    Healed: the proxy reports no toxic and an answer over each link comes as soon as before.
    """

    name = "device_latency"
    ask_s = 3.0
    options = MappingProxyType({"latency_ms": 600.0, "jitter_ms": 100.0})


class DeviceBandwidth(CellToxic):
    """A cell becomes narrow: each connection carries `kb_per_s` KB/s at most in each direction.

    Breaks: a page takes longer than a time-out that was chosen for a fast network. A device that then gives up and asks
    again never catches up.
    Proven: the proxy reports the bandwidth toxic, and the gateway answers at once past the proxy. Over each link of the
    cell a question of 1 KB is answered, at the earliest when that rate has carried it and its answer.
    Undone: the toxics are removed.
    Healed: the proxy reports no toxic and an answer over each link comes as soon as before.
    """

    name = "device_bandwidth"
    toxic = "bandwidth"
    ask_s = 2.0
    options = MappingProxyType({"kb_per_s": 2.0})

    def add(self, link: str) -> None:
        """Set the bandwidth of both directions."""
        self.world.links.bandwidth(link, kb_per_s=max(1, round(self.chosen["kb_per_s"])))

    def bites(self, before: Answer, answer: Answer) -> bool:
        """Return True if the answer is whole, and is late by the time that its bytes need."""
        needs_s = (question.size("ws") + sum(answer.pieces)) / (1000 * max(1, round(self.chosen["kb_per_s"])))
        return answer.how == "whole" and answer.took_s >= needs_s
