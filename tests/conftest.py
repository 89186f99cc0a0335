"""What holds for the whole test session: a plain list of what was skipped, and no process left behind.

Tests start whole systems of real processes. Each of those carries PETREL_RUN_ID in its environment; this session adds
a tag of its own, which every child inherits, so that the check at the end sees the processes of this session and not
those of another one on the same machine.
"""

import asyncio
import inspect
import os
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Generator, Iterator

import psutil
import pytest
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from tests.kit import pace, shared

TAG = "PETREL_TEST_SESSION"
OFF = {
    "cluster": ("PETREL_TEST_CLUSTER", "minutes on Kafka and Cassandra: `make test-cluster` runs these"),
    "long": ("PETREL_TEST_LONG", "a whole run or a search that takes a minute: `make test-long` runs these"),
    "rare": ("PETREL_TEST_RARE", "some minutes of its own: `make test-rare` runs these"),
    "defects": ("PETREL_TEST_DEFECTS", "two whole runs of each found defect: `make test-defects` runs these"),
}
"""Markers whose tests run only where this variable is 1."""
SHARE_SERVERS = {
    "clusters": tuple(
        f"tests/sut/adapters/{name}"
        for name in (
            "cassandra/test_behind", "cassandra/test_made_before", "cassandra/test_nodes", "kafka/test_faults",
            "kafka/test_log", "test_devices_contract", "test_keys_contract", "test_log_contract",
            "test_retention_contract", "test_store_contract",
        )
    ),
    "client": ("tests/sut/client/",),
    "security": ("tests/security/",),
    "up": ("tests/system/test_desk", "tests/system/test_inject", "tests/system/test_observe."),
    "talking": ("tests/system/test_groups_system", "tests/system/test_whole_system"),
    "silent": ("tests/system/test_added_", "tests/system/test_half_open", "tests/system/test_takeover"),
}  # fmt: skip
"""The begins of the paths of tests whose servers start once for all of them."""
LONGEST = (
    "clusters", "tests/chaos/run/test_engine.py", "client", "tests/load/test_user.py", "tests/load/test_byhand.py",
    "tests/system/test_run.py", "tests/load/test_locustfile.py", "tests/chaos/targets/test_another.py",
    "tests/load/test_pages.py", "up", "tests/sut/adapters/redis/test_failover.py", "silent", "security",
    "tests/sut/services/test_worker.py", "tests/sut/gateway/test_silence.py", "tests/chaos/cli/test_ends.py",
    "tests/sut/services/push/test_providers.py", "tests/chaos/verdict/test_cases.py",
    "tests/load/drive/test_session.py", "tests/sut/services/push/test_sender.py",
    "tests/sut/services/push/test_decider.py", "tests/test_session.py", "tests/load/drive/lean/test_crew.py",
    "tests/chaos/run/test_swarm.py", "tests/chaos/verdict/bulk/test_condensed.py", "tests/system/test_own_user.py",
    "tests/sut/gateway/test_presence.py", "tests/chaos/verdict/test_world.py", "tests/sut/deploy/test_guarded_redis.py",
    "tests/sut/deploy/test_links.py", "tests/sut/deploy/test_supervisor.py", "tests/sut/deploy/test_redis.py",
    "talking", "tests/sut/process/test_peer.py", "tests/sut/deploy/test_start.py",
)  # fmt: skip
"""The scopes that take more than ten seconds, by their time."""
GRACE_S = 5.0
"""How long a process that was told to stop may take after the last test."""


with pytest.MonkeyPatch.context() as _patch:  # with -n there are more test processes than cores
    _patch.setenv("POLARS_MAX_THREADS", "1")
    import polars  # noqa: F401 (reads it; the processes that tests start decide for themselves)

settings.register_profile("patient", deadline=None)  # on a busy machine any example may take long once
settings.load_profile("patient")


