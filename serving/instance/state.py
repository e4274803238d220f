"""What is to be served, as one file that the follower writes and every worker reads.

The file and the bundles beside it are all a cold start needs: with the database and MLflow gone, the service goes on
with what it served last.
"""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import Literal

import msgspec

from core.errors import StorageError
from core.references import Variant
from store.api_keys import ApiKey

STATE = "state.json"


class DriftSummary(msgspec.Struct, frozen=True):
    """What the newest window of a model showed, see :class:`core.drift.verdict.DriftVerdict`."""

    status: Literal["ok", "watch", "drift", "insufficient"]
    champion: int
    n_rows: int
    measured_at: str
    importance_share: float
    psi: dict[str, float]
    performance: list[PerformanceSummary]

    @property
    def moment(self) -> datetime:
        """When it was measured."""
        return datetime.fromisoformat(self.measured_at)


class PerformanceSummary(msgspec.Struct, frozen=True):
    """A metric of the newest window, ``realised`` from labels or ``estimated`` without, beside that of the holdout."""

    kind: Literal["realised", "estimated"]
    metric: str
    value: float | None
    reference: float | None


class ModelState(msgspec.Struct, frozen=True):
    """A version that is to be served.

    Parameters
    ----------
    name, version, variant
        What answers it.
    sequence, since, by, reason
        Its entry in the history of champions: number, moment in ISO 8601, by what, and why.
    manifest, folder
        SHA-256 of its bundle's manifest, and where the private copy lies.
    data_version
        It was trained on.
    trusted
        Types that its pipeline may hold beside those on our list.
    drift
        Of the newest window; None where none was measured.
    trouble
        Why a newer champion is not served; None where there is none.
    """

    name: str
    version: int
    variant: Variant
    sequence: int
    since: str
    by: str
    reason: str
    manifest: str
    folder: str
    data_version: str
    trusted: tuple[str, ...] = ()
    drift: DriftSummary | None = None
    trouble: str | None = None


class ServiceState(msgspec.Struct, frozen=True):
    """Everything the workers follow.

    Parameters
    ----------
    models
        In the order of their names.
    keys
        Those that are not revoked.
    trouble
        Model and why its champion cannot be served, where no version of it is.
    """

    models: tuple[ModelState, ...] = ()
    keys: tuple[ApiKey, ...] = ()
    trouble: dict[str, str] = {}


def write_state(folder: Path, state: ServiceState) -> None:
    """Put a state in the place of the one before, at once and for nobody else's eyes.

    Raises
    ------
    StorageError
        The disk is full or not writable.
    """
    part = folder / f"{STATE}.{os.getpid()}.part"
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(msgspec.json.encode(state))
            file.flush()
            os.fsync(file.fileno())
        part.replace(folder / STATE)
    except OSError as error:
        raise StorageError(f"{folder / STATE} cannot be written: {error}; free the disk") from error


def read_state(folder: Path) -> ServiceState | None:
    """Read the state; None where there is none yet.

    Raises
    ------
    StorageError
        It cannot be read, or is not what was written.
    """
    try:
        return msgspec.json.decode((folder / STATE).read_bytes(), type=ServiceState)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise StorageError(f"{folder / STATE} cannot be read: {error}; delete it, and it is written anew") from error


def state_stamp(folder: Path) -> tuple[int, int] | None:
    """Return what changes whenever the state is written: inode and time; None where there is no state."""
    try:
        found = (folder / STATE).stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns
