"""A home folder and a user name for a process that has none, as under an arbitrary user id in a container."""

from __future__ import annotations

import getpass
import os
import pwd
from collections.abc import Mapping, MutableMapping
from pathlib import Path

HOME = "home"
"""Folder in ``var`` that takes the place of a home folder."""


def project_above(start: Path) -> Path | None:
    """Return the folder of the project that a folder is in; None if it is in none."""
    return next((folder for folder in (start, *start.parents) if (folder / "config" / "models").is_dir()), None)


def home_folder(environment: Mapping[str, str]) -> Path | None:
    """Return the folder that ``HOME`` or else the password file names; None if there is no such folder."""
    named = environment["HOME"] if "HOME" in environment else os.path.expanduser("~")  # noqa: PTH111 - Path.home() raises
    return Path(named) if named.startswith("/") and Path(named).is_dir() else None


def give_home(environment: MutableMapping[str, str]) -> None:
    """Name a folder in ``var`` as home if there is none, for this process and those that it starts.

    Prefect, MLflow, matplotlib and Great Expectations ask for a home when they are imported, and fail without one.
    Where a home exists but cannot be written, matplotlib alone gets a folder: the others only read their
    configuration there, such as the credentials of a remote. No folder is created here.

    Parameters
    ----------
    environment
        Environment variables; changed in place. Nothing changes outside a project.
    """
    found = home_folder(environment)
    if found is not None and os.access(found, os.W_OK | os.X_OK):
        return
    own = own_home(environment)
    if own is None:
        return
    if found is None:
        environment["HOME"] = str(own)
    else:
        environment.setdefault("MPLCONFIGDIR", str(own / "matplotlib"))


def own_home(environment: Mapping[str, str]) -> Path | None:
    """Return the folder in ``var`` that takes the place of a home folder; None outside a project.

    The environment is read without :mod:`config.settings`, whose import every start of the command would pay.
    """
    if named := environment.get("PERENNIAL_VAR"):
        return own_folder(Path(named).resolve(), HOME)
    root = environment.get("PERENNIAL_ROOT")
    try:
        project = Path(root).resolve() if root else project_above(Path.cwd())
    except OSError:  # the working directory was removed
        return None
    return None if project is None else own_folder(project / "var", HOME)


def own_folder(var: Path, name: str) -> Path:
    """Return ``var/name``, or ``var/name-UID`` if another user of the project has that one.

    Two users who share a project share its data, models and databases, but not what a library trusts in a home.

    Parameters
    ----------
    var
        Folder for files that runs write.
    name
        Folder that belongs to one user.
    """
    usual = var / name
    try:
        owner = usual.stat().st_uid
    except OSError:  # it does not exist yet, or var cannot be read, which the run will report
        return usual
    return usual if owner == os.geteuid() else var / f"{name}-{os.geteuid()}"


def give_user_name(environment: MutableMapping[str, str]) -> None:
    """Name the user in ``LOGNAME`` if nothing else does: DVC and MLflow fail for a user without a name.

    Parameters
    ----------
    environment
        Environment variables; changed in place.
    """
    try:
        getpass.getuser()
    except (KeyError, OSError):
        environment["LOGNAME"] = user_name()


def user_name() -> str:
    """Return the name of the user that runs this process, or ``uid 1234`` for one without a name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def owner_name(path: Path) -> str:
    """Return who owns a path or, where it cannot be looked at, the nearest folder above that can: a name or ``uid``."""
    for place in (path, *path.parents):
        try:
            owner = place.stat().st_uid
        except OSError:
            continue
        try:
            return pwd.getpwuid(owner).pw_name
        except KeyError:
            return f"uid {owner}"
    return "another user"
