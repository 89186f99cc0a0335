"""The layout is the architecture: this file holds the rules and reads every source file to enforce them.

A rule is an entry of RULES: where it holds, what it forbids there, why. Imports are read with `ast`; those inside
functions, under TYPE_CHECKING and through `importlib.import_module("literal")` count too. Nothing is executed. Each
rule carries a snippet that breaks it, and a test shows that the rule catches the snippet.
"""

import ast
import functools
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("sut", "load", "chaos", "dashboards")
MAX_LINES = 600
"""A source file is as long as its one idea, and no longer than this."""
MAX_FUNCTION_LINES = 70
MAX_ENTRIES = 13
"""Of a directory that a newcomer lists first: the top, and sut/, load/, chaos/."""

TOP_DIRECTORIES = {*PACKAGES, "tests", "locks", "docs", "findings"}
TOP_FILES = {"pyproject.toml", "Makefile", "README.md", "LICENSE", "compose.yaml"}
SUBPACKAGES = {
    "sut": {
        "protocol", "process", "gateway", "services", "standins", "ports", "adapters", "client", "crypto", "variants",
        "deploy",
    },
    "load": {"webui", "plan", "device", "drive", "history", "readback", "bench"},
    "chaos": {
        "cli",
        "run",
        "bench",
        "screen",
        "faults",
        "verdict",
        "experiments",
        "design",
        "modes",
        "targets",
        "toolkit",
    },
    "dashboards": {"report", "walkthrough", "grafana", "prometheus", "live"},
}  # fmt: skip
"""The parts that the design names. A new one is a change of the design: make it there first."""


