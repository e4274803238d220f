"""Leases: commands that read a model's files without holding the model, and retention, which removes files.

Readers share a lease; retention takes it alone and does not wait. It is a lock of the operating system, which ends with
the process.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from config.settings import Settings
from core.errors import RunInProgressError, StorageError


@contextmanager
def reading(model: str, settings: Settings) -> Iterator[None]:
    """Keep retention from removing files of a model while the block reads them.

    Raises
    ------
    StorageError
        The lease cannot be written.
    """
    with _leased(model, settings, fcntl.LOCK_SH):
        yield


@contextmanager
def removing(model: str, settings: Settings) -> Iterator[None]:
    """Keep readers out while files of a model are removed.

    Raises
    ------
    RunInProgressError
        A command reads files of the model.
    StorageError
        The lease cannot be written.
    """
    try:
        with _leased(model, settings, fcntl.LOCK_EX | fcntl.LOCK_NB):
            yield
    except BlockingIOError as error:
        raise RunInProgressError(
            f"another command reads files of the model {model!r}. Wait for it, then run again"
        ) from error


@contextmanager
def _leased(model: str, settings: Settings, kind: int) -> Iterator[None]:
    path = settings.var / "locks" / f"{model}.lease"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Read only: a lease of another user who shares the project is not ours to write, and need not be.
        lease = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise StorageError(f"the lease {path} cannot be opened: {error.strerror or error}") from error
    try:
        fcntl.flock(lease, kind)
        yield
    finally:
        os.close(lease)
