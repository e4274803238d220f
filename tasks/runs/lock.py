"""One run per model at a time."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from config.settings import Settings
from config.var_folder import make_var
from core.errors import RunInProgressError, StorageError
from core.storage_failure import storage_errors


@contextmanager
def hold_model(model: str, settings: Settings, wait_seconds: float = 0.0) -> Iterator[None]:
    """Lock a model for one run: no other run can ingest, train or restore its data.

    It is a lock of the operating system, which ends with the process, even if the process is killed.

    Parameters
    ----------
    wait_seconds
        Maximum time to wait for another run to end; 0 does not wait.

    Raises
    ------
    RunInProgressError
        Another run still holds the lock; the message names its process and its start.
    StorageError
        The lock file cannot be written.
    """
    from filelock import FileLock, Timeout

    path = settings.var / "locks" / f"{model}.lock"
    # One object per path, so that a flow that holds the lock can call another flow that acquires it.
    lock = FileLock(path, is_singleton=True)
    try:
        make_var(settings)
        path.parent.mkdir(exist_ok=True)
        lock.acquire(timeout=wait_seconds)
    except Timeout as error:
        raise RunInProgressError(
            f"another run holds the model {model!r}: {_holder(path)}. Wait for it (--wait SECONDS) or end that "
            "process, then run again"
        ) from error
    except OSError as error:
        raise StorageError(f"the lock {path} cannot be acquired: {error.strerror or error}") from error
    try:
        with storage_errors():
            _sign(path)
        yield
    finally:
        lock.release()


def _sign(path: Path) -> None:
    # In a file beside the lock file, which a process that tries to lock may truncate.
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    since = datetime.now(UTC).isoformat(timespec="seconds")
    temporary.write_text(json.dumps({"pid": os.getpid(), "since": since}))
    temporary.replace(path.with_suffix(".json"))


def _holder(path: Path) -> str:
    try:
        signed = json.loads(path.with_suffix(".json").read_text())
        return f"process {signed['pid']}, since {signed['since']}"
    except (OSError, ValueError, KeyError):
        return "a process that has just started"
