"""Writes the generated parts of README.md and of the pages in docs/, the schema of a history, and Grafana's JSON.

Run `python docs/generate.py` from the top of the repository, or `make docs`. A generated part stands between
`<!-- generated: NAME -->` and `<!-- end of NAME -->`. Everything else in a page is written by hand. `python
docs/generate.py --check` writes nothing and ends with 1 if a file is not current.
"""

from __future__ import annotations

import ast
import importlib.metadata
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import msgspec

ROOT: Final = Path(__file__).resolve().parent.parent
DOCS: Final = ROOT / "docs"
PART: Final = re.compile(r"(<!-- generated: (?P<name>[a-z-]+) -->\n).*?(<!-- end of (?P=name) -->)", re.DOTALL)

LOCKS: Final = (ROOT / "locks/requirements.txt",)
LOCKED: Final = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", re.MULTILINE)
ELSEWHERE: Final = {"colorama": "BSD-3-Clause", "pywin32": "PSF-2.0"}
"""Locked packages that are not installed on every machine, with the licence that their metadata states."""
SPELLINGS: Final = {
    "3-clause bsd license": "BSD-3-Clause",
    "apache 2": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "bsd license": "BSD-3-Clause",
    "mit license": "MIT",
    "the mit license (mit)": "MIT",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "python software foundation license": "PSF-2.0",
}
"""SPDX names of the free texts that older packages have in their metadata."""
PERMISSIVE: Final = {
    "0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "MIT", "MIT-0", "PSF-2.0", "ZPL-2.1", "Zlib",
}  # fmt: skip
BY_FILE: Final = {"bidict", "certifi", "hypothesis", "pathspec"}
"""Packages under MPL-2.0, which asks for the source of changed files of the package itself and nothing else."""


MAX_TOLD: Final = 10**15
"""A larger maximum is that of the format, and no range that a person needs."""