def leftovers(tag: str) -> list[psutil.Process]:
    """Live processes of a run that a session with this tag started, this process itself excepted."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            environment = process.environ()
        except psutil.Error:  # gone meanwhile, or another user's
            continue
        if environment.get(TAG) == tag and "PETREL_RUN_ID" in environment:
            found.append(process)
    return found


def end(processes: list[psutil.Process]) -> list[str]:
    """Kill what was left and say what it was, one line each."""
    lines = []
    for process in processes:
        try:
            lines.append(f"pid {process.pid}, run {process.environ()['PETREL_RUN_ID']}: {' '.join(process.cmdline())}")
            process.kill()
        except psutil.NoSuchProcess:
            continue
    return lines


@pytest.fixture(scope="session", autouse=True)
def session_tag() -> Iterator[str]:
    """Tag every child of this session; when the last test is done, fail if one that belongs to a run is still there."""
    tag = os.environ[TAG] = uuid.uuid4().hex
    yield tag
    deadline = time.monotonic() + pace.scaled(GRACE_S)
    while (left := leftovers(tag)) and time.monotonic() < deadline:
        time.sleep(0.1)
    lines = end(left)
    assert not lines, "the tests left processes of a run behind (killed now):\n" + "\n".join(lines)


def pytest_configure(config: pytest.Config) -> None:
    """Measure the machine before any worker starts. Leave skips out of pytest's summary: they get a block below."""
    pace.measured()
    config.option.reportchars = config.option.reportchars.replace("a", "fExXw").replace("s", "")


class ByServers(LoadScopeScheduling):
    """With `-n`: a scope goes to one process whole, in the order of collection."""

    def _split_scope(self, nodeid: str) -> str:
        return scope(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """The one above, whatever --dist says."""
    config.option.loadscopereorder = False
    return ByServers(config, log)


def scope(nodeid: str) -> str:
    """What of the tests goes to one process whole: a file, or all that use the same servers."""
    path = nodeid.partition("::")[0]
    return next((name for name, begins in SHARE_SERVERS.items() if path.startswith(begins)), path)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """`make test` is to take eight minutes; what takes more has commands of its own.

    With `-n` the scopes that take long come first, then those that start whole systems, then those with many tests:
    what is long and comes last would leave all processes but one without work.
    """
    for marker, (switch, reason) in OFF.items():
        if os.environ.get(switch) != "1":
            for item in items:
                if item.get_closest_marker(marker) is not None:
                    item.add_marker(pytest.mark.skip(reason=reason))
    sizes = Counter(scope(item.nodeid) for item in items)
    slow = {scope(item.nodeid) for item in items if item.get_closest_marker("slow") and not skipped(item)}
    first = {name: place for place, name in enumerate(LONGEST)}
    by_time = sorted(sizes, key=lambda name: (first.get(name, len(first)), name not in slow, -sizes[name]))
    order = {name: rank for rank, name in enumerate(by_time)}
    items.sort(key=lambda item: order[scope(item.nodeid)])


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """With the last test of a scope its servers end. After the last of all, fixtures end them before `session_tag`."""
    if nextitem is not None and scope(item.nodeid) != scope(nextitem.nodeid):
        shared.end()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a coroutine test in a loop of its own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Scale the limit of pytest-timeout, the test's own or that of pyproject.toml, by the pace at its start."""
    own = item.get_closest_marker("timeout")
    limit_s = float(own.args[0] if own is not None else item.config.getini("timeout") or 0)
    if limit_s:
        item.add_marker(pytest.mark.timeout(pace.scaled(limit_s)), append=False)
    return (yield)


def skipped(item: pytest.Item) -> bool:
    """True for a test that its own marker skips, whatever the machine."""
    return item.get_closest_marker("skip") is not None


def skip_reasons(reports: list[pytest.TestReport | pytest.CollectReport]) -> dict[str, list[str]]:
    """The tests that were skipped, by the reason given."""
    reasons: dict[str, list[str]] = defaultdict(list)
    for report in reports:
        detail = report.longrepr
        text = detail[2] if isinstance(detail, tuple) else str(detail)
        reasons[text.removeprefix("Skipped: ")].append(report.nodeid)
    return reasons


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Two blocks at the end: the machine's pace; and each reason to skip once, with the tests that it kept back."""
    terminalreporter.section("pace of this machine")
    terminalreporter.write_line(f"measured {pace.measured():.1f}, now {pace.factor():.1f}: deadlines are times that")
    terminalreporter.section("skipped, and why")
    reasons = skip_reasons(terminalreporter.stats.get("skipped", []))
    if not reasons:
        terminalreporter.write_line("nothing was skipped")
    for reason, tests in sorted(reasons.items(), key=lambda item: (-len(item[1]), item[0])):
        terminalreporter.write_line(f"{len(tests)} skipped: {reason}")
        for test in tests:
            terminalreporter.write_line(f"    {test}")
