"""Check who can read and write what runs keep: ``var``, databases, logs."""

from __future__ import annotations

import grp
import stat
from collections.abc import Iterator
from pathlib import Path

from config.home import owner_name
from config.private_file import sqlite_files
from config.settings import Settings
from config.var_folder import SHARED, group_id, open_to_others
from core.operate.findings import Finding
from store.database import sqlite_file
from tasks.registry.client import SQLITE

N_SHOWN = 4
MOST_SEEN = 10_000
"""Files after which the search ends: a folder of many snapshots would take minutes."""


def check_modes(settings: Settings) -> list[Finding]:
    """Find what other users of the machine can read or write; commands have closed ``var`` where they could."""
    if not settings.var.is_dir():
        return [Finding("modes", "ok", f"there is no {settings.var} yet; it will be created for its owner only")]
    findings = [*_folder(settings), *_databases(settings), *_files(settings)]
    return findings or [Finding("modes", "ok", f"{_whom(settings)} can read {settings.var}, the databases and logs")]


def _whom(settings: Settings) -> str:
    return f"only the group {settings.group}" if settings.group else "only its owner"


def _folder(settings: Settings) -> Iterator[Finding]:
    var, found = settings.var, settings.var.stat()
    mode, group = stat.S_IMODE(found.st_mode), _group_name(found.st_gid)
    if settings.group is None and mode & stat.S_IRWXG and not mode & stat.S_IRWXO:
        says = f"expected a folder of its owner only, found that the group {group} can use {var} ({mode:04o})"
        yield Finding("modes", "warning", says, f"set PERENNIAL_GROUP={group} to share it, or chmod 0700 {var}")
    elif settings.group is not None and (found.st_gid, mode) != (group_id(settings.group), SHARED):
        says = f"expected {var} with group {settings.group} and mode {SHARED:04o}, found {group} and {mode:04o}"
        yield Finding("modes", "problem", says, f"its owner {owner_name(var)} runs a command with PERENNIAL_GROUP")
    if says := open_to_others(var):
        says = f"expected a folder that other users of the machine cannot enter, found {says}"
        yield Finding("modes", "problem", says, f"its owner {owner_name(var)} runs: chmod o-rwx {var}")


def _databases(settings: Settings) -> Iterator[Finding]:
    """Find databases outside ``var``, which no closed folder protects, or in a ``var`` that is open."""
    files = [sqlite_file(settings.database_url)]
    if settings.mlflow_uri.startswith(SQLITE):
        files.append(Path(settings.mlflow_uri.removeprefix(SQLITE)))
    named = [path for file in files if file is not None for path in sqlite_files(file)]
    if opened := [says for path in named if path.is_file() and (says := open_to_others(path))]:
        says = f"expected databases that other users cannot read, found {', '.join(opened[:N_SHOWN])}"
        yield Finding("modes", "problem", says, f"chmod o-rwx {' '.join(text.rpartition(' ')[0] for text in opened)}")


def _files(settings: Settings) -> Iterator[Finding]:
    """Find what an earlier release left open to other users, who cannot reach it while ``var`` is closed."""
    var = settings.var
    writable = [says for path in _seen(var) if path.lstat().st_mode & stat.S_IWOTH and (says := open_to_others(path))]
    if writable:
        says = f"expected nothing in {var} that every user may write, found {', '.join(writable[:N_SHOWN])}"
        yield Finding("modes", "warning", says, f"chmod -R o-rwx {var}, before it is copied or opened")
    logs = [says for path in sorted((var / "log").glob("*")) if path.is_file() and (says := open_to_others(path))]
    if logs:
        says = f"expected logs that other users cannot read, found {', '.join(logs[:N_SHOWN])}"
        yield Finding("modes", "warning", says, f"chmod o-rwx {var / 'log'}/*")


def _seen(var: Path) -> Iterator[Path]:
    for number, path in enumerate(var.rglob("*")):
        if number == MOST_SEEN:
            return
        yield path


def _group_name(group: int) -> str:
    try:
        return grp.getgrgid(group).gr_name
    except KeyError:
        return f"gid {group}"
