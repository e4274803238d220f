"""The plan of a scoring: everything that its result depends on, written down before the first row is scored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from core.errors import ConfigError
from core.feature_contract import FeatureContract
from core.score.addresses import OutputKind, output_kind
from core.score.cells import Wanted, wanted_columns
from core.score.ids import identity
from core.score.parts import Part

_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class ScoringRequest:
    """What was asked for.

    Parameters
    ----------
    model
        Name of the model.
    input, output
        Addresses, see :mod:`core.score.addresses`.
    version
        The version to score with; None for the champion at the start of the run.
    at
        The predictions' time, ISO 8601; None for the moment from which input and version both existed.
    features
        Whether the output repeats the features.
    """

    model: str
    input: str
    output: str
    version: int | None = None
    at: str | None = None
    features: bool = False

    @property
    def kind(self) -> OutputKind:
        """Kind of the output."""
        return output_kind(self.output)


@dataclass(frozen=True)
class InputFile:
    """A file of an input, as it was at a time.

    Parameters
    ----------
    path
        The file.
    shown
        Its name in messages, without credentials.
    state
        Size, modification time, inode and change time when it was planned.
    """

    path: Path
    shown: str
    state: str


@dataclass(frozen=True)
class ScoringPlan:
    """A scoring that may be started, resumed and published.

    Parameters
    ----------
    request
        What was asked for.
    version, manifest
        The version that scores, and the SHA-256 of its bundle's manifest.
    run
        Identity of the predictions: of model, version, bundle, the input's content and how it is read.
    input_sha256
        Digest of the input's content.
    at
        The predictions' time, with time zone.
    files
        The files that are read: the input's, or a copy of its rows.
    own
        The input's own files on this machine when they were planned; a run that was stopped goes on only with these.
    columns
        Names of the columns that are read.
    missing, time, trusted
        Texts that mean no value; the time column; types that may be loaded (see ``training.trusted_types``).
    parts
        Consecutive rows that are scored independently.
    """

    request: ScoringRequest
    version: int
    manifest: str
    run: str
    input_sha256: str
    at: datetime
    files: tuple[InputFile, ...]
    own: tuple[InputFile, ...]
    columns: tuple[str, ...]
    missing: tuple[str, ...]
    time: str | None
    trusted: tuple[str, ...]
    parts: tuple[Part, ...]

    @property
    def id(self) -> str:
        """Identity of the predictions in this output."""
        return identity(self.run, self.request.output, self.request.features)

    @property
    def n_rows(self) -> int:
        """Rows of the input."""
        return sum(part.n_rows for part in self.parts)

    def wanted(self, contract: FeatureContract) -> tuple[Wanted, ...]:
        """Return the columns that are read, in order."""
        return wanted_columns(contract, self.time, self.columns)


def run_identity(
    request: ScoringRequest, version: int, manifest: str, input_sha256: str, reading: Sequence[object]
) -> str:
    """Return the identity of the predictions of a run: the same input scored by the same version has the same.

    Parameters
    ----------
    request
        What was asked for.
    version, manifest
        The version that scores, and the SHA-256 of its bundle's manifest.
    input_sha256
        Digest of the input's content.
    reading
        What determines how cells are read, as values that JSON can hold.
    """
    return identity(request.model, version, manifest, input_sha256, request.at, list(reading))


def given_time(text: str) -> datetime:
    """Return the time that a request gives, in UTC; without an offset it is UTC.

    Raises
    ------
    ConfigError
        It is not ISO 8601, or before 1970, from which the ids of predictions count.

    Examples
    --------
    >>> given_time("2026-03-01T12:30+02:00").isoformat()
    '2026-03-01T10:30:00+00:00'
    """
    try:
        given = datetime.fromisoformat(text)
        moment = (given if given.tzinfo else given.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:  # no such time, or in UTC not of the years 1 to 9999
        raise _wrong_time(text) from error
    if moment < _EARLIEST:
        raise _wrong_time(text)
    return moment


def _wrong_time(text: str) -> ConfigError:
    return ConfigError(
        f"--at expects a time such as 2026-03-01 or 2026-03-01T12:30+02:00, from 1970 on, found {text!r}"
    )


def time_of_predictions(request: ScoringRequest, registered: datetime, changed_ns: int) -> datetime:
    """Return the time that all predictions of a run carry: that of the request, else when input and version existed.

    It does not depend on when the run started, so that a resumed run gives the same bytes.

    Parameters
    ----------
    request
        What was asked for; its time, if any, is a valid ISO 8601 text.
    registered
        When the version was registered, with time zone.
    changed_ns
        Newest modification of the input, nanoseconds since 1970; 0 if it is not known.
    """
    if request.at is not None:
        moment = given_time(request.at)
    else:
        moment = max(registered, datetime.fromtimestamp(changed_ns // 1_000_000 / 1000, UTC)).astimezone(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
