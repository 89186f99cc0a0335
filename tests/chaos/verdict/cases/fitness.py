"""Runs that were not as planned, or on a machine that was not fit for them: what is late proves nothing there."""

from tests.chaos.verdict.book import Book
from tests.chaos.verdict.cases.content import causal__the_answer_before_the_question
from tests.chaos.verdict.cases.registry import bad, good, unknown

UNTIL = 40
FULL = {"own_s": 0.9, "others_s": 1.0}


def measured(
    book: Book,
    *,
    stalls: dict[int, list[float]] | None = None,
    busy: dict[str, float] | None = None,
    full: tuple[int, ...] = (),
    unsent: int = 0,
) -> Book:
    """What a run tells of the machine: `stalls` of the swarm by second, `busy` in all of them, FULL in `full`."""
    for second in range(2, UNTIL):
        book.add("machine", second + 0.5, process="runner", span_s=1, stalls_s=[])
        told = {"own_s": 0.6, "others_s": 0.1, "steal_s": 0, **(busy or {}), **(FULL if second in full else {})}
        book.add("machine", second + 0.6, process="runner", span_s=1, cores=2, **told)
        book.add("machine", second + 0.7, process="swarm-7", span_s=1, stalls_s=(stalls or {}).get(second, []))
    book.add("sends", UNTIL, process="swarm-7", planned=60, unsent=unsent)
    return book


def run(*, lag: float = 0.05, struck: float = 10, to: tuple[str, ...] | None = None) -> Book:
    """One of our runs with a fault; of the messages after it `lag` and `to` tell when and where they are shown."""
    book = Book()
    book.own(until=UNTIL, min_acked=4, min_deliveries=8)
    book.add("plan", 0, fault="f1", name="crash", target="gateway-1", at_s=9, for_s=2)
    book.fault(struck, struck + 2, fault="f1")
    for second in range(2, UNTIL):
        late = second > 20
        book.say(second, "ann", f"m{second}", lag=lag if late else 0.05, to=to if late and to is not None else None)
    return book


def slow_in(seconds: range) -> Book:
    """One of our runs; what is said in these seconds takes 0.3 s."""
    book = Book()
    book.own(until=UNTIL, min_acked=4, min_deliveries=8)
    for second in range(2, UNTIL):
        book.say(second, "ann", f"m{second}", lag=0.3 if second in seconds else 0.05)
    return book


@good
def on_a_fit_machine() -> Book:
    return measured(run(), stalls={5: [0.03, 0.04]}, busy={"own_s": 1.9, "others_s": 0.05}).read_back(81)


@good
def busy_with_others_while_there_was_room() -> Book:
    return measured(run(), busy={"own_s": 0.6, "others_s": 0.9}).read_back(81)


@good
def late_only_while_a_fault_was_on() -> Book:
    return measured(run(), stalls={10: [0.9], 11: [0.9]}).read_back(81)


@bad()
def latency__slow_on_a_fit_machine() -> Book:
    return measured(run(lag=0.3)).read_back(81)


@unknown("latency")
def latency__slow_only_as_others_filled_the_cores() -> Book:
    return measured(slow_in(range(25, 28)), full=(25, 26, 27)).read_back(81)


@bad()
def latency__slow_at_another_time_than_others_filled_the_cores() -> Book:
    return measured(slow_in(range(25, 28)), full=(5, 6, 35)).read_back(81)


@bad()
def latency__slow_as_others_filled_the_cores_and_after_that() -> Book:
    return measured(slow_in(range(25, 36)), full=(25, 26, 27)).read_back(81)


@unknown("latency")
def machine__the_generator_was_late() -> Book:
    return measured(run(lag=0.3), stalls={25: [0.3], 26: [0.3, 0.1]}).read_back(81)


@unknown("latency")
def machine__others_took_the_cores() -> Book:
    return measured(run(lag=0.3), busy=FULL).read_back(81)


@unknown()
def machine__its_host_took_the_cores() -> Book:
    return measured(run(), busy={"own_s": 1.2, "steal_s": 0.7}).read_back(81)


@unknown()
def machine__the_runner_stood_still_and_a_fault_struck_late() -> Book:
    book = measured(run(struck=26))
    book.add("machine", 26, process="runner", span_s=17, stalls_s=[16.0])
    return book.read_back(81)


@unknown()
def machine__sends_that_were_never_made() -> Book:
    return measured(run(), unsent=9).read_back(81)


@bad(doubt=("machine",))
def latency__slow_and_its_senders_held_back_on_a_fit_machine() -> Book:
    return measured(run(lag=0.3), unsent=9).read_back(81)


@unknown("latency")
def machine__others_took_the_cores_and_senders_were_held_back() -> Book:
    return measured(run(lag=0.3), busy=FULL, unsent=9).read_back(81)


@unknown()
def machine__nothing_was_measured() -> Book:
    book = run()
    for line in book.lines:
        if line["e"] == "meta":
            line["manifest"] = True
    return book.read_back(81)


@unknown("liveness", "latency")
def machine__busy_and_all_is_late_by_half_a_minute() -> Book:
    return measured(run(lag=30), busy=FULL).read_back(81)


@bad(doubt=("machine",))
def liveness__never_shown_on_a_busy_machine() -> Book:
    return measured(run(to=("bob",)), busy=FULL).read_back(81)