def docstrings(cls: type) -> dict[str, str]:
    """The string under each annotated attribute of a class and of its bases, on one line each."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        try:
            body = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0]
        except (OSError, TypeError):
            continue
        assert isinstance(body, ast.ClassDef)
        for node, following in zip(body.body, body.body[1:], strict=False):
            match node, following:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                    found[name] = " ".join(text.split())
    return found


def kind_of(wanted: Any) -> str:
    """What a value of a msgspec type is, in words: its type, and its range where it has one."""
    match wanted:
        case msgspec.inspect.IntType() | msgspec.inspect.FloatType():
            return ("whole number" if isinstance(wanted, msgspec.inspect.IntType) else "number") + range_of(wanted)
        case msgspec.inspect.BoolType():
            return "true or false"
        case msgspec.inspect.StrType():
            return f"text, `{wanted.pattern}`" if wanted.pattern else "text"
        case msgspec.inspect.StructType():
            return f"see [{wanted.cls.__name__}](#{wanted.cls.__name__.lower()})"
        case msgspec.inspect.TupleType():
            return "[" + ", ".join(kind_of(item) for item in wanted.item_types) + "]"
        case msgspec.inspect.VarTupleType() | msgspec.inspect.ListType():
            return f"list of: {kind_of(wanted.item_type)}"
        case msgspec.inspect.DictType():
            return f"map from {kind_of(wanted.key_type)} to: {kind_of(wanted.value_type)}"
        case msgspec.inspect.UnionType():
            return " or ".join(kind_of(one) for one in wanted.types if not isinstance(one, msgspec.inspect.NoneType))
        case msgspec.inspect.LiteralType():
            return "one of " + ", ".join(f"`{value}`" for value in wanted.values)
        case msgspec.inspect.NoneType():
            return "null"
        case msgspec.inspect.Metadata():
            return kind_of(wanted.type)
    return type(wanted).__name__.removesuffix("Type").lower()


def range_of(number: Any) -> str:
    """The range of a number type: ", 0 to 1" or ", above 0, at most 9", empty where there is none."""
    if number.le is not None and number.le > MAX_TOLD:
        return ""
    low = f"{number.ge:,.12g}" if number.ge is not None else f"above {number.gt:,.12g}" if number.gt is not None else ""
    high = (
        f"{number.le:,.12g}" if number.le is not None else f"below {number.lt:,.12g}" if number.lt is not None else ""
    )
    return f", {low or 'any'} to {high}" if high else f", from {low}" if low else ""


def default_of(field: Any) -> str:
    """The default of a field as YAML would write it; empty for an empty collection or a record of defaults."""
    if field.required:
        return "required"
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    if isinstance(value, int | float):
        return f"{value:g}"
    return f"`{value}`" if isinstance(value, str) and value else ""


def structs_in(wanted: Any) -> list[type]:
    """The record types that a type mentions, itself included, each once, in the order met."""
    found: list[type] = []

    def look(node: Any) -> None:
        if isinstance(node, msgspec.inspect.StructType):
            if node.cls not in found:
                found.append(node.cls)
                for field in node.fields:
                    look(field.type)
            return
        for attribute in ("item_type", "key_type", "value_type"):
            if (inner := getattr(node, attribute, None)) is not None:
                look(inner)
        for attribute in ("item_types", "types"):
            for inner in getattr(node, attribute, ()):
                look(inner)

    look(wanted)
    return found


def knobs() -> str:
    """A table of the fields of an experiment, and one for each record in it."""
    from chaos.run.experiment import Experiment

    return fields_of(Experiment)


def fields_of(top: type) -> str:
    """A table of the fields of a record, and one for each record in it."""
    parts = []
    for struct in structs_in(msgspec.inspect.type_info(top)):
        info = msgspec.inspect.type_info(struct)
        assert isinstance(info, msgspec.inspect.StructType)
        texts = docstrings(struct)
        rows = [
            f"| `{field.encode_name}` | {kind_of(field.type)} | {default_of(field)} | {texts.get(field.name, '')} |"
            for field in info.fields
            if field.required or not (field.default is field.default_factory is msgspec.NODEFAULT)
        ]
        if not rows:
            continue  # what a profile has instead: each of its fields is one of the experiment's
        parts.append(
            "\n".join(
                [f"### {struct.__name__}", "", "| field | value | default | meaning |", "|---|---|---|---|", *rows]
            )
        )
    return "\n\n".join(parts) + "\n"


def events() -> str:
    """A table of the events of a history that are judged, in the order of their numbers."""
    from load.history.events import Event

    rows = [f"| `{event.label}` | {fields_in(event.fields)} | {event.meaning} |" for event in Event]
    return "\n".join(["| event | fields beside `e` and `t` | meaning |", "|---|---|---|", *rows]) + "\n"


def fields_in(fields: Iterable[Any]) -> str:
    """The fields of an event, each with the words that it may be; those that a line may lack come last."""
    told: dict[bool, list[str]] = {False: [], True: []}
    for field in fields:
        words = [f"`{word}`" for word in field.words[:2] if isinstance(word, str)]
        told[field.default is not msgspec.NODEFAULT].append(
            f"`{field.name}`" + (f" ({' or '.join(words)})" if words else "")
        )
    return ", ".join(told[False]) + ("; optional: " + ", ".join(told[True]) if told[True] else "")


def meta() -> str:
    """Tables of the fields of a meta line and of its bounds."""
    from load.history.control import Meta

    return fields_of(Meta)


def shipped() -> str:
    """A table of the experiments that ship."""
    from chaos.run import experiment

    rows = [f"| `{name}` | {experiment.load(name).summary} |" for name in experiment.names()]
    return "\n".join(["| name | what it does |", "|---|---|", *rows]) + "\n"


def faults() -> str:
    """A table of all faults, in the order of `petrel faults`."""
    from chaos.faults import FAULTS

    rows = [f"| `{name}` | {first_sentence(fault)} |" for name, fault in FAULTS.items()]
    return "\n".join(["| fault | what breaks |", "|---|---|", *rows]) + "\n"


def first_sentence(fault: type) -> str:
    """What a fault breaks: the first sentence of the docstring that says how it is proven, its own or its module's."""
    own, module = inspect.getdoc(fault) or "", inspect.getdoc(inspect.getmodule(fault)) or ""
    text = module if "Proven:" not in own and "Proven:" in module else own
    return re.split(r"(?<=\.)\s", " ".join(text.split()), maxsplit=1)[0]


