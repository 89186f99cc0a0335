"""The faults on chat services."""

from __future__ import annotations

from chaos.faults.mechanisms.crash import PeerCrash, PeerStop
from chaos.faults.mechanisms.limit import NoFiles, NoMemory, NoSpace
from chaos.faults.mechanisms.loop import CrashLoop
from chaos.faults.mechanisms.slow import SlowDisk


class ChatCrash(PeerCrash):
    """A chat service dies by SIGKILL while it handles sends and page requests.

    Breaks: a send that it had accepted may or may not be in the log, and the device cannot know. Gateways must use
    another chat service.
    Proven: its pid is gone and its port refuses connections.
    Undone: the supervisor may restart it.
    Healed: a new pid answers a peer ping as a newer incarnation.
    """

    name = "chat_crash"
    kind = "chat"


class ChatStop(PeerStop):
    """A chat service is told to end (SIGTERM) and finishes what it has begun.

    Breaks: gateways must send new frames to the other one. An append under way must be answered, or be repeated without
    a second copy.
    Proven: its pid is gone and its ports refuse connections.
    Undone: the supervisor may restart it.
    Healed: a new pid answers a peer ping as a newer incarnation.
    """

    name = "chat_stop"
    kind = "chat"


class ChatNoFiles(NoFiles):
    """A chat service may open no further file or socket: its links go on, and new ones wait.

    Breaks: a gateway that lost its link cannot get a new one. What needs a file that is not open fails.
    Proven: the kernel reports the limit, and a ping over a new connection gets no answer.
    Undone: it gets its former limit.
    Healed: the kernel reports that limit, and the same incarnation answers a peer ping.
    """

    name = "chat_no_files"
    kind = "chat"


class ChatNoMemory(NoMemory):
    """A chat service gets no further memory: what it asks the kernel for is refused.

    Breaks: what it cannot hold it must refuse or drop with the link, never answer with half of it. A batch that is
    lost so was never acknowledged.
    Proven: the kernel reports the limit, and it breaks a link that brings it 8 MiB. Or its pid is gone.
    Undone: it gets its former limit.
    Healed: the kernel reports that limit, and the same incarnation answers a peer ping. If it ended, a newer one does.
    """

    name = "chat_no_memory"
    kind = "chat"


class ChatCrashLoop(CrashLoop):
    """A chat service dies by SIGKILL again each time it is back and gateways have sent it something.

    Breaks: each life takes sends whose answer nobody hears. Gateways must not come back to it with everything that
    waits, nor wait for it where another one answers.
    Proven: three of its processes in turn are gone, and the one that kills them is still at it.
    Undone: the one that kills them ends.
    Healed: a process of it is 3 s old and answers a peer ping as a newer incarnation.
    """

    name = "chat_crash_loop"
    kind = "chat"


class LogSlow(SlowDisk):
    """A chat service's disk is slow: `writes_per_s` writes a second, where a commit of the SQLite log takes some.

    Breaks: every append takes longer. Those that wait must share the next one, and what would wait too long must be
    refused rather than repeated into the same queue. Other processes on the same file system may be slowed too.
    Proven: the kernel has it in a control group with that limit, and four writes in that group take as long as it says.
    Undone: it is moved back to its former group.
    Healed: the kernel has it there, four writes take less, and the same incarnation answers a peer ping.
    """

    name = "log_slow"
    kind = "chat"
    on = "log"


class LogFull(NoSpace):
    """A chat service finds its disk full: no file that it has may grow, so no append to a SQLite log succeeds.

    Breaks: a message that cannot be made durable must not be acknowledged. Sends must go to the other chat service, or
    wait. On Kafka only the service's own log file is hit.
    Proven: the kernel reports the limit.
    Undone: it gets its former limit.
    Healed: the kernel reports that limit, and the same incarnation answers a peer ping.
    """

    name = "log_full"
    kind = "chat"