def slow(*, until: float, lag: float = 30, away: bool = False) -> Book:
    """Bob sees what is said after second 20 half a minute later, and cid never does. Nothing is said after `until`.

    `away`: cid has left in second 19, and gets one push after that.
    """
    book = Book()
    if away:
        book.add("offline", 19, device="cid-1")
        book.add("push", 19.5, device="cid-1", conv="room", seq=38)
    book.own(until=UNTIL, min_acked=4, min_deliveries=8, liveness_s=20)
    for number in range(40, round(4 * until)):
        stuck = number > 80
        book.say(number / 4, "ann", f"m{number}", lag=lag if stuck else 0.05, to=("bob",) if stuck else None)
    return measured(book, busy=FULL).read_back(81)


@unknown("liveness", "latency", "push")
def machine__busy_and_slow_and_a_push_never_came() -> Book:
    return slow(until=UNTIL, lag=38, away=True)


@bad(doubt=("liveness", "latency", "machine"))
def push__never_came_on_a_busy_machine_though_there_was_time() -> Book:
    return slow(until=UNTIL, lag=25, away=True)


def pushed(*, at: float, lag: float = 3) -> Book:
    """Bob, who is online, gets a push for what is said in second 25. All is shown after the lag in s."""
    book = measured(run(lag=lag), busy=FULL)
    book.add("push", at, device="bob-1", conv="room", seq=24)
    return book.read_back(81)


@unknown("push", "latency")
def machine__busy_and_a_push_overtakes_its_message() -> Book:
    return pushed(at=25.5)


@unknown("push", "latency")
def machine__busy_and_a_push_overtakes_the_word_of_its_message() -> Book:
    return pushed(at=28.5)


@bad(doubt=("machine",))
def push__at_once_of_what_was_there_on_a_busy_machine() -> Book:
    return pushed(at=25.5, lag=0.05)


def forgotten(*, back: int) -> Book:
    """Cid leaves in second 20, gets a push of what is said in second 21 and no other, and shows all when it is back."""
    book = measured(run(to=("bob",)), busy=FULL)
    book.add("offline", 20.5, device="cid-1")
    book.add("push", 21.5, device="cid-1", conv="room", seq=20)
    book.add("online", back - 0.5, device="cid-1")
    for second in range(21, UNTIL):
        book.copy("show", max(second, back) + 0.1, "cid", f"m{second}", second - 1)
    return book.read_back(81)


@unknown("push")
def machine__busy_and_no_push_in_ten_seconds() -> Book:
    return forgotten(back=32)


@bad(doubt=("machine",))
def push__none_for_long_on_a_busy_machine() -> Book:
    return forgotten(back=38)


def pushed_after_leaving(*, left: float) -> Book:
    """Bob shows the last message at 39.05 and leaves; a push of it comes at 45."""
    book = measured(run(), busy=FULL)
    book.add("offline", left, device="bob-1")
    book.add("push", 45, device="bob-1", conv="room", seq=38)
    return book.read_back(81)


@unknown("push")
def machine__busy_and_a_push_of_what_was_shown_just_before_leaving() -> Book:
    return pushed_after_leaving(left=40.5)


@bad(doubt=("machine",))
def push__of_what_was_shown_long_before_leaving_on_a_busy_machine() -> Book:
    return pushed_after_leaving(left=43)


@unknown("liveness", "latency")
def machine__busy_and_slow_until_the_end() -> Book:
    return slow(until=UNTIL)


@bad(doubt=("latency", "machine"))
def liveness__never_shown_on_a_busy_machine_though_there_was_time() -> Book:
    return slow(until=24)


@bad("gaps_forks", "session", doubt=("machine",))
def acked_lost__on_a_busy_machine() -> Book:
    return measured(run(), busy=FULL).read_back(81, lacking={"cid": ("m30",)})


def own_causal(*, waited: bool, busy: dict[str, float] | None, marked: bool | str = False) -> Book:
    """The answer is shown before the question; `waited`: after the device held it for 15 s. `marked`: `incomplete`."""
    book = causal__the_answer_before_the_question()
    book.own(until=UNTIL, min_acked=4, min_deliveries=8)
    for line in book.lines:
        if waited and line.get("msg") == "answer" and line["e"] == "show" and line["device"] == "cid-1":
            line["t"] = int(str(line["t"])) + 15_000_000_000
        if marked and line.get("msg") == "answer" and line["e"] == "show" and line["device"] == "cid-1":
            line["incomplete"] = marked
        if waited and line.get("msg") == "question" and line["e"] == "show" and line["device"] == "cid-1":
            line["t"] = int(str(line["t"])) + 16_000_000_000
    return measured(book, busy=busy)


@unknown("causal")
def machine__a_device_waited_in_vain_for_the_cause() -> Book:
    return own_causal(waited=True, busy=FULL)


@bad()
def causal__waited_in_vain_on_a_fit_machine() -> Book:
    return own_causal(waited=True, busy=None)


@good
def waited_in_vain_for_the_cause_and_said_so() -> Book:
    return own_causal(waited=True, marked=True, busy=None)


@good
def before_its_cause_as_a_line_that_cannot_be_read_yet() -> Book:
    return own_causal(waited=False, marked="sealed", busy=None)


@bad()
def causal__marked_without_a_wait() -> Book:
    return own_causal(waited=False, marked=True, busy=None)


@bad(doubt=("machine",))
def causal__did_not_wait_on_a_busy_machine() -> Book:
    return own_causal(waited=False, busy=FULL)


@unknown()
def vacuity__the_fault_could_not_be_armed() -> Book:
    book = measured(run())
    for line in book.lines:
        if line["e"] == "fault" and line["phase"] == "inject":
            line |= {"phase": "skip", "ok": False, "evidence": "gateway-1 is not healthy"}
    book.lines = [line for line in book.lines if line.get("phase") != "heal"]
    return book.read_back(81)
