"""The folder ``var``, which holds databases, logs and caches: its owner's alone, or a group's that a setting names."""

from __future__ import annotations

import grp
import os
import stat
from pathlib import Path

from config.private_file import make_private_folder
from config.settings import Settings
from core.errors import ConfigError

SHARED = 0o2770
"""Mode of a shared ``var``: files in it belong to the group, and other users of the machine cannot enter it."""


def make_var(settings: Settings) -> None:
    """Create ``var`` if it does not exist, and close it to other users whatever the umask; a repeat changes nothing.

    With the setting ``group``, the folder is the group's, and what this process and its children create can be written
    by the group. Without it, a folder that was shared by hand before (with the bit that passes its group on) keeps its
    group; else only this user can write what they create. Other users get no access, whatever the umask was: libraries
    create most files, and a folder that is opened or copied one day would show them. A folder of another user is left
    as it is.

    Raises
    ------
    ConfigError
        The machine has no such group, or this user is not in it.
    OSError
        The folder cannot be created.
    """
    group = None if settings.group is None else group_id(settings.group)
    make_private_folder(settings.var)
    found = settings.var.stat()
    is_shared = bool(found.st_mode & stat.S_ISGID and found.st_mode & stat.S_IWGRP)
    _close_umask(by_group=group is not None, is_shared=is_shared)
    if group is None:
        return
    if found.st_uid == os.geteuid() and (found.st_gid, stat.S_IMODE(found.st_mode)) != (group, SHARED):
        os.chown(settings.var, -1, group)
        settings.var.chmod(SHARED)


def _close_umask(*, by_group: bool, is_shared: bool) -> None:
    before = os.umask(0o077)
    if by_group:
        os.umask((before | stat.S_IRWXO) & ~stat.S_IRWXG)
    else:
        os.umask(before | stat.S_IRWXO | (0 if is_shared else stat.S_IWGRP))


def group_id(name: str) -> int:
    """Return the id of a group that this user is in.

    Raises
    ------
    ConfigError
        The machine has no such group, or this user is not in it.
    """
    try:
        found = grp.getgrnam(name).gr_gid
    except KeyError:
        raise ConfigError(
            f"PERENNIAL_GROUP names {name!r}, which is no group of this machine; see 'getent group'"
        ) from None
    if os.geteuid() != 0 and found not in (os.getegid(), *os.getgroups()):
        raise ConfigError(f"PERENNIAL_GROUP names {name!r}, and this user is not in that group; see 'id'")
    return found


def open_to_others(path: Path) -> str:
    """Return how a file or folder is open to users that are neither its owner nor in its group; empty if it is not."""
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode) or not mode & stat.S_IRWXO:
        return ""
    return f"{path} ({stat.S_IMODE(mode):04o})"