@dataclass(frozen=True, kw_only=True)
class Import:
    """One imported name, dotted (`from a import b` is a.b), and whether it happens only when a function runs."""

    name: str
    line: int
    lazy: bool


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Modules under `inside` but not `outside` must not import what is under `forbidden` but not `allowed`."""

    why: str
    breaks: tuple[str, str]
    """A module and a source that the rule must catch there."""
    forbidden: tuple[str, ...]
    inside: tuple[str, ...] = PACKAGES
    outside: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()
    lazy_is_fine: bool = False


IO_MODULES = (
    "asyncio", "socket", "ssl", "select", "selectors", "socketserver", "http", "urllib", "subprocess", "threading",
    "multiprocessing", "concurrent", "time", "aiohttp", "websockets", "uvloop", "gevent", "redis", "sqlite3",
)  # fmt: skip

RULES = {
    "sut_knows_no_harness": Rule(
        why="the system under test does not know who breaks it",
        inside=("sut",), forbidden=("load", "chaos", "dashboards"),
        breaks=("sut.gateway.x", "import load.history.writer"),
    ),
    "load_knows_the_wire_only": Rule(
        why="the swarm knows the wire protocol and the encryption, as any client does, and nothing else of the system",
        inside=("load",), forbidden=("sut", "chaos", "dashboards"), allowed=("sut.protocol", "sut.crypto"),
        breaks=("load.drive.fleet", "from sut.ports import Route"),
    ),
    "chaos_reaches_through_deploy": Rule(
        why="chaos reaches the system through its deployment, Redis to look at it, and the names of the variants",
        inside=("chaos",), forbidden=("sut",), allowed=("sut.deploy", "sut.adapters", "sut.variants", "sut.client"),
        breaks=("chaos.faults.x", "from sut.services import partition_of"),
    ),
    "client_knows_no_service": Rule(
        why="a person's client knows the protocol and the encryption, nothing of the service's inside",
        inside=("sut.client",), forbidden=("sut",), allowed=("sut.client", "sut.protocol", "sut.crypto"),
        breaks=("sut.client.x", "from sut.deploy.topology import load"),
    ),
    "textual_in_the_tui_only": Rule(
        why="the screen is loaded by who wants one",
        forbidden=("textual",), outside=("sut.client.terminal.tui",), breaks=("sut.client.x", "import textual"),
    ),
    "adapters_know_the_port": Rule(
        why="an adapter to another chat system is written as anybody would write one, from the port alone",
        inside=("chaos.targets.systems",), forbidden=("sut", "load", "chaos", "dashboards"),
        allowed=("chaos.targets.target",), breaks=("chaos.targets.systems.x", "from sut.deploy.topology import load"),
    ),
    "report_is_late": Rule(
        why="the report is drawn at the end of a run: a broken page must not stop an experiment from starting",
        inside=("chaos",), forbidden=("dashboards",), lazy_is_fine=True,
        breaks=("chaos.run.runner", "from dashboards.report import render"),
    ),
    "verdict_is_pure": Rule(
        why="a verdict is history in, verdict out",
        inside=("chaos.verdict",), allowed=("chaos.verdict", "chaos.errors"),
        forbidden=("sut", "chaos", "dashboards", "asyncio", "socket", "subprocess", "threading", "psutil", "locust"),
        breaks=("chaos.verdict.x", "def check():\n    import socket"),
    ),
    "dashboards_run_nothing": Rule(
        why="dashboards show verdicts; they run nothing",
        inside=("dashboards",), forbidden=("sut", "load", "chaos"), allowed=("chaos.verdict", "sut.protocol.frames"),
        breaks=("dashboards.report.x", "import chaos.run.runner"),
    ),
    "protocol_is_sans_io": Rule(
        why="the protocol is sans-I/O: no event loop, no socket, no clock",
        inside=("sut.protocol",), forbidden=IO_MODULES, breaks=("sut.protocol.device.client", "import asyncio"),
    ),
    "crypto_loads_late": Rule(
        why="a process without encryption must not load its libraries: only the swarm's own modules for it may",
        inside=("load",), outside=("load.device.crypto", "load.drive.keys"),
        forbidden=("sut.crypto",), lazy_is_fine=True,
        breaks=("load.device.device", "from sut.crypto.account import Account"),
    ),
    "crypto_is_sans_io": Rule(
        why="encryption is sans-I/O: what comes and goes is bytes",
        inside=("sut.crypto",), forbidden=IO_MODULES, breaks=("sut.crypto.account", "import socket"),
    ),
    "crypto_stands_alone": Rule(
        why="clients share the encryption without the system",
        inside=("sut.crypto",), forbidden=("sut",), allowed=("sut.crypto",),
        breaks=("sut.crypto.x", "from sut.services.api import keys"),
    ),
    "protocol_stands_alone": Rule(
        why="clients share the protocol without the system",
        inside=("sut.protocol",), forbidden=("sut",), allowed=("sut.protocol",),
        breaks=("sut.protocol.x", "from ..ports import Route"),
    ),
    "gateway_knows_no_business": Rule(
        why="a gateway knows no business rule",
        inside=("sut.gateway",), forbidden=("sut.services",), breaks=("sut.gateway.x", "import sut.services.chat"),
    ),
    "backends_in_adapters": Rule(
        why="each backend stands behind a port",
        forbidden=("redis", "hiredis", "cassandra", "aiokafka"), outside=("sut.adapters",),
        breaks=("sut.services.x", "from redis.asyncio import Redis"),
    ),
    "toxiproxy_in_net": Rule(
        why="link faults have one home",
        forbidden=("toxiproxy",), outside=("sut.deploy.net",), breaks=("chaos.faults.x", "import toxiproxy"),
    ),
    "docker_in_one_place": Rule(
        why="containers have one home",
        forbidden=("docker",), outside=("sut.deploy.docker",), breaks=("sut.deploy.system", "import docker"),
    ),
    "locust_in_its_file": Rule(
        why="locust patches the whole process: only the Locust file, the base class of others and what they need may",
        forbidden=("locust",), outside=("load.locustfile", "load.user", "load.drive.conductor", "load.webui"),
        breaks=("load.drive.session", "from importlib import import_module\nimport_module('locust.env')"),
    ),
    "fleet_is_lean": Rule(
        why="a fleet process holds thousands of devices and none of Locust: only its host, in Locust's process, may",
        inside=("load.drive.lean", "load.device", "load.drive.part", "load.drive.line"),
        outside=("load.drive.lean.host",),
        forbidden=("gevent", "load.drive.session", "load.drive.fleet", "load.drive.swarm"),
        breaks=("load.drive.lean.crew", "from load.drive.session import Session"),
    ),
    "product_knows_no_sabotage": Rule(
        why="known-bad designs are handed in where processes are launched; what they replace does not know them",
        inside=("sut.gateway", "sut.services", "sut.process", "sut.adapters", "sut.ports", "sut.protocol"),
        forbidden=("sut.variants",), breaks=("sut.gateway.x", "from sut.variants import VARIANTS"),
    ),
}  # fmt: skip


def under(name: str, prefixes: tuple[str, ...]) -> bool:
    """Whether a dotted name is one of the prefixes or inside one."""
    return any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)


def module_of(path: Path) -> str:
    """The dotted module of a path relative to the root."""
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


@functools.cache
def imports(module: str, source: str, *, package: bool = False) -> tuple[Import, ...]:
    """Every import of a module's source; relative ones resolved. Each source is parsed once for all rules."""
    return tuple(_imports(module, ast.parse(source), package=package))