def variants() -> str:
    """A table of the known-bad variants."""
    from sut.variants import VARIANTS

    rows = []
    for variant in VARIANTS.values():
        caught = ", ".join(f"`{check}`" for check in variant.caught_by) or f"`petrel bench {variant.measured_by}`"
        place = f"`{variant.shown_in}`" if variant.caught_by else ""
        rows.append(f"| `{variant.name}` | {variant.wrong} | {caught} | {place} |")
    return "\n".join(["| `--variant` | what is wrong | shown by | in a run of |", "|---|---|---|---|", *rows]) + "\n"


def checks() -> str:
    """Return a section for each check, in the order of the report, from its docstring."""
    from chaos.verdict.checks import DESCRIPTIONS

    parts = []
    for check in DESCRIPTIONS.values():
        example = "\n".join(check.example)
        unknown = f"\n**Unknown when** {check.unknown}\n" if check.unknown else ""
        parts.append(
            f"## {check.name}\n{sentence(check.promise)}\n\n**Guarantee.** {sentence(check.guarantee)}\n\n"
            f"**Anomaly.** {sentence(check.anomaly)}\n\n```\n{example}\n```\n{unknown}"
        )
    return "\n".join(parts)


def sentence(text: str) -> str:
    """Return the text with a capital first letter."""
    return text[:1].upper() + text[1:]


def locked() -> dict[str, list[str]]:
    """The locked packages: name in lower case to its versions (one for each range of Python versions)."""
    found: dict[str, list[str]] = {}
    for path in LOCKS:
        for name, version in LOCKED.findall(path.read_text(encoding="utf-8")):
            versions = found.setdefault(name.lower(), [])
            if version not in versions:
                versions.append(version)
    return dict(sorted(found.items()))


def licence_of(package: str) -> str:
    """The SPDX expression of an installed package, from its metadata. Raises LookupError when it states none."""
    try:
        metadata = importlib.metadata.metadata(package)
    except importlib.metadata.PackageNotFoundError:
        return ELSEWHERE[package]
    if expression := metadata.get("License-Expression"):
        return expression
    stated = (metadata.get("License") or "").strip().splitlines()
    classifiers = [
        line.rpartition("::")[2].strip() for line in metadata.get_all("Classifier") or [] if line.startswith("License")
    ]
    known = PERMISSIVE | {"MPL-2.0"}
    for text in [*stated[:1], *classifiers]:
        name = SPELLINGS.get(text.strip().lower(), text.strip())
        if name in known:
            return name
    if stated and "Redistribution and use in source and binary forms" in "\n".join(stated):
        return "BSD-3-Clause"
    raise LookupError(f"{package}: no licence that docs/generate.py knows: {stated[:1]} {classifiers}")


def is_permissive(package: str, licence: str) -> bool:
    """Whether a licence lets this project use the package freely."""
    parts = re.split(r" (?:AND|OR) ", licence.replace("(", "").replace(")", ""))
    return all(part in PERMISSIVE or (part == "MPL-2.0" and package in BY_FILE) for part in parts)


def licences() -> str:
    """A table of every locked package with its licence. It does not depend on the machine that makes it."""
    rows = [f"| {name} | {', '.join(versions)} | {licence_of(name)} |" for name, versions in locked().items()]
    return "\n".join(["| package | version | licence |", "|---|---|---|", *rows]) + "\n"


