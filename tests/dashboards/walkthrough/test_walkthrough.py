"""Walkthroughs of hand-made runs: each topic tells what was recorded, in its order, and says what is missing."""

from pathlib import Path

import pytest

from chaos.verdict.history.history import load_run
from chaos.verdict.model import Counts, FaultResult, Latency, Verdict
from dashboards.walkthrough import TOPICS, NotThere, cheat_sheet, explain
from dashboards.walkthrough.recorded import Recorded
from dashboards.walkthrough.story import Story
from load.history.events import Event, message_id
from sut.process.trace import Hop
from tests.dashboards.traced import T0_NS, USUAL_MS, TracedRun
from tests.kit.browser import CHROMIUM, browser

# Device 1's messages 3, 7, 11, ... are traced, and device 5's too: (device + client_seq) % 4 == 0.
FAULTS = ("gateway_crash", "chat_crash", "sequencer_crash")
TARGETS = {"gateway_crash": "gateway-1", "chat_crash": "chat-1", "sequencer_crash": "sequencer-1"}
BEGIN_S, END_S = 20.0, 22.0


def verdict(*faults: str) -> Verdict:
    struck = tuple(
        FaultResult(
            name=name, target=TARGETS[name], injected_at_s=BEGIN_S, healed_at_s=END_S, effective=True, healed=True,
            evidence=f"pid of {TARGETS[name]} is gone", recovery_s=0.0,
        )
        for name in faults
    )  # fmt: skip
    return Verdict(
        verdict="valid", experiment="made-up", profile="embedded", variant=None, seed=1, duration_s=60.0,
        counts=Counts(sends_acked=9), latency_ms=Latency(), faults=struck, checks=(),
    )  # fmt: skip


def recorded(run: TracedRun, *faults: str) -> Recorded:
    run._lines.append({"e": "phase", "t": T0_NS, "name": "steady"})
    path = run.write()
    return Recorded(load_run(path), verdict(*faults), path)


def told(run: Recorded, topic: str) -> Story:
    story = TOPICS[topic](run)
    assert story.topic == topic
    assert [step.t_ns for step in story.steps] == sorted(step.t_ns for step in story.steps)
    assert {name for step in story.steps for name in (step.start, step.stop)} == {lane.name for lane in story.lanes}
    assert story.facts
    return story


def titles(story: Story) -> list[str]:
    return [step.title for step in story.steps]


def test_a_message_is_told_from_send_to_display_with_its_frames(tmp_path: Path) -> None:
    run = TracedRun(tmp_path / "run")
    run.message(3, due_ms=0)
    story = told(recorded(run), "message")
    assert titles(story) == [
        "SEND", "Submit", "taken", "append", "durable", "number 1", "ACK",
        "Deliver", "NOTIFY", "FETCH", "body", "shown",
    ]  # fmt: skip
    lasted_ms = (story.steps[-1].t_ns - story.steps[0].t_ns) / 1e6
    assert lasted_ms == pytest.approx(sum(USUAL_MS.values()) - USUAL_MS["wait"])
    frames = {step.title: step.frame for step in story.steps if step.frame is not None}
    assert frames["SEND"].hex.replace(" ", "") == "01" + f"{9:016x}" + f"{3:016x}"
    assert frames["NOTIFY"].hex.replace(" ", "") == "84" + f"{9:016x}" + f"{1:012x}" + "0000"
    assert frames["ACK"].hex.replace(" ", "").startswith("82" + f"{9:016x}{3:016x}")
    assert ("from due to display", f"{sum(USUAL_MS.values()):.1f} ms") in story.facts


def test_a_direct_message_comes_with_its_notification(tmp_path: Path) -> None:
    run = TracedRun(tmp_path / "run")
    run.message(3, due_ms=0, group=False)
    story = told(recorded(run), "message")
    assert "MESSAGE" in titles(story)
    assert not {"NOTIFY", "FETCH"} & set(titles(story))


def test_two_senders_get_numbers_that_a_third_device_shows_in_order(tmp_path: Path) -> None:
    run = TracedRun(tmp_path / "run")
    run.message(3, due_ms=0, readers=(2, 5))
    run.message(7, due_ms=300, sender=5, readers=(1, 2))
    story = told(recorded(run), "ordering")
    assert [title for title in titles(story) if title.startswith("number")] == ["number 1", "number 2"]
    assert titles(story).count("shown") == 2
    assert {step.start for step in story.steps if step.title == "shown"} == {"device 2"}


def test_a_group_is_told_by_gateway(tmp_path: Path) -> None:
    run = TracedRun(tmp_path / "run")
    run.message(3, due_ms=0, readers=(2, 3, 4, 5, 7))
    story = told(recorded(run), "group")
    assert {"NOTIFY x 2", "NOTIFY x 3"} <= set(titles(story))
    assert dict(story.facts)["bytes of notifications"] == "80 for 5 members"


def test_what_is_kept_is_read_back(tmp_path: Path) -> None:
    run = TracedRun(tmp_path / "run")
    run.message(3, due_ms=0)
    msg = message_id(1, 3)
    for device, at_ms in ((1, 9000), (2, 9500)):
        run.event(Event.FINAL, at_ms, device=device, conv=9, msg=msg, seq=1, hash_=msg)
    story = told(recorded(run), "storage")
    assert titles(story)[-2:] == ["read back (first)", "read back (last)"]
    assert dict(story.facts)["copies read back of this message"] == "2, all alike"


def test_a_dead_gateway_and_its_devices(tmp_path: Path) -> None:
    run = TracedRun(tmp_path / "run")
    run.message(3, due_ms=0, readers=(2, 4))
    for device, away_ms, back_ms in ((2, 20_010, 20_400), (4, 20_020, 20_900)):
        run.event(Event.OFFLINE, away_ms, device=device, arg=0)
        run.stamp("gateway-2", Hop.OPENED, back_ms, device=device)
        run.event(Event.ONLINE, back_ms + 50, device=device)
    story = told(recorded(run, *FAULTS), "websocket")
    assert titles(story)[:2] == ["killed", "first notices"]
    assert story.steps[0].bad
    facts = dict(story.facts)
    assert facts["devices that lost their connection"] == "2"
    assert facts["the last one back and told what it missed after"] == "950.0 ms"
    assert facts["proof from outside"] == "pid of gateway-1 is gone"


def test_a_dead_chat_service_ends_no_connection(tmp_path: Path) -> None:
    run = TracedRun(tmp_path / "run")
    run.message(3, due_ms=19_000)
    run.message(7, due_ms=23_000)
    who = {"device": 1, "client_seq": 11}
    run.stamp("gateway-2", Hop.HANDED_ON, 20_500, **who)
    run.stamp("chat-2", Hop.TAKEN, 20_501, **who)
    story = told(recorded(run, *FAULTS), "servers")
    assert titles(story) == ["last before", "killed", "taken over", "healed", "taken again"]
    assert dict(story.facts)["connections that ended meanwhile"] == "0"


def test_numbers_go_on_after_a_dead_sequencer(tmp_path: Path) -> None:
    run = TracedRun(tmp_path / "run")
    run.message(3, due_ms=19_000)
    run.stamp("sequencer-2", Hop.APPLIED, 20_300, device=1, client_seq=7, conv=9, seq=2)
    story = told(recorded(run, *FAULTS), "replication")
    assert titles(story) == ["last before: 1", "killed", "understudy: 2", "healed"]
    assert story.facts[0][1] == "300.0 ms"


def test_a_push_and_a_catch_up(tmp_path: Path) -> None:
    run = TracedRun(tmp_path / "run")
    run.event(Event.OFFLINE, -100, device=2, arg=1)
    run.message(3, due_ms=0, receive=3000)
    run.event(Event.PUSH, 800, device=2, conv=9, seq=1)
    run.stamp("gateway-1", Hop.OPENED, 2900, device=2)
    run.event(Event.ONLINE, 3000, device=2)
    found = recorded(run)
    pushed = told(found, "push")
    assert [title for title in titles(pushed) if title in ("offline", "push", "online", "shown")] == [
        "offline", "push", "online", "shown",
    ]  # fmt: skip
    assert pushed.facts[0] == ("from the ACK to the push", "784.0 ms")
    caught = told(found, "catch_up")
    assert titles(caught)[0] == "offline"
    assert dict(caught.facts)["messages missed"] == "1 in 1 conversations"


def test_presence_is_told_to_those_who_look(tmp_path: Path) -> None:
    run = TracedRun(tmp_path / "run")
    for device in (1, 2):
        run.event(Event.DEVICE, -4000, device=device, msg=device)
        run.event(Event.MEMBER, -4000, conv=9, msg=device, arg=1)
        run.connect(device)
    run.event(Event.OFFLINE, 0, device=2)
    run.event(Event.PRESENCE, 3000, device=1, msg=2, arg=0)
    run.event(Event.ONLINE, 8000, device=2)
    run.event(Event.PRESENCE, 8100, device=1, msg=2, arg=1)
    story = told(recorded(run), "presence")
    assert titles(story) == ["leaves", "offline", "comes back", "online"]
    assert dict(story.facts)["told after"] == "3.00 s"
    assert story.steps[1].stop == "viewer 1"


def test_keys_are_taken_before_the_first_ciphertext(tmp_path: Path) -> None:
    run = TracedRun(tmp_path / "run")
    run.stamp("api-1", Hop.KEYS_PUBLISHED, -2000, device=2, seq=100)
    run.stamp("api-1", Hop.KEYS_TAKEN, -50, device=1, client_seq=2, seq=17)
    run.message(3, due_ms=0)
    story = told(recorded(run), "encryption")
    assert titles(story)[:3] == ["keys published", "keys taken", "SEND"]
    assert titles(story)[-1] == "shown"
    assert dict(story.facts)["one-time prekeys handed out twice"] == "0"


@pytest.mark.parametrize("topic", [topic for topic in TOPICS if topic not in ("message", "ordering")])
def test_what_a_run_does_not_have_is_said(tmp_path: Path, topic: str) -> None:
    run = TracedRun(tmp_path / "run")
    run.message(3, due_ms=0)
    with pytest.raises(NotThere, match=r"\w+ \w+"):
        TOPICS[topic](recorded(run))


def test_a_run_that_was_not_traced_says_so(tmp_path: Path) -> None:
    run = TracedRun(tmp_path / "run")
    run.message(3, due_ms=0)
    run._stamps.clear()
    with pytest.raises(NotThere, match="not traced"):
        TOPICS["message"](recorded(run))


def test_texts_of_a_run_are_escaped_and_the_page_is_offline(tmp_path: Path) -> None:
    run = TracedRun(tmp_path / "run")
    run.message(3, due_ms=0)
    found = recorded(run)
    story = TOPICS["message"](found)
    story.facts.append(("<b>", "</script>"))
    text = explain(tmp_path / "page.html", story, found.verdict).read_text(encoding="utf-8")
    assert "&lt;b&gt;" in text
    assert text.count("</script>") == 1
    assert "src=" not in text
    sheet = cheat_sheet(tmp_path / "sheet.html", found.verdict, [story], [("push", "no <pushes>")])
    assert "no &lt;pushes&gt;" in sheet.read_text(encoding="utf-8")


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH")
@pytest.mark.timeout(180)
def test_a_page_plays_to_its_end_and_can_be_scrubbed(tmp_path: Path) -> None:
    run = TracedRun(tmp_path / "run")
    run.message(3, due_ms=0)
    found = recorded(run)
    page = explain(tmp_path / "page.html", TOPICS["message"](found), found.verdict)
    (tmp_path / "browser").mkdir()
    with browser(tmp_path / "browser") as tab:
        tab.open(page.as_uri())
        assert tab.run("document.documentElement.dataset.state") == "paused"
        assert "Step 1 of 12" in tab.text()
        tab.run("document.getElementById('next').click()")
        assert "Step 2 of 12" in tab.text()
        tab.run("scrub.value = 750; scrub.dispatchEvent(new Event('input'))")
        assert "Step 8 of 12" in tab.text()
        assert tab.run("document.querySelectorAll('.step.done').length") == 7
        tab.run("speed.value = 4; speed.dispatchEvent(new Event('change'))")
        tab.press("play")
        tab.run("new Promise(done => { const look = () => document.documentElement.dataset.state === 'ended' ? "
                "done(1) : setTimeout(look, 50); look(); })")  # fmt: skip
        assert "Step 12 of 12" in tab.text()
        tab.press("again")
        assert tab.run("document.documentElement.dataset.state") == "playing"
        tab.press("pause")
        assert tab.errors == []
