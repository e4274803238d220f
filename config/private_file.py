"""Files that only this user reads, or the group with which this user shares the project."""

from __future__ import annotations

import os
import stat
from pathlib import Path


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
