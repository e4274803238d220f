"""One run per model at a time."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from config.settings import Settings
from core.errors import RunInProgressError, StorageError


@contextmanager
def hold_model(model: str, settings: Settings, wait_seconds: float = 0.0) -> Iterator[None]:
    """Hold a model for one run: nobody else ingests, trains or restores its data meanwhile.

    The lock is the kernel's and ends with the process, however that dies.

    Parameters
    ----------
    wait_seconds
        How long to wait for another run to end; 0 does not wait.

    Raises
    ------
    RunInProgressError
        Another run still holds the model; the message names its process and since when.
    StorageError
        The lock file cannot be written.
    """
    from filelock import FileLock, Timeout

    path = settings.var / "locks" / f"{model}.lock"
    # One object per path: a flow that holds the model may call another flow that does.
    lock = FileLock(path, is_singleton=True)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=wait_seconds)
    except Timeout as error:
        raise RunInProgressError(
            f"another run holds the model {model!r}: {_holder(path)}. Wait for it to end, or end it, then run again"
        ) from error
    except OSError as error:
        raise StorageError(f"the lock {path} cannot be taken: {error.strerror or error}") from error
    try:
        _sign(path)
        yield
    finally:
        lock.release()


def _sign(path: Path) -> None:
    # Beside the lock file, not in it: a process that tries to lock may truncate that one.
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    since = datetime.now(UTC).isoformat(timespec="seconds")
    temporary.write_text(json.dumps({"pid": os.getpid(), "since": since}))
    temporary.replace(path.with_suffix(".json"))


def _holder(path: Path) -> str:
    try:
        signed = json.loads(path.with_suffix(".json").read_text())
        return f"process {signed['pid']}, since {signed['since']}"
    except (OSError, ValueError, KeyError):
        return "a process that has only just started"
