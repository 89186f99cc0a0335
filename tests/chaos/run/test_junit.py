"""junit.xml: a case a check, a case a fault, counts that add up, and nothing that an XML parser would refuse."""

from pathlib import Path
from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from chaos.run import junit, outcome
from chaos.run.rundir import RunDir
from chaos.verdict.model import CheckResult, Counterexample, Counts, FaultResult, Latency, Outcome, Verdict


def fault(name: str, *, effective: bool = True, healed: bool = True) -> FaultResult:
    return FaultResult(
        name=name,
        target="t-1",
        injected_at_s=10.0,
        healed_at_s=12.5 if healed else None,
        effective=effective,
        healed=healed,
        evidence="pid 1 is gone",
        recovery_s=None,
    )


def verdict(*checks: CheckResult, faults: tuple[FaultResult, ...] = (), outcome: Outcome = "valid") -> Verdict:
    return Verdict(
        verdict=outcome,
        experiment="quick",
        profile="embedded",
        variant=None,
        seed=7,
        duration_s=95.0,
        counts=Counts(),
        latency_ms=Latency(),
        faults=faults,
        checks=checks,
    )


def test_checks_and_faults_become_cases() -> None:
    lost = Counterexample(text="message 3 <&> is not in the final of device 2")
    document = junit.render(
        verdict(
            CheckResult(name="order", verdict="valid", detail="nothing out of order"),
            CheckResult(name="acked_lost", verdict="invalid", detail="1 lost", counterexamples=(lost,)),
            CheckResult(name="vacuity", verdict="unknown", detail="too few"),
            faults=(fault("a"), fault("b", effective=False), fault("a", healed=False)),
            outcome="invalid",
        ),
        started_at="2026-01-02T03:04:05",
        replay="petrel replay runs/x",
    )
    suite = ET.fromstring(document)
    assert suite.tag == "testsuite"
    assert {key: suite.get(key) for key in ("tests", "failures", "errors", "skipped")} == {
        "tests": "6", "failures": "1", "errors": "3", "skipped": "0",
    }  # fmt: skip
    assert suite.get("timestamp") == "2026-01-02T03:04:05"
    cases = {case.get("name"): case for case in suite.iter("testcase")}
    assert list(cases) == ["order", "acked_lost", "vacuity", "a", "a 2", "b"]
    assert all(case.get("classname") and case.get("time") for case in cases.values())
    failure = cases["acked_lost"].find("failure")
    assert failure is not None
    assert (failure.get("message"), failure.text) == ("1 lost", lost.text)
    error = cases["a 2"].find("error")
    assert error is not None
    assert error.get("message") == "not healed"
    assert cases["a"].get("time") == "2.500"
    assert {one.get("name"): one.get("value") for one in suite.iter("property")}["seed"] == "7"
    assert suite.findtext("system-out") == "seed 7\npetrel replay runs/x"
    assert cases["a"].findtext("system-out") == "t-1: pid 1 is gone"


def test_the_names_of_cases_do_not_depend_on_the_order_of_faults() -> None:
    faults = [fault(name) for name in ("b", "a", "b", "c", *["d"] * 11)]
    names = [
        [case.get("name") for case in ET.fromstring(junit.render(verdict(faults=tuple(order)))).iter("testcase")]
        for order in (faults, faults[::-1])
    ]
    assert names[0] == names[1] == ["a", "b", "b 2", "c", "d", *(f"d {number}" for number in range(2, 12))]


def test_a_run_without_a_verdict_is_an_error() -> None:
    suite = ET.fromstring(junit.failed("quick", "no room <here>"))
    assert (suite.get("tests"), suite.get("errors"), suite.get("failures")) == ("1", "1", "0")
    error = suite.find("testcase/error")
    assert error is not None and error.get("message") == "no room <here>"


def test_a_verdict_is_not_written_over(tmp_path: Path) -> None:
    outcome.without_verdict(RunDir(tmp_path / "never made"), "quick", "why")
    assert list(tmp_path.iterdir()) == []
    place = RunDir(tmp_path)
    outcome.without_verdict(place, "quick", "why")
    document = place.junit.read_bytes()
    assert document == junit.failed("quick", "why")
    outcome.without_verdict(place, "quick", "another reason")
    assert place.junit.read_bytes() == document


@given(st.text())
def test_any_text_makes_a_document_that_parses(text: str) -> None:
    document = junit.render(
        verdict(
            CheckResult(name=text, verdict="invalid", detail=text, counterexamples=(Counterexample(text=text),)),
            faults=(fault(text, effective=False),),
        )
    )
    suite = ET.fromstring(document)
    assert len(suite.findall("testcase")) == 2
