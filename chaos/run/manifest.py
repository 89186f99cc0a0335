"""The manifest that closes a run directory: the length and the SHA-256 of every file in it.

manifest.json is written last. Whoever judges the run again or exports it calls `check` first: a run of which a part is
missing, changed or added would be held against the chat system, or pass for a whole one.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from chaos.errors import UsageError

NAME: Final = "manifest.json"
OLD: Final = "the run was made before runs were closed by a manifest: nothing tells whether its files are whole"


class Entry(msgspec.Struct, frozen=True):
    """One file. A symbolic link counts by the text it points to."""

    bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="stormpetrel run"):
    """All files of a closed run, by their path relative to its directory."""

    files: dict[str, Entry]


def close(directory: Path) -> None:
    """Write the manifest of all that is in the directory now, in place of an older one. Raises OSError."""
    manifest = Manifest(files={str(path.relative_to(directory)): _entry(path) for path in _files(directory)})
    _write(manifest, directory)


def add(directory: Path, path: Path) -> None:
    """Take a file that was written into a closed run afterwards into its manifest, if it has one. Raises OSError."""
    if not (directory / NAME).exists():
        return
    manifest = _read(directory)
    _write(Manifest(files=manifest.files | {str(path.relative_to(directory)): _entry(path)}), directory)


def check(directory: Path) -> str | None:
    """Compare the directory with its manifest. Returns a remark about a run that never had one.

    Raises UsageError: a file is missing, changed or not of this run; the text names the first one.
    """
    if not (directory / NAME).exists():
        if _must_have(directory):
            raise UsageError(f"{directory / NAME}: missing; the run was not ended in good order, or it was taken away")
        return OLD if (directory / "history").is_dir() else None
    files = _read(directory).files
    try:
        there = {str(path.relative_to(directory)) for path in _files(directory)}
    except OSError as error:
        raise UsageError(f"{error.filename}: {error.strerror}") from None
    wrong = [f"{directory / name}: missing; the run had it" for name in sorted(files.keys() - there)]
    wrong += [f"{directory / name}: no file of this run, which is closed" for name in sorted(there - files.keys())]
    wrong += list(_changed(directory, {name: files[name] for name in sorted(there & files.keys())}))
    if wrong:
        more = f" (and {len(wrong) - 1} more files are wrong)" if len(wrong) > 1 else ""
        raise UsageError(f"{wrong[0]}{more}")
    return None


def _changed(directory: Path, files: dict[str, Entry]) -> Iterator[str]:
    for name, entry in files.items():
        path = directory / name
        try:
            length = path.lstat().st_size
            if length != entry.bytes:
                yield f"{path}: changed: it has {length:,} bytes, and had {entry.bytes:,}"
            elif _entry(path) != entry:
                yield f"{path}: changed: its SHA-256 is another than in {NAME}"
        except OSError as error:
            yield f"{path}: {error.strerror}"


def _files(directory: Path) -> Iterator[Path]:
    """Every file and link below the directory but the manifest, in a fixed order. Raises OSError.

    Sockets and pipes hold nothing, and are passed over.
    """

    def fail(error: OSError) -> None:
        raise error

    for root, folders, names in os.walk(directory, onerror=fail):
        folders.sort()
        links = [name for name in folders if (Path(root) / name).is_symlink()]
        for name in sorted([*names, *links]):
            path = Path(root) / name
            mode = path.lstat().st_mode
            if path != directory / NAME and (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
                yield path


def _entry(path: Path) -> Entry:
    if path.is_symlink():
        target = os.fsencode(path.readlink())
        return Entry(path.lstat().st_size, hashlib.sha256(target).hexdigest())
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return Entry(file.tell(), digest)


def _read(directory: Path) -> Manifest:
    path = directory / NAME
    try:
        return msgspec.json.decode(path.read_bytes(), type=Manifest)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"{path}: damaged: {error}") from None


def _write(manifest: Manifest, directory: Path) -> None:
    """In one step: a manifest is whole or not there."""
    path, fresh = directory / NAME, directory / f".{NAME}.new"
    try:
        fresh.write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n")
        fresh.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            fresh.unlink()
        raise


class _Meta(msgspec.Struct):
    manifest: bool = False


def _must_have(directory: Path) -> bool:
    """Whether the run's meta line says that it gets a manifest."""
    try:
        return msgspec.json.decode((directory / "history" / "meta.jsonl").read_bytes(), type=_Meta).manifest
    except (OSError, msgspec.DecodeError):
        return False
