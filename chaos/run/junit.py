"""The verdict as junit.xml, as continuous-integration servers read it.

A run is one test suite, with a test case for each check and one for each planned fault. An invalid check is a failure.
An unknown check is an error ("could not be determined"), and so is a fault that was not proven or not healed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from chaos.verdict.model import CheckResult, FaultResult, Verdict

_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold, not even escaped."""


def render(verdict: Verdict, *, started_at: str = "") -> bytes:
    """Return the document. `started_at` is ISO 8601 without a zone, or ""."""
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
    ):
        ET.SubElement(properties, "property", name=key, value=_text(str(value)))
    for check in verdict.checks:
        _check(suite, check, f"{name}.checks")
    for number, fault in enumerate(verdict.faults, 1):
        _fault(suite, fault, number, f"{name}.faults")
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


def _fault(suite: ET.Element, fault: FaultResult, number: int, group: str) -> None:
    began_s = fault.injected_at_s or 0.0
    took_s = max(0.0, (fault.healed_at_s or began_s) - began_s)
    name = _text(f"{number}. {fault.name} {fault.target}")
    case = ET.SubElement(suite, "testcase", name=name, classname=group, time=f"{took_s:.3f}")
    if not (fault.effective and fault.healed):
        what = "not healed" if fault.effective else "without effect"
        ET.SubElement(case, "error", message=what, type="unknown").text = _text(fault.evidence)
    else:
        ET.SubElement(case, "system-out").text = _text(fault.evidence)


def _text(value: str) -> str:
    return _NOT_XML.sub("\ufffd", value)
