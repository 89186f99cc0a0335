"""junit.xml: a case a check, a case a fault, counts that add up, and nothing that an XML parser would refuse."""

from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from chaos.run import junit
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
    )
    suite = ET.fromstring(document)
    assert suite.tag == "testsuite"
    assert {key: suite.get(key) for key in ("tests", "failures", "errors", "skipped")} == {
        "tests": "6", "failures": "1", "errors": "3", "skipped": "0",
    }  # fmt: skip
    assert suite.get("timestamp") == "2026-01-02T03:04:05"
    cases = {case.get("name"): case for case in suite.iter("testcase")}
    assert list(cases) == ["order", "acked_lost", "vacuity", "1. a t-1", "2. b t-1", "3. a t-1"]
    assert all(case.get("classname") and case.get("time") for case in cases.values())
    failure = cases["acked_lost"].find("failure")
    assert failure is not None
    assert (failure.get("message"), failure.text) == ("1 lost", lost.text)
    error = cases["3. a t-1"].find("error")
    assert error is not None
    assert error.get("message") == "not healed"
    assert cases["1. a t-1"].get("time") == "2.500"
    assert {one.get("name"): one.get("value") for one in suite.iter("property")}["seed"] == "7"


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
