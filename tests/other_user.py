"""Another user of this machine, or another disk, as tests of permissions and space need them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

UID, GID = 12345, 12346
"""Ids without an entry in the password file."""


def as_user(*command: str, uid: int = UID, gid: int = GID) -> list[str]:
    """Return the command line that runs a command under other ids; the test is skipped where that is impossible.

    The user may read all files, because the interpreter may be installed where only root reads; no more is granted.
    """
    if reason := _why_not():
        pytest.skip(reason)
    may_read = ("--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search")
    return ["setpriv", "--reuid", str(uid), "--regid", str(gid), "--clear-groups", *may_read, *command]


@contextmanager
def effective_user(uid: int = UID) -> Iterator[None]:
    """Let this process access files as another user; the test is skipped where that is impossible."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)


@contextmanager
def reached_by_all(folder: Path) -> Iterator[None]:
    """Open the folders above a folder, which pytest creates for one user."""
    before = {path: path.stat().st_mode for path in folder.parents if not path.stat().st_mode & 0o001}
    for path in before:
        path.chmod(0o711)
    try:
        yield
    finally:
        for path, mode in before.items():
            path.chmod(mode)


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[None]:
    """Mount a small file system in memory; the test is skipped where that is impossible."""
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a file system")
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"this container cannot mount a file system: {done.stderr.strip()}")
    try:
        yield
    finally:
        # Lazily: a process that still ends must not keep the mount.
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Make a folder read-only, for root too; the test is skipped where that is impossible."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a folder read-only")
    if subprocess.run(["mount", "--bind", str(folder), str(folder)], check=False, capture_output=True).returncode:
        pytest.skip("this container cannot mount a folder")
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(folder)], check=True, capture_output=True)
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@cache
def _why_not() -> str:
    if os.geteuid() != 0:
        return "only root can run commands as another user"
    if shutil.which("setpriv") is None:
        return "setpriv (util-linux) is not installed"
    probe = ["setpriv", "--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search", "true"]
    works = subprocess.run(probe, check=False, capture_output=True).returncode == 0
    return "" if works else "this container lacks the capability CAP_DAC_READ_SEARCH"
