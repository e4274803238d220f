"""Files and folders that only this user reads, or the group with which this user shares the project."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO


def create_private_file(path: Path) -> None:
    """Create an empty file with mode 0600, or 0660 under a umask that lets the group write; keep one that exists.

    SQLite would create a database with mode 0644 at most: all users of the machine could read it, and the group with
    which a project is shared could not write it. Its companions ``-wal`` and ``-shm`` get the database's mode.
    """
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o660)
    except FileExistsError:
        return
    try:
        if not os.fstat(file).st_mode & stat.S_IWGRP:
            os.fchmod(file, 0o600)
    finally:
        os.close(file)


def keep_from_others(path: Path) -> None:
    """Take a file, created by an earlier release, from the users that are neither its owner nor in its group."""
    try:
        found = path.stat()
        if found.st_uid == os.geteuid() and found.st_mode & stat.S_IRWXO:
            path.chmod(stat.S_IMODE(found.st_mode) & ~stat.S_IRWXO)
    except FileNotFoundError:
        return


def sqlite_files(database: Path) -> list[Path]:
    """Return a database of SQLite and its companions, which need not exist."""
    return [database.with_name(f"{database.name}{end}") for end in ("", "-wal", "-shm")]


def make_private_folder(folder: Path) -> None:
    """Create a folder with mode 0700 whatever the umask; take one that exists and is ours from other users.

    The group keeps its access only where the folder was shared on purpose: with the bit that passes its group on.
    """
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        return
    found = folder.stat()
    is_shared = found.st_mode & stat.S_ISGID and found.st_mode & stat.S_IWGRP
    closed = found.st_mode & ~(stat.S_IRWXO if is_shared else stat.S_IRWXO | stat.S_IRWXG)
    if found.st_uid == os.geteuid() and closed != found.st_mode:
        with suppress(OSError):  # on a read-only file system, where nothing is written either
            folder.chmod(stat.S_IMODE(closed))


def append_privately(path: Path) -> BinaryIO:
    """Open a file to append to, such as a log; it and its folder are created for this user and its group only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    create_private_file(path)
    keep_from_others(path)
    return path.open("ab")
