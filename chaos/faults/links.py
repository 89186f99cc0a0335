"""The faults on one link between two services."""

from __future__ import annotations

from types import MappingProxyType

from chaos.faults.mechanisms.partition import Partition
from chaos.faults.mechanisms.toxic import Blackhole, HalfClose, Latency, LinkToxic, Reset, Stall
from sut.deploy.probes.question import Answer


class PartitionSequencerGateway(Partition):
    """One sequencer is cut off from one gateway: its deliveries are lost, and neither end is told.

    Breaks: acks and notifications from this sequencer's partitions to this gateway's devices are lost until both ends
    notice the silence. The devices must learn that they missed something.
    Proven: a ping through the proxy gets no answer, while the gateway itself answers.
    Undone: the toxics are removed.
    Healed: a ping through the proxy is answered.
    """

    name = "partition_sequencer_gateway"
    kind = "link"
    source = "sequencer"
    to = ("gateway",)


class LinkLatency(Latency, LinkToxic):
    """A link becomes slow: everything over it arrives, in order, `latency_ms` later in each direction.

    Breaks: the delays of calls that wait for one another add up. Deadlines that were chosen for a fast network are
    missed although no service is down. Services that treat a slow service as dead make it worse.
    Proven: the proxy reports the latency toxic, and the far end answers at once past the proxy. Over the link an answer
    takes at least one delay in each direction.
    Undone: the toxics are removed.
    Healed: the proxy reports no toxic and an answer over the link comes as soon as before.
    """

    name = "link_latency"
    ask_s = 2.0


class LinkBandwidth(Stall, LinkToxic):
    """A link stalls: it carries nothing during the stall and delivers all held-back bytes afterwards.

    Breaks: senders fill their buffers and must bound them. Bytes that arrive after the stall are old, and their sender
    may have sent them again over another way.
    Proven: the proxy reports a bandwidth of 0, and the far end answers at once past the proxy. Over the link a question
    is not answered while its connection stays open.
    Undone: the toxics are removed.
    Healed: the proxy reports no toxic and an answer over the link comes as soon as before.
    """

    name = "link_bandwidth"


class LinkReset(Reset, LinkToxic):
    """Every connection of a link breaks at its next byte, as by a middlebox that lost its state.

    New connections are reset. Those that were open before are closed in order.
    Breaks: bytes on their way may be lost, and the sender cannot know. A client that redials at once would loop without
    end, so it must back off.
    Proven: the proxy reports the reset_peer toxic, and the far end answers at once past the proxy. Over the link a
    question ends with a broken connection.
    Undone: the toxics are removed.
    Healed: the proxy reports no toxic and an answer over the link comes as soon as before.
    """

    name = "link_reset"


class LinkSlicer(LinkToxic):
    """Everything over a link arrives in small pieces with delays between them: no read returns a whole frame.

    Breaks: code that takes one read for one message, or that waits for a whole frame under one deadline.
    Proven: the proxy reports the slicer toxic, and the far end answers at once past the proxy. Over the link an answer
    comes in more pieces than before, after the delays between them.
    Undone: the toxics are removed.
    Healed: the proxy reports no toxic and an answer over the link comes as soon as before.
    """

    name = "link_slicer"
    toxic = "slicer"
    ask_s = 2.0
    options = MappingProxyType({"size": 12.0, "delay_ms": 1.0})  # size: a fifth of the shortest answer, so it shows

    def add(self, link: str) -> None:
        """Add the toxic in both directions."""
        size, delay_us = round(self.chosen["size"]), round(self.chosen["delay_ms"] * 1000)
        self.world.links.slicer(link, size=size, delay_us=delay_us)

    def bites(self, before: Answer, answer: Answer) -> bool:
        """Return True if the answer has more pieces than before, and is late by the delays.

        A late reader finds some pieces joined.
        """
        pieces = len(answer.pieces)
        late_s = (pieces - 1) * self.chosen["delay_ms"] / 1000
        return answer.how == "whole" and pieces > len(before.pieces) and answer.took_s >= late_s


class LinkBlackhole(Blackhole, LinkToxic):
    """A link loses everything, in both directions: its connections stay open, new ones open too, and no byte arrives.

    Breaks: neither end is told. Each must notice the silence by itself, and not take a slow far end for a dead one.
    Proven: the proxy reports the timeout toxic, and the far end answers at once past the proxy. Over the link a
    question is not answered while its connection stays open.
    Undone: the toxics are removed.
    Healed: the proxy reports no toxic and an answer over the link comes as soon as before.
    """

    name = "link_blackhole"


class LinkHalfClose(HalfClose, LinkToxic):
    """A link ends its connections towards the far end only; the near end is not told and holds a half-open socket.

    Breaks: the far end forgets the connection. The near end writes into it without an error, and waits for answers that
    cannot come.
    Proven: the proxy reports the timeout toxic, which ends the far side, and slow_close, which keeps the near one
    open. The far end answers at once past the proxy. Over the link a question is not answered while its connection
    stays open.
    Undone: the toxics are removed, and the held connections end.
    Healed: the proxy reports no toxic and an answer over the link comes as soon as before.
    """

    name = "link_half_close"


class LinkOneWay(Blackhole, LinkToxic):
    """A link carries nothing towards the far end, while everything from there still arrives.

    Breaks: requests are lost, and nothing that the far end says by itself is. So the near end hears a living far end
    that never answers.
    Proven: the proxy reports the timeout toxic in one direction, and the far end answers at once past the proxy. Over
    the link a question is not answered while its connection stays open.
    Undone: the toxic is removed.
    Healed: the proxy reports no toxic and an answer over the link comes as soon as before.
    """

    name = "link_one_way"
    streams = ("upstream",)


class LinkOneWayBack(Blackhole, LinkToxic):
    """A link carries nothing from the far end, which still gets everything and acts on it.

    Breaks: what was asked for happens, and the near end never learns of it. It repeats what was done already, so the
    far end must know it again.
    Proven: the proxy reports the timeout toxic in one direction, and the far end answers at once past the proxy. Over
    the link a question is not answered while its connection stays open.
    Undone: the toxic is removed.
    Healed: the proxy reports no toxic and an answer over the link comes as soon as before.
    """

    name = "link_one_way_back"
    streams = ("downstream",)
