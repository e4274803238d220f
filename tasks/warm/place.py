"""Which warm process fits a caller: one of the same code, libraries, environment, settings, folder and limits.

What differs in one of them has another socket, so nothing ever runs with code, libraries or settings that are not its
own. The warm process computes the same fingerprint of itself, before and after its imports, and ends if it differs.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from tasks.warm.inherited import inherited_state

PACKAGES = Path(__file__).resolve().parents[2]
ROOMS = ("cli", "config", "core", "flows", "serving", "store", "tasks")

MAX_FOLDER = 60
"""Most bytes of the folder's path: that of a socket has 107 at most."""

OF_A_TERMINAL = frozenset(
    {"OLDPWD", "PWD", "SHLVL", "WINDOWID", "_", "SSH_CLIENT", "SSH_CONNECTION", "SSH_TTY", "TMUX", "TMUX_PANE", "STY"}
    | {"WINDOW", "XDG_SESSION_ID", "TERM_SESSION_ID", "ITERM_SESSION_ID", "GPG_TTY"}
)
"""Variables that differ between two terminals and that no library reads at import; a fork has those of its command."""

# Libraries read them at import.
_SETTINGS_HERE = (".env", "prefect.toml", "pyproject.toml", "matplotlibrc")
_SETTINGS_AT_HOME = (".prefect/profiles.toml", ".config/matplotlib/matplotlibrc")
_SETTINGS_BY_VARIABLE = {"PREFECT_HOME": "profiles.toml", "PREFECT_PROFILES_PATH": "", "MPLCONFIGDIR": "matplotlibrc"}
_SETTINGS_OF_THE_MACHINE = ("/etc/localtime",)


def is_on(environment: Mapping[str, str]) -> bool:
    """Return whether processes may be forked from warm ones.

    Parameters
    ----------
    environment
        Its ``PERENNIAL_WARM`` is :attr:`config.settings.Settings.warm`, read without an import.
    """
    is_off = environment.get("PERENNIAL_WARM", "").lower() in ("0", "off", "f", "false", "n", "no")
    # The identity of a peer, streams that are passed to it, and a handle of a process are those of Linux.
    return not is_off and sys.platform == "linux"


def is_asked_for(environment: Mapping[str, str]) -> bool:
    """Return whether ``PERENNIAL_WARM`` asks for warm processes, also without a terminal."""
    return environment.get("PERENNIAL_WARM", "").lower() in ("1", "on", "t", "true", "y", "yes")


def socket_path(
    kind: str, environment: Mapping[str, str], ignored: Iterable[str] = OF_A_TERMINAL, *, anywhere: bool = False
) -> Path | None:
    """Return the socket of the warm process that fits this one; None if it is not safe to use one.

    Parameters
    ----------
    kind
        What its forks do.
    environment
        Environment variables of this process.
    ignored
        Variables that may differ, because a fork is given those of its caller.
    anywhere
        Whether the working directory may differ, because a fork reads again what libraries read there.
    """
    try:
        folder = private_folder(environment)
        if folder is None or len(os.fsencode(folder)) > MAX_FOLDER:
            return None
        return folder / f"{kind}-{_fingerprint(environment, frozenset(ignored), anywhere)}.sock"
    except OSError:  # no working directory, no /proc, or files that cannot be read
        return None


def _fingerprint(environment: Mapping[str, str], ignored: frozenset[str], anywhere: bool) -> str:
    digest = hashlib.sha256()
    folder = () if anywhere else (str(Path.cwd()), *(f"{name} {_stamp(Path(name))}" for name in _SETTINGS_HERE))
    for part in (*folder, *_parts(environment, ignored)):
        digest.update(part.encode("utf-8", "surrogateescape") + b"\0")
    return digest.hexdigest()[:24]


def _parts(environment: Mapping[str, str], ignored: frozenset[str]) -> Iterator[str]:
    yield from (sys.executable, sys.version, repr(sys.flags), repr(sys.warnoptions), repr(sys._xoptions))
    yield from (f"{name}={value}" for name, value in sorted(environment.items()) if name not in ignored)
    yield from inherited_state()
    yield from _libraries()
    for room in ROOMS:
        yield from _files(PACKAGES / room)
    for path in (*_settings_files(environment), PACKAGES / "requirements.lock"):
        yield f"{path} {_stamp(path)}"


def _libraries() -> Iterator[str]:
    """Yield what the folders of ``sys.path`` hold: installing, removing or adding a library or a module changes it."""
    standard = {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")}
    for folder in sys.path:
        yield folder
        if folder not in standard:
            with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
                is_installed = Path(folder).name in ("site-packages", "dist-packages")
                yield from sorted(_module(entry) for entry in entries if is_installed or _is_module(entry))


def _is_module(entry: os.DirEntry[str]) -> bool:
    # In a project's folder, data and results come and go.
    return entry.name.endswith((".py", ".so")) or (entry.is_dir() and Path(entry.path, "__init__.py").exists())


def _module(entry: os.DirEntry[str]) -> str:
    # Compiling a package changes the times of its folder, and so does what a run writes.
    return (
        f"{entry.name} {entry.stat().st_mtime_ns}"
        if entry.name.endswith((".py", ".so", ".pth", ".dist-info", ".egg-info"))
        else entry.name
    )


def _files(folder: Path) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.is_dir():
                if entry.name != "__pycache__":
                    yield from _files(Path(entry.path))
            else:
                found = entry.stat()
                yield f"{entry.path} {found.st_mtime_ns} {found.st_ino} {found.st_size}"


def _settings_files(environment: Mapping[str, str]) -> Iterator[Path]:
    home = environment.get("HOME")
    if home:
        yield from (Path(home) / name for name in _SETTINGS_AT_HOME)
    for variable, name in _SETTINGS_BY_VARIABLE.items():
        if variable in environment:
            yield Path(environment[variable]) / name
    yield from (Path(name) for name in _SETTINGS_OF_THE_MACHINE)


def _stamp(path: Path) -> str:
    with suppress(OSError):
        found = path.stat()
        return f"{found.st_mtime_ns} {found.st_ino} {found.st_size}"
    return ""


def private_folder(environment: Mapping[str, str]) -> Path | None:
    """Return a folder that belongs to this user alone; None if there is none: a socket could be another user's.

    Parameters
    ----------
    environment
        Its ``XDG_RUNTIME_DIR``, or else the folder for temporary files, is where it lies.
    """
    parent = Path(environment.get("XDG_RUNTIME_DIR") or environment.get("TMPDIR") or "/tmp")  # noqa: S108 - the folder in it is checked
    folder = parent / f"perennial-warm-{os.geteuid()}"
    with suppress(OSError):
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        is_mine = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077
        if is_mine and _cannot_be_replaced(parent):
            return folder
    return None


def _cannot_be_replaced(parent: Path) -> bool:
    """Return whether no other user can put another folder in the place of one in this folder."""
    found = parent.stat()
    is_shared = bool(found.st_mode & 0o022) and not found.st_mode & stat.S_ISVTX
    return found.st_uid in (0, os.geteuid()) and not is_shared