def _imports(module: str, tree: ast.Module, *, package: bool) -> Iterator[Import]:
    lazy = {
        id(inner)
        for outer in ast.walk(tree)
        if isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef)
        for inner in ast.walk(outer)
    }
    for node in ast.walk(tree):
        names: list[str] = []
        if not isinstance(node, ast.stmt | ast.expr):
            continue
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            # One dot is the module's own package: its parent, or itself when it is a package (then: drop none).
            parents = module.split(".")[: package - node.level or None] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            names = [f"{base}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Call) and node.args:
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            argument = node.args[0]
            if called in {"import_module", "__import__"} and isinstance(argument, ast.Constant):
                names = [str(argument.value)]
        for name in names:
            yield Import(name=name, line=node.lineno, lazy=id(node) in lazy)


def broken_by(rule: Rule, module: str, source: str, *, package: bool = False) -> list[str]:
    """One line for each import of the module that the rule forbids."""
    if not under(module, rule.inside) or under(module, rule.outside):
        return []
    return [
        f"{module}, line {found.line}: imports {found.name}"
        for found in imports(module, source, package=package)
        if under(found.name, rule.forbidden)
        and not under(found.name, rule.allowed)
        and not (rule.lazy_is_fine and found.lazy)
    ]


def project_files() -> list[Path]:
    """What belongs to the project, relative to the root: tracked, or new and not ignored."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, check=True, capture_output=True).stdout.decode().split("\0")
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout: which files belong to the project is not known", allow_module_level=True)
    return [Path(name) for name in sorted(listed) if name and (ROOT / name).is_file()]


FILES = project_files()
MODULES = [path for path in FILES if path.suffix == ".py" and path.parts[0] in PACKAGES]


@functools.cache
def text_of(path: Path) -> str:
    """A project file's text; undecodable bytes are replaced."""
    return (ROOT / path).read_text(encoding="utf-8", errors="replace")


def test_there_is_something_to_check() -> None:
    packages = {path.parts[0] for path in MODULES}
    assert packages == set(PACKAGES)
    assert len(MODULES) > 20


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_rule_holds(rule: Rule) -> None:
    found = [
        line
        for path in MODULES
        for line in broken_by(rule, module_of(path), text_of(path), package=path.name == "__init__.py")
    ]
    assert not found, f"{rule.why}:\n" + "\n".join(found)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_rule_catches_its_breach(rule: Rule) -> None:
    module, source = rule.breaks
    assert broken_by(rule, module, source)
    assert not broken_by(rule, module, '"""Nothing."""\nimport json\n')


@pytest.mark.parametrize(
    ("module", "source", "package", "expected"),
    [
        ("a.b.c", "import x.y, z", False, ["x.y", "z"]),
        ("a.b.c", "from x import y, z", False, ["x.y", "x.z"]),
        ("a.b.c", "from . import y", False, ["a.b.y"]),
        ("a.b.c", "from ..q import y", False, ["a.q.y"]),
        ("a.b", "from .c import y", True, ["a.b.c.y"]),
        ("a.b", "from ..c import y", True, ["a.c.y"]),
        ("a.b", "import importlib\nimportlib.import_module('x.y')", False, ["importlib", "x.y"]),
        ("a.b", "import typing\nif typing.TYPE_CHECKING:\n    import x", False, ["typing", "x"]),
        ("a.b", "text = 'import x'", False, []),
    ],
)  # fmt: skip
def test_imports_are_read(module: str, source: str, package: bool, expected: list[str]) -> None:
    assert [found.name for found in imports(module, source, package=package)] == expected


def test_an_import_in_a_function_is_lazy_and_one_beside_it_is_not() -> None:
    source = "import a\ndef f():\n    import b\nclass C:\n    import c\n    async def g(self):\n        import d\n"
    assert {found.name: found.lazy for found in imports("m", source)} == {"a": False, "b": True, "c": False, "d": True}


def test_allowances_are_no_wider_than_written() -> None:
    swarm, report = RULES["load_knows_the_wire_only"], RULES["report_is_late"]
    assert not broken_by(swarm, "load.drive.fleet", "from sut.protocol.device.client import Client")
    assert not broken_by(swarm, "load.drive.fleet", "from sut import protocol")
    assert broken_by(swarm, "load.drive.fleet", "from sut import ports")
    assert broken_by(swarm, "load.drive.fleet", "import sut.protocol_extras")
    assert not broken_by(report, "chaos.run.runner", "def end():\n    from dashboards.report import render")
    assert broken_by(report, "chaos.run.runner", "from dashboards.report import render")


def import_graph(sources: Mapping[str, str], packages: Set[str] = frozenset()) -> dict[str, set[str]]:
    """Module -> modules of the project that it imports, wherever in its source. `packages`: those that are packages."""
    graph: dict[str, set[str]] = defaultdict(set)
    for module, source in sources.items():
        for found in imports(module, source, package=module in packages):
            name = found.name
            while name and name not in sources:
                name = name.rpartition(".")[0]
            if name and name != module:
                graph[module].add(name)
    return graph


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """The groups of modules that import each other in a ring, by Tarjan's algorithm; each sorted."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(module: str) -> None:
        index[module] = low[module] = len(index)
        stack.append(module)
        for imported in graph.get(module, ()):
            if imported not in index:
                visit(imported)
                low[module] = min(low[module], low[imported])
            elif imported in stack:
                low[module] = min(low[module], index[imported])
        if low[module] == index[module]:
            place = stack.index(module)
            ring = stack[place:]
            del stack[place:]
            if len(ring) > 1:
                found.append(sorted(ring))

    for module in graph:
        if module not in index:
            visit(module)
    return found


def test_no_import_circle() -> None:
    sources = {module_of(path): text_of(path) for path in MODULES}
    packages = {module_of(path) for path in MODULES if path.name == "__init__.py"}
    assert not circles(import_graph(sources, packages))


@pytest.mark.parametrize(
    "planted",
    [
        {"a.x": "import a.y", "a.y": "import a.x"},
        {"a.x": "from a import y", "a.y": "def f():\n    from a.z import g", "a.z": "import a.x"},
        {"a": "from a.x import f", "a.x": "from a import g"},
    ],
)
def test_a_planted_circle_is_seen(planted: dict[str, str]) -> None:
    assert circles(import_graph(planted)) == [sorted(planted)]
    assert not circles(import_graph(planted | {min(planted): "import json"}))


def test_a_newcomer_sees_few_entries() -> None:
    for place in (Path(), *map(Path, ("sut", "load", "chaos"))):
        inside = [path.relative_to(place).parts[0] for path in FILES if path.is_relative_to(place)]
        entries = {name for name in inside if not name.startswith(".")}
        assert len(entries) <= MAX_ENTRIES, f"{place}: {sorted(entries)}"


def test_each_package_opens_with_a_paragraph() -> None:
    silent = [str(path) for path in MODULES if path.name == "__init__.py" and not text_of(path).strip()]
    assert not silent, f"an __init__.py that does not say what lives there: {silent}"


def long_functions(source: str) -> list[str]:
    """Functions of more lines than a person keeps in mind."""
    return [
        f"{node.name}, line {node.lineno}: {node.end_lineno - node.lineno + 1} lines"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno >= MAX_FUNCTION_LINES
    ]


def test_no_function_is_too_long() -> None:
    found = {str(path): long for path in MODULES if (long := long_functions(text_of(path)))}
    assert not found
    assert long_functions("def f():\n" + "    x = 1\n" * MAX_FUNCTION_LINES)
    assert not long_functions("def f():\n" + "    x = 1\n" * (MAX_FUNCTION_LINES - 1))


def layout_errors(files: list[Path]) -> list[str]:
    """What the top level and the packages' first level have that the design does not, or lack that it has."""
    directories = {path.parts[0] for path in files if len(path.parts) > 1 and not path.parts[0].startswith(".")}
    top_files = {path.name for path in files if len(path.parts) == 1 and not path.name.startswith(".")}
    errors = [f"not in the design: {name}/" for name in sorted(directories - TOP_DIRECTORIES)]
    errors += [f"not in the design: {name}" for name in sorted(top_files - TOP_FILES)]
    errors += [f"missing: {name}/" for name in sorted(TOP_DIRECTORIES - directories)]
    errors += [f"missing: {name}" for name in sorted(TOP_FILES - top_files)]
    for package, parts in SUBPACKAGES.items():
        there = {path.parts[1] for path in files if len(path.parts) > 2 and path.parts[0] == package}
        errors += [f"not in the design: {package}/{name}/" for name in sorted(there - parts)]
    return errors


def test_layout_is_the_designs() -> None:
    assert not layout_errors(FILES)


def test_layout_check_sees_what_is_wrong() -> None:
    errors = layout_errors([Path("scratch/a.py"), Path("notes.txt"), Path("sut/helpers/x.py"), Path(".ci/run")])
    assert {"not in the design: scratch/", "not in the design: notes.txt", "not in the design: sut/helpers/"} <= set(
        errors
    )
    assert {"missing: chaos/", "missing: LICENSE"} <= set(errors)
    assert not any(".ci" in error for error in errors)


def stdlib_names(files: list[Path]) -> list[str]:
    """Modules of load/ that would shadow the standard library: locust puts its file's directory first on sys.path."""
    names = [(path, path.stem) for path in files if path.parts[0] == "load" and path.suffix == ".py"]
    names += [(path, part) for path in files if path.parts[0] == "load" for part in path.parts[1:-1]]
    return [str(path) for path, name in names if name in sys.stdlib_module_names]


def test_no_module_of_load_is_named_like_the_standard_library() -> None:
    assert not stdlib_names(MODULES)
    assert stdlib_names([Path("load/queue.py"), Path("load/http/pages.py"), Path("load/fleet.py")]) == [
        "load/queue.py",
        "load/http/pages.py",
    ]


SOURCE_SUFFIXES = {".py", ".js", ".css", ".j2", ".lua", ".sql", ".sh"}


def too_long(text: str) -> bool:
    """Whether a source file is more than a person reads in one sitting."""
    return len(text.splitlines()) > MAX_LINES


def test_no_source_file_is_too_long() -> None:
    long = [str(path) for path in FILES if path.suffix in SOURCE_SUFFIXES and too_long(text_of(path))]
    assert not long, f"over {MAX_LINES} lines: {long}"
    assert too_long("x\n" * (MAX_LINES + 1))
    assert not too_long("x\n" * MAX_LINES)


def opens_without_words(source: str) -> bool:
    """Whether a module says nothing of itself. An empty file (a bare package) has nothing to say."""
    tree = ast.parse(source)
    return bool(tree.body) and not (ast.get_docstring(tree) or "").strip()


def test_each_module_opens_with_a_docstring() -> None:
    sources = [path for path in FILES if path.suffix == ".py"]
    silent = [str(path) for path in sources if opens_without_words(text_of(path))]
    assert not silent, f"no docstring: {silent}"
    assert opens_without_words("import json\n")
    assert not opens_without_words("")


# Spelt in parts, so that this file does not hold what it forbids.
REGISTRY_HOSTS = tuple(
    ".".join(parts)
    for parts in (
        ("pypi", "org"), ("pythonhosted", "org"), ("crates", "io"), ("proxy", "golang", "org"), ("npmjs", "org"),
        ("maven", "org"), ("maven", "apache", "org", "maven2"), ("deb", "debian", "org"), ("docker", "io"),
    )
)  # fmt: skip
MACHINE_PATHS = re.compile(r"(?<![\w.\-/}])/(?:work|root|tmp/gobin|home/\w+)(?=[/\s\"'`),;:]|$)", re.MULTILINE)


def ties_to_a_machine(text: str) -> list[str]:
    """Names of package registries and absolute paths of somebody's machine in a text."""
    return [host for host in REGISTRY_HOSTS if host in text] + MACHINE_PATHS.findall(text)


def test_no_file_names_a_registry_or_a_path_of_one_machine() -> None:
    found = {str(path): ties for path in FILES if (ties := ties_to_a_machine(text_of(path)))}
    assert not found


@pytest.mark.parametrize(
    "text",
    [
        "index-url = https://" + "pypi" + ".org/simple",
        "server = '/" + "tmp/gobin/server'",
        "cd /" + "work/main",
        'open("/' + 'home/ann/x")',
    ],
)
def test_ties_to_a_machine_are_seen(text: str) -> None:
    assert ties_to_a_machine(text)


@pytest.mark.parametrize(
    "text", ["https://example.net/work", "./work/x", "/v1/ws", "RUN_DIR/root", "PATH, else a wheel"]
)
def test_plain_text_ties_to_nothing(text: str) -> None:
    assert not ties_to_a_machine(text)
