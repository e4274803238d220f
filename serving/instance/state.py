"""The state to serve, as one file that the follower writes and every worker reads.

The file and the local bundles are all that a cold start needs: without the database and MLflow, the service continues
with the versions that it served last.
"""

from __future__ import annotations

import os
import threading
from datetime import datetime
from pathlib import Path
from typing import Literal

import msgspec

from core.errors import StorageError
from core.references import Variant
from store.key_text import ApiKey

STATE = "state.json"


class DriftSummary(msgspec.Struct, frozen=True):
    """Drift of a model's newest window, see :class:`core.drift.verdict.DriftVerdict`."""

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
    """A metric of the newest window, ``realised`` (with labels) or ``estimated`` (without), and its holdout value."""

    kind: Literal["realised", "estimated"]
    metric: str
    value: float | None
    reference: float | None


class ReleasedState(msgspec.Struct, frozen=True):
    """A running release, and the version that is loaded beside the champion.

    Parameters
    ----------
    number, stage, share
        The release, its stage, and the percentage of requests that the released version answers: 0 in the shadow.
    salt
        Text that the requests of the share are drawn with.
    version, manifest, folder, data_version, trusted
        The other version, as in :class:`ModelState`: the challenger, or the champion before while the release bakes.
    since
        When the stage began, in ISO 8601.
    paused
        Whether a person stopped it from moving on.
    look
        JSON text of the newest look; empty if there was none.
    trouble
        Why the other version is not loaded; None if it is.
    """

    number: int
    stage: Literal["shadow", "step", "bake"]
    share: int
    salt: str
    version: int
    manifest: str
    folder: str
    data_version: str
    since: str
    trusted: tuple[str, ...] = ()
    paused: bool = False
    look: str = ""
    trouble: str | None = None


class ModelState(msgspec.Struct, frozen=True):
    """A version to serve.

    Parameters
    ----------
    name, version, variant
        Identify the version in answers, log and metrics.
    sequence, since, by, reason
        Its tenure: number, start in ISO 8601, actor, and reason.
    manifest, folder
        SHA-256 of its bundle's manifest, and the folder of the private copy.
    data_version
        The data version that it was trained on.
    trusted
        Types that its pipeline may contain in addition to the built-in list.
    drift
        Drift of the newest window; None if none was measured.
    trouble
        Why a newer champion is not served; None if there is none.
    release
        The running release; None if none runs.
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
    release: ReleasedState | None = None


class ServiceState(msgspec.Struct, frozen=True):
    """The state that all workers follow.

    Parameters
    ----------
    models
        Versions to serve, in the order of their names.
    keys
        API keys that are not revoked.
    trouble
        Models of which no version can be served, each with the reason.
    """

    models: tuple[ModelState, ...] = ()
    keys: tuple[ApiKey, ...] = ()
    trouble: dict[str, str] = {}


def write_state(folder: Path, state: ServiceState) -> None:
    """Replace the state atomically, in a file that only its owner can read.

    Raises
    ------
    StorageError
        The disk is full or not writable.
    """
    # A thread that hangs may go on with its own file when another one has taken over.
    part = folder / f"{STATE}.{os.getpid()}.{threading.get_ident()}.part"
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(msgspec.json.encode(state))
            file.flush()
            os.fsync(file.fileno())
        part.replace(folder / STATE)
    except OSError as error:
        raise StorageError(
            f"{folder / STATE} cannot be written: {error}; free disk space or fix its permissions"
        ) from error


def read_state(folder: Path) -> ServiceState | None:
    """Read the state; None if there is none yet.

    Raises
    ------
    StorageError
        It cannot be read, or is damaged.
    """
    try:
        return msgspec.json.decode((folder / STATE).read_bytes(), type=ServiceState)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise StorageError(
            f"{folder / STATE} cannot be read: {error}; delete it, and the service writes a new one"
        ) from error


def state_stamp(folder: Path) -> tuple[int, int] | None:
    """Return the inode and modification time, which change with every write; None if there is no state."""
    try:
        found = (folder / STATE).stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns
