"""Which warm process fits a command: one of the same code, libraries, environment and folder.

What differs in one of them has another socket, so a command never runs with code, libraries or settings that are not
its own.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

PACKAGES = Path(__file__).resolve().parents[2]
ROOMS = ("cli", "config", "core", "flows", "serving", "store", "tasks")

MAX_FOLDER = 60
"""Most bytes of the folder's path: that of a socket has 107 at most."""

COMMANDS = frozenset({"train", "retrain", "ingest", "monitor", "judge", "compare", "approve", "rollback", "init"})
"""Commands that import much; the others are as fast by themselves, or serve."""

# Variables that differ between two terminals and that no library reads at import.
_OF_A_TERMINAL = frozenset({"COLUMNS", "LINES", "OLDPWD", "PWD", "SHLVL", "TERM", "WINDOWID", "_"})


def is_wanted(arguments: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Whether a command runs in a warm process if there is one.

    Parameters
    ----------
    arguments
        Of the command, without its name.
    environment
        Its environment variables; ``PERENNIAL_WARM`` is :attr:`config.settings.Settings.warm`, read without an import.
    """
    is_on = environment.get("PERENNIAL_WARM", "").lower() in ("1", "on", "t", "true", "y", "yes")
    # The identity of a peer, and streams that are passed to it, are those of Linux.
    return is_on and sys.platform == "linux" and bool(COMMANDS & {*arguments[:1]})


def socket_path(environment: Mapping[str, str]) -> Path | None:
    """Return the socket of the warm process that fits this command; None if there is no private folder for it.

    Parameters
    ----------
    environment
        Environment variables of the command.
    """
    folder = _private_folder(environment)
    if folder is None or len(os.fsencode(folder)) > MAX_FOLDER:
        return None
    return folder / f"{_fingerprint(environment)}.sock"


def _fingerprint(environment: Mapping[str, str]) -> str:
    digest = hashlib.sha256()
    for part in _parts(environment):
        digest.update(part.encode("utf-8", "surrogateescape") + b"\0")
    return digest.hexdigest()[:24]


def _parts(environment: Mapping[str, str]) -> Iterator[str]:
    yield sys.executable
    yield sys.version
    yield str(Path.cwd())
    yield from (f"{name}={value}" for name, value in sorted(environment.items()) if name not in _OF_A_TERMINAL)
    for folder in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        # Installing or removing a library changes the folder.
        yield f"{folder} {_stamp(folder)}"
    for room in ROOMS:
        yield from _files(PACKAGES / room)


def _files(folder: Path) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.is_dir():
                if entry.name != "__pycache__":
                    yield from _files(Path(entry.path))
            else:
                found = entry.stat()
                yield f"{entry.path} {found.st_mtime_ns} {found.st_size}"


def _stamp(path: str) -> int:
    with suppress(OSError):
        return os.stat(path).st_mtime_ns  # noqa: PTH116 - a path from the interpreter, which may not exist
    return 0


def _private_folder(environment: Mapping[str, str]) -> Path | None:
    """Return a folder that belongs to this user alone; a socket elsewhere could be another user's."""
    parent = environment.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
    folder = Path(parent) / f"perennial-warm-{os.geteuid()}"
    with suppress(OSError):
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077:
            return folder
    return None
