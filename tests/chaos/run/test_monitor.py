"""When a run counts as drained: a device that is late with its last message is waited for."""

import io
from pathlib import Path

from rich.console import Console

from chaos.run import experiment
from chaos.run.interrupt import Interrupt
from chaos.run.monitor import Monitor
from chaos.run.rundir import RunDir
from chaos.screen.live import Display
from load.history.control import ControlWriter
from load.history.events import Event, message_id
from load.history.writer import HistoryWriter


def test_nothing_is_drained_while_a_process_still_writes(tmp_path: Path) -> None:
    directory = RunDir(tmp_path)
    directory.history.mkdir()
    writers = [ControlWriter(directory.history / f"swarm-{n}.jsonl", process=f"swarm-{n}") for n in (1, 2)]
    history = HistoryWriter(directory.history / "swarm-1.bin")
    with Display(Console(file=io.StringIO())) as display:
        monitor = Monitor(experiment.load("quick"), directory, display, Interrupt())
        for device in (1, 2):
            history.append(Event.DEVICE, t=1, device=device, msg=device)
            history.append(Event.MEMBER, t=1, conv=7, msg=device, arg=1)
        for writer in writers:
            writer.phase("steady", 1)
        first, last = message_id(1, 1), message_id(1, 2)
        for seq, msg in ((1, first), (2, last)):
            if msg == last:  # nothing is open now; but the second process is late with its last message
                monitor.tick()
                assert not monitor.drained()
                writers[0].phase("quiesce", 9)
                monitor.tick()
                assert not monitor.drained()
            history.append(Event.SEND, t=seq, device=1, conv=7, msg=msg)
            history.append(Event.ACK, t=seq, device=1, conv=7, msg=msg, seq=seq)
            if msg == first:
                history.append(Event.SHOW, t=seq, device=2, conv=7, msg=msg, seq=seq)
        writers[1].phase("quiesce", 9)
        monitor.tick()
        assert not monitor.drained(), "the last message, written since the ledger was read, is on no screen"
        history.append(Event.SHOW, t=9, device=2, conv=7, msg=last, seq=2)
        assert monitor.drained()
        monitor.close()
    history.close()
