"""Something that retention found, and how it is removed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from core.retention.items import Item, Rule

REMOVED = ".removed-"
"""Beginning of the name of a folder that is being removed."""


@dataclass(frozen=True)
class Found:
    """An item and the function that removes it; a repeat of it, also after a kill in the middle, is harmless."""

    item: Item
    remove: Callable[[], object] = field(repr=False)


@dataclass(frozen=True)
class Findings:
    """All items of one kind, and the rule that decides about them."""

    rule: Rule
    found: tuple[Found, ...]


def tree_facts(path: Path) -> tuple[datetime, int]:
    """Return when anything in a file or folder was last written, with time zone, and its size in bytes."""
    at, size = path.lstat().st_mtime, 0
    for one in [path, *(path.rglob("*") if path.is_dir() and not path.is_symlink() else ())]:
        with suppress(FileNotFoundError):  # it ended meanwhile
            facts = one.lstat()
            at, size = max(at, facts.st_mtime), size + (0 if one.is_dir() else facts.st_size)
    return datetime.fromtimestamp(at, UTC), size


def folders(parent: Path) -> list[Path]:
    """Return the folders in a folder that are no links, by name; none if there is no such folder."""
    if not parent.is_dir():
        return []
    return sorted(path for path in parent.iterdir() if path.is_dir() and not path.is_symlink())


def owner_reason(path: Path) -> str:
    """Return why a file or folder of another user of the project stays; that user's runs remove it."""
    user = os.geteuid()
    return "" if user in (0, path.lstat().st_uid) else "it belongs to another user"


def remove_tree(path: Path) -> None:
    """Remove a file or folder, also a read-only one."""
    with suppress(FileNotFoundError):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)
            shutil.rmtree(path)
        else:
            path.unlink()


def remove_folder(path: Path) -> None:
    """Rename a folder, then remove it: one that a kill left half removed must not look young, or be used."""
    gone = path.with_name(f"{REMOVED}{path.name}")
    remove_tree(gone)
    with suppress(FileNotFoundError):
        path.rename(gone)
        remove_tree(gone)


def half_removed(parent: Path) -> list[Path]:
    """Return the folders in a folder whose removal was killed."""
    return [path for path in folders(parent) if path.name.startswith(REMOVED)]


def remove_files(paths: Iterable[Path]) -> None:
    """Remove files, then their folders if they are empty."""
    names = list(paths)
    for path in names:
        remove_tree(path)
    for folder in {path.parent for path in names}:
        with suppress(OSError):  # it is not empty
            folder.rmdir()
