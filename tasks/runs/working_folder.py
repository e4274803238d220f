"""What a run needs of the folders that it writes to, checked before it starts."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

from config.home import owner_name, user_name
from config.settings import Settings
from config.var_folder import make_var
from core.errors import StorageError
from tasks.runs.local_server import prefect_home

MIB = 1024**2
NEEDED = 100 * MIB
"""Free space without which no run starts: the databases, reports and bundle of a small training take half of it."""


def check_folders(settings: Settings) -> None:
    """Create ``var`` if it does not exist, close it to others, and check the folders that every run writes to.

    Raises
    ------
    StorageError
        A folder cannot be written, its disk is full, or another user could replace what Prefect trusts.
    """
    _make(settings)
    check_space(settings)
    _make_home(settings.var)
    home = Path(os.environ.get("PREFECT_HOME") or prefect_home(settings))
    if says := unsafe_folder(home):
        raise StorageError(f"PREFECT_HOME must be a folder that only {user_name()} can write, found that {says}")


def check_space(settings: Settings) -> None:
    """Check the free space of the disks that runs write to.

    Raises
    ------
    StorageError
        There is too little for a run.
    """
    for folder in (settings.var, settings.root / "data"):
        _check_space(next(path for path in (folder, *folder.parents) if path.exists()))


def may_write(path: Path) -> bool:
    """Whether this user can write a file, or create files in a folder."""
    mode = os.W_OK | os.X_OK if path.is_dir() else os.W_OK
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)


def unwritable(folder: Path) -> str:
    """Return why this user cannot write a folder, and what to do; empty if it can."""
    if may_write(folder):
        return ""
    if _is_read_only(folder):
        return f"{folder} is on a read-only file system; mount it writable, or set PERENNIAL_VAR to another folder"
    found = folder.stat()
    return (
        f"{folder} of user {owner_name(folder)} with mode {stat.S_IMODE(found.st_mode):04o}; "
        f"chown -R {os.geteuid()} {folder}, set PERENNIAL_VAR to another folder, or share it: its owner sets "
        "PERENNIAL_GROUP"
    )


def unsafe_folder(folder: Path) -> str:
    """Return which other users could place files in a folder that a library trusts; empty if none could.

    The system's root user is no other user.
    """
    try:
        found = folder.stat()
    except OSError:  # it will be created with a private mode
        return ""
    if found.st_uid not in (os.geteuid(), 0):
        return f"{folder} belongs to {owner_name(folder)}; set it to an own folder, or unset it"
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        mode = f"{stat.S_IMODE(found.st_mode):04o}"
        return f"{folder} has mode {mode}, so others can write it; chmod go-w {folder}, or unset it"
    return ""


def _make(settings: Settings) -> None:
    var = settings.var
    try:
        make_var(settings)
    except OSError as error:
        raise StorageError(
            f"the folder {var} cannot be created: {error.strerror}; set PERENNIAL_VAR to a folder that you may write"
        ) from error
    if says := unwritable(var):
        raise StorageError(f"expected a folder that {user_name()} may write, found {says}")


def _make_home(var: Path) -> None:
    """Create what takes the place of a home folder, before a library does so under the user's umask."""
    home = Path(os.environ.get("HOME", ""))
    if home.parent == var:
        home.mkdir(mode=0o700, exist_ok=True)


def _check_space(folder: Path) -> None:
    # A read-only file system, such as that of an image, has no free space, and no run writes to it.
    free = shutil.disk_usage(folder).free
    if free < NEEDED and not _is_read_only(folder):
        raise StorageError(
            f"expected at least {NEEDED // MIB} MiB of free space under {folder}, found {free / MIB:,.1f} MiB; free "
            "space, or set PERENNIAL_VAR to a folder on another disk"
        )


def _is_read_only(folder: Path) -> bool:
    return bool(os.statvfs(folder).f_flag & os.ST_RDONLY)
