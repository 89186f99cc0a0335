"""The verdict as junit.xml, as continuous-integration servers read it.

A run is one test suite, with a test case for each check and one for each planned fault. An invalid check is a failure.
An unknown check is an error ("could not be determined"), and so is a fault that was not proven or not healed. The names
of the cases are the same for every seed, so a server can follow them over nights.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from chaos.verdict.model import CheckResult, FaultResult, Verdict

_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold, not even escaped."""


def render(verdict: Verdict, *, started_at: str = "", replay: str = "") -> bytes:
    """Return the document. `started_at` is ISO 8601 without a zone, or ""; `replay`: the command that runs it again."""
    name = _text(f"petrel {verdict.experiment}")
    suite = ET.Element("testsuite", name=name, hostname="localhost", time=f"{verdict.duration_s:.3f}")
    if started_at:
        suite.set("timestamp", started_at)
    properties = ET.SubElement(suite, "properties")
    for key, value in (
        ("verdict", verdict.verdict),
        ("seed", verdict.seed),
        ("profile", verdict.profile),
        ("variant", verdict.variant or ""),
        *verdict.provenance.items(),
    ):
        ET.SubElement(properties, "property", name=key, value=_text(str(value)))
    for check in verdict.checks:
        _check(suite, check, f"{name}.checks")
    for case, fault in _named(verdict.faults):
        _fault(suite, fault, case, f"{name}.faults")
    ET.SubElement(suite, "system-out").text = _text(f"seed {verdict.seed}\n{replay}")
    return _document(suite)


def failed(experiment: str, why: str) -> bytes:
    """Return the document of a run without a verdict: one case, which is an error with the reason."""
    name = _text(f"petrel {experiment}")
    suite = ET.Element("testsuite", name=name, hostname="localhost", time="0")
    case = ET.SubElement(suite, "testcase", name="harness", classname=f"{name}.harness", time="0")
    ET.SubElement(case, "error", message=_text(why), type="harness").text = "the harness could not do its job"
    return _document(suite)


def _document(suite: ET.Element) -> bytes:
    suite.set("tests", str(len(suite.findall("testcase"))))
    suite.set("failures", str(len(suite.findall("testcase/failure"))))
    suite.set("errors", str(len(suite.findall("testcase/error"))))
    suite.set("skipped", "0")
    ET.indent(suite)
    document: bytes = ET.tostring(suite, encoding="utf-8", xml_declaration=True)
    return document + b"\n"


def _check(suite: ET.Element, check: CheckResult, group: str) -> None:
    case = ET.SubElement(suite, "testcase", name=_text(check.name), classname=group, time="0")
    if check.verdict != "valid":
        kind = "failure" if check.verdict == "invalid" else "error"
        problem = ET.SubElement(case, kind, message=_text(check.detail), type=check.verdict)
        problem.text = _text("\n".join(example.text for example in check.counterexamples))
    else:
        ET.SubElement(case, "system-out").text = _text(check.detail)


def _named(faults: Sequence[FaultResult]) -> list[tuple[str, FaultResult]]:
    """Return each fault with the name of its case, by name. Names depend on what is planned, and not on the seed."""
    seen: Counter[str] = Counter()
    named = []
    for fault in faults:
        seen[fault.name] += 1
        named.append((fault.name if seen[fault.name] == 1 else f"{fault.name} {seen[fault.name]}", fault))
    return sorted(named, key=lambda pair: (pair[1].name, len(pair[0]), pair[0]))


def _fault(suite: ET.Element, fault: FaultResult, name: str, group: str) -> None:
    began_s = fault.injected_at_s or 0.0
    took_s = max(0.0, (fault.healed_at_s or began_s) - began_s)
    case = ET.SubElement(suite, "testcase", name=_text(name), classname=group, time=f"{took_s:.3f}")
    evidence = _text(f"{fault.target}: {fault.evidence}")
    if not (fault.effective and fault.healed):
        what = "not healed" if fault.effective else "without effect"
        ET.SubElement(case, "error", message=what, type="unknown").text = evidence
    else:
        ET.SubElement(case, "system-out").text = evidence


def _text(value: str) -> str:
    return _NOT_XML.sub("\ufffd", value)
