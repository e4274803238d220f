"""What a process has from the one that started it, and a fork of another process would not have.

Limits (``ulimit``), control group, priority (``nice``, ``chrt``, ``ionice``), processors (``taskset``), namespaces,
root, user, groups, capabilities and the like. What can be given to a fork exactly is not here: working directory,
umask, standard streams, ignored and blocked signals.
"""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Iterator
from pathlib import Path

_PROC = Path("/proc/self")

STATUS = (
    "Uid",
    "Gid",
    "Groups",
    "Seccomp",
    "Seccomp_filters",
    "NoNewPrivs",
    "Speculation_Store_Bypass",
    "SpeculationIndirectBranch",
    "Cpus_allowed",
    "Mems_allowed",
    "THP_enabled",
    "CapInh",
    "CapPrm",
    "CapEff",
    "CapBnd",
    "CapAmb",
)
"""Lines of ``/proc/self/status``."""

FILES = (
    "limits",
    "cgroup",
    "oom_score_adj",
    "personality",
    "attr/current",
    "timerslack_ns",
    "coredump_filter",
    "uid_map",
    "gid_map",
)
"""Further files of ``/proc/self``."""

# ioprio_get has no wrapper in Python or in the C library; its number differs between architectures.
_IOPRIO_GET = {"x86_64": 252, "aarch64": 31}
_IOPRIO_WHO_PROCESS = 1


def inherited_state() -> Iterator[str]:
    """Yield what this process has inherited, as texts that are equal in two processes that have inherited the same.

    Raises
    ------
    OSError
        ``/proc`` is not there.
    """
    lines = (line.partition(":") for line in (_PROC / "status").read_text().splitlines())
    yield from sorted(f"{name}:{value}" for name, _, value in lines if name in STATUS)
    for name in FILES:
        yield f"{name} {_content(_PROC / name)}"
    for space in sorted((_PROC / "ns").iterdir()):
        yield f"{space.name} {_target(space)}"
    root = Path("/").stat()
    yield f"root {root.st_dev} {root.st_ino}"
    yield f"nice {os.getpriority(os.PRIO_PROCESS, 0)} {os.sched_getscheduler(0)} {os.sched_getparam(0).sched_priority}"
    yield f"ionice {_io_priority()}"


def _content(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # this kernel has no such file, or no security module that fills it
        return ""


def _target(link: Path) -> str:
    try:
        return os.readlink(link)  # noqa: PTH115 - a text, which names no path
    except OSError:
        return ""


def _io_priority() -> int:
    number = _IOPRIO_GET.get(platform.machine())
    return -1 if number is None else int(ctypes.CDLL(None).syscall(number, _IOPRIO_WHO_PROCESS, 0))
