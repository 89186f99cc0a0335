"""What is broken now, from the files of a run and of injections by hand."""

from pathlib import Path

from chaos.faults.undo import Release, UndoLedger
from chaos.run.observe.exporter import BrokenNow
from load.history.control import ControlWriter, Fault


def injected(writer: ControlWriter, fault: str, name: str, target: str) -> None:
    writer.write(Fault(t=1, fault=fault, name=name, target=target, phase="inject", ok=True, evidence="seen"))


def test_a_fault_is_active_from_its_promise_until_it_is_undone(tmp_path: Path) -> None:
    (tmp_path / "history").mkdir()
    broken = BrokenNow(tmp_path)
    assert broken.active() == {}
    ledger, writer = UndoLedger(tmp_path / "undo.jsonl"), ControlWriter(tmp_path / "history" / "x.jsonl", process="x")
    ledger.promise("f1", (Release("gateway-1"),))
    injected(writer, "f1", "gateway_crash", "gateway-1")
    assert broken.active() == {("gateway_crash", "gateway-1"): 1.0}
    ledger.done("f1")
    assert broken.active() == {("gateway_crash", "gateway-1"): 0.0}
    ledger.close()
    writer.close()


def test_an_injection_by_hand_without_a_test_is_told_by_its_name(tmp_path: Path) -> None:
    ledger = UndoLedger(tmp_path / "undo.jsonl")
    ledger.promise("hand-77", (Release("gateway-1"),))
    assert BrokenNow(tmp_path).active() == {("by hand", "hand-77"): 1.0}
    ledger.close()


def test_files_that_cannot_be_read_are_no_fault(tmp_path: Path) -> None:
    (tmp_path / "undo.jsonl").write_text("what is this\n")
    assert BrokenNow(tmp_path).active() == {}
