"""Which test files are worth a second run with the lowest versions of the dependencies.

`make test-lowest` runs the files that `python -m tests.kit.lowest FOLDER..` prints. A file counts where what it imports
or starts, directly or through other modules of the tree, imports a package whose version in locks/lowest.txt is not
the one in locks/requirements.txt. Every other file would run the same code a second time.
"""

import ast
import functools
import re
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[2]
OWN = ("sut", "load", "chaos", "dashboards", "tests")
PINNED = re.compile(r"^([a-z0-9-]+)==(\S+)", re.MULTILINE)
MODULE = re.compile(rf"(?:{'|'.join(OWN)})(?:\.\w+)+")
"""A module of the tree as a string names it: `python -m chaos.cli`, or a store that is chosen by its name."""
RUNNERS = {"pytest", "hypothesis"}
"""Every test file imports them, so whatever files are run test them."""


def locked(lock: str) -> dict[str, str]:
    """The version of each package in a file of locks/."""
    return dict(PINNED.findall((ROOT / "locks" / lock).read_text()))


def differing() -> frozenset[str]:
    """The packages whose lowest version is not the one that all other tests run with."""
    usual = locked("requirements.txt")
    return frozenset(name for name, version in locked("lowest.txt").items() if usual.get(name) != version)


def named(path: Path) -> frozenset[str]:
    """The modules that a file imports, what it imports from them, and `MODULE.*` for each that a string names."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        match node:
            case ast.Import():
                names.update(alias.name for alias in node.names)
            case ast.ImportFrom(module=str(module), level=0):
                names.update((module, *(f"{module}.{alias.name}" for alias in node.names)))
            case ast.Constant(value=str(text)):
                found = MODULE.findall(text) if "-m " in text else [text] if MODULE.fullmatch(text) else []
                names.update(f"{module}.*" for module in found)
    return frozenset(names)


class Tree:
    """The modules of the tree, and what each reaches."""

    def __init__(self) -> None:
        found = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in sources()}
        self._paths = {name.removesuffix(".__init__"): path for name, path in found.items()}
        self._named = functools.cache(lambda module: named(self._paths[module]))
        self._distributions = functools.cache(packages_distributions)

    def reached(self, module: str) -> frozenset[str]:
        """The packages that a module imports, directly or through others of the tree, by their names in a lock.

        Of a test this includes the conftest.py of its folder and those above, but for the one of all tests.
        """
        seen = {module} | {f"{folder}.conftest" for folder in parents(module)[1:-1]} & set(self._paths)
        waiting, packages = list(seen), set[str]()
        while waiting:
            for name in self._named(waiting.pop()):
                if name.partition(".")[0] in OWN:
                    new = self._modules(name) - seen
                    seen |= new
                    waiting += new
                else:
                    packages.add(name.partition(".")[0])
        return frozenset(normal(found) for name in packages for found in self._distributions().get(name, ()))

    def _modules(self, name: str) -> set[str]:
        """The module of this name and the packages that it lies in; with `.*` also everything below it."""
        whole = name.removesuffix(".*")
        below = {path for path in self._paths if path.startswith(f"{whole}.")} if whole != name else set()
        return below | {part for part in parents(whole) if part in self._paths}

    def tests(self, folder: str) -> list[str]:
        """The test files of a folder."""
        begin = folder.replace("/", ".") + "."
        return [name for name in self._paths if name.startswith(begin) and name.rpartition(".")[2].startswith("test_")]


def sources() -> Iterator[Path]:
    """Every Python file of the tree."""
    for top in OWN:
        yield from (ROOT / top).rglob("*.py")


def parents(name: str) -> list[str]:
    """A module and the packages that it lies in: importing it imports these."""
    parts = name.split(".")
    return [".".join(parts[:length]) for length in range(1, len(parts) + 1)]


def normal(distribution: str) -> str:
    """A package's name as locks write it."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def chosen(folders: list[str]) -> list[str]:
    """The paths of the test files of these folders that reach a package whose version differs."""
    tree, differs = Tree(), differing() - RUNNERS
    modules = sorted(name for folder in folders for name in tree.tests(folder))
    return [f"{name.replace('.', '/')}.py" for name in modules if tree.reached(name) & differs]


if __name__ == "__main__":
    print(*chosen(sys.argv[1:]), sep="\n")