def a_fault() -> str:
    """The code of one fault, as it stands."""
    from chaos.faults import FAULTS

    return f"```python\n{inspect.getsource(FAULTS['gateway_crash'])}```\n"


def a_check() -> str:
    """The begin of one check's docstring: its promise, its guarantee and its example, as they stand."""
    from chaos.verdict.checks import acked_lost

    text = inspect.getsource(acked_lost)
    end = re.search(r"^    .*\n(?!    )", text, re.MULTILINE)
    assert end is not None
    return f"```python\n{text[: end.end()]}```\n"


def promises() -> str:
    """A table of the checks, in the order of the report, each with its promise."""
    from chaos.verdict.checks import DESCRIPTIONS

    rows = [f"| `{check.name}` | {check.promise[:1].upper()}{check.promise[1:]} |" for check in DESCRIPTIONS.values()]
    return "\n".join(["| check | what it promises |", "|---|---|", *rows]) + "\n"


def modes() -> str:
    """The catalogue of failure modes: a table, and a section for each."""
    from chaos.modes import catalogue

    found = catalogue.load()
    rows = [
        f"| [{name}](#{name}) | {mode.severity} | {mode.felt.rstrip()} | `{mode.detection.alert}`, "
        f"{mode.detection.fires_within_s:g} s |"
        for name, mode in found.items()
    ]
    table = ["| mode | severity | what users feel | alert, and within |", "|---|---|---|---|", *rows]
    return "\n".join([*table, "", *(_mode(name, mode) for name, mode in found.items())])


def _mode(name: str, mode: Any) -> str:
    detection = mode.detection
    labels = "".join(f", {key}={value}" for key, value in detection.labels.items())
    shown = mode.experiment
    how = (
        f"`petrel modes --run {name}` breaks it by `{shown.fault}` for {shown.for_s:g} s."
        if shown is not None
        else f"Not shown here. {mode.cannot}"
    )
    lines = [
        f"### {name}",
        f"{mode.title}. Severity: {mode.severity}.",
        "",
        f"- **Felt:** {mode.felt}",
        f"- **Cause:** {mode.cause}",
        f"- **Detect:** `{detection.alert}`{labels} within {detection.fires_within_s:g} s; it ends within "
        f"{detection.clears_within_s:g} s of the heal. Look at `{detection.metric}`.",
        f"- **By itself:** {mode.mitigation}",
        "- **Fix:**",
        *(f"  {number}. {step}" for number, step in enumerate(mode.runbook, 1)),
        f"- **Proof:** {how}",
        "",
    ]
    return "\n".join(lines)


PARTS: Final[dict[str, Callable[[], str]]] = {
    "knobs": knobs,
    "experiments": shipped,
    "faults": faults,
    "variants": variants,
    "checks": checks,
    "licences": licences,
    "promises": promises,
    "a-fault": a_fault,
    "a-check": a_check,
    "events": events,
    "meta": meta,
    "modes": modes,
}


def current(page: str) -> str:
    """A page's text with its generated parts made anew. Raises KeyError for a part that nobody makes."""
    return PART.sub(lambda found: found[1] + "\n" + PARTS[found["name"]]() + "\n" + found[3], page)


def files() -> dict[Path, str]:
    """Every file with a generated part, and its text as it must be."""
    from dashboards.grafana import build
    from load.history import schema

    pages = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
    made = {path: current(path.read_text(encoding="utf-8")) for path in pages}
    return made | {DOCS / "exchange.schema.json": schema.text().decode()} | build.files()


def main(arguments: list[str]) -> int:
    """Write the files that are not current, or with --check only name them."""
    stale = {path: text for path, text in files().items() if not path.exists() or path.read_text("utf-8") != text}
    for path, text in stale.items():
        print(path.relative_to(ROOT))  # noqa: T201 (a script: its output)
        if "--check" not in arguments:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main(sys.argv[1:]))
