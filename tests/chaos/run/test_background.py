"""Work on a thread from start to stop."""

import threading

from chaos.run.background import Background
from tests.kit.waits import wait_until


class Turns(Background):
    """Counts until it is stopped."""

    def __init__(self) -> None:
        super().__init__("turns")
        self.turns = 0

    def _run(self) -> None:
        while not self._stop.wait(0.001):
            self.turns += 1


def test_it_works_from_start_to_stop() -> None:
    work = Turns()
    work.start()
    assert "turns" in {thread.name for thread in threading.enumerate()}
    wait_until(lambda: work.turns > 2)
    work.stop()
    turns = work.turns
    assert "turns" not in {thread.name for thread in threading.enumerate()}
    assert work.turns == turns


def test_what_never_began_is_stopped_at_once() -> None:
    work = Turns()
    work.stop()
    work.stop()
    assert work.turns == 0
