"""References that tasks pass to each other: small frozen values that name files and versions, never frames."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Variant = Literal["champion", "challenger", "shadow"]
"""Role of a version that answers: ``challenger`` in a step of a release, ``shadow`` if no client gets its answer."""


@dataclass(frozen=True)
class DeliveredFiles:
    """Files of a source by the hashes of their content.

    Parameters
    ----------
    all
        Hash per file.
    read
        Hashes of the files that were read; the others were read before.
    reading
        Hash of how they were read: the section ``source`` but its address, and the types of the columns.
    batches
        Batches that hold exactly the rows of the files that were not read.
    n_known
        Number of rows in ``batches``.
    """

    all: tuple[str, ...] = ()
    read: tuple[str, ...] = ()
    reading: str = ""
    batches: tuple[str, ...] = ()
    n_known: int = 0

    @property
    def n_skipped(self) -> int:
        """Number of files that were not read."""
        return len(self.all) - len(self.read)


@dataclass(frozen=True)
class StagedRows:
    """Rows of a source, typed by the contract, in a Parquet file outside the versioned data.

    Parameters
    ----------
    path
        The Parquet file; its columns are exactly the declared ones, in the contract's order.
    n_rows
        Number of rows, at least 1.
    source
        Name of the origin for people: a path, an address without credentials, or the name of a data set.
    fingerprint
        Hash of the rows' content in hex, independent of their order.
    undeclared
        Columns of the source that the contract does not declare; they were dropped.
    files
        The files of the source, and which were read; empty if the source has no files.
    """

    path: Path
    n_rows: int
    source: str
    fingerprint: str
    undeclared: tuple[str, ...] = ()
    files: DeliveredFiles = DeliveredFiles()

    @property
    def has_rows(self) -> bool:
        """Whether there is a file of rows; there is none if all files of the source were read before."""
        return bool(self.files.read) or not self.files.all


@dataclass(frozen=True)
class ExpectationOutcome:
    """Outcome of one expectation.

    Parameters
    ----------
    description
        One sentence for people.
    kind
        The expectation's type, ``expect_...``.
    column
        The column, or None for the table.
    level
        ``schema`` (a failure refuses the batch), ``row`` (failing rows are set aside) or ``warning``.
    passed
        Whether the expectation was met.
    n_unexpected
        Number of rows that failed it; 0 for an expectation about the table.
    observed
        The observed value, as short text.
    """

    description: str
    kind: str
    column: str | None
    level: str
    passed: bool
    n_unexpected: int
    observed: str


@dataclass(frozen=True)
class ValidationResult:
    """Verdict on one batch.

    Parameters
    ----------
    accepted
        False refuses the batch; ``reasons`` say why.
    reasons
        Sentences for people: why the batch was refused, or which rows were set aside.
    n_rows
        Number of rows validated.
    n_quarantined
        Number of rows set aside.
    rows
        The remaining rows (the staged file itself if none was set aside).
    quarantine
        The Parquet file of rows set aside, with a column ``reason``; None if there are none.
    docs
        The HTML page of this validation.
    outcomes
        One per expectation, in the suite's order.
    """

    accepted: bool
    reasons: tuple[str, ...]
    n_rows: int
    n_quarantined: int
    rows: StagedRows
    quarantine: Path | None
    docs: Path
    outcomes: tuple[ExpectationOutcome, ...] = field(repr=False, default=())


@dataclass(frozen=True)
class RowCounts:
    """How the rows of a delivery compare with the rows of earlier batches.

    Parameters
    ----------
    n_known
        Rows that earlier batches hold already; they were left out.
    n_replaced
        Rows that replace an older row of their key.
    n_gone
        Rows of earlier batches of the same source that the delivery does not hold; they stay.
    not_compared
        Columns of the model file that some of the earlier batches lack.
    """

    n_known: int = 0
    n_replaced: int = 0
    n_gone: int = 0
    not_compared: tuple[str, ...] = ()


@dataclass(frozen=True)
class Batch:
    """One immutable file of a model's data, ``data/<model>/<name>.parquet``.

    Parameters
    ----------
    model
        Name of the model.
    name
        Name of the batch.
    n_rows
        Number of rows, at least 1.
    fingerprint
        Hash of the rows' content in hex, independent of their order.
    is_new
        Whether this run wrote the file.
    counts
        How the rows compare with those of earlier batches; not part of a batch's identity.
    """

    model: str
    name: str
    n_rows: int
    fingerprint: str
    is_new: bool
    counts: RowCounts = field(default=RowCounts(), compare=False)


@dataclass(frozen=True)
class DataVersion:
    """The DVC hash of a model's data at one time.

    Parameters
    ----------
    model
        Name of the model.
    version
        Hash of the folder ``data/<model>`` as DVC computes it: 32 hex digits and ``.dir``.
    n_rows, n_batches, size_bytes
        Number of rows, number of batches and size of all files.
    pointer
        Text of ``data.dvc`` after this version was added.
    """

    model: str
    version: str
    n_rows: int
    n_batches: int
    size_bytes: int
    pointer: str = field(repr=False, default="")


@dataclass(frozen=True)
class Snapshot:
    """A read-only copy of a data version for a run, never the working copy.

    Parameters
    ----------
    model
        Name of the model.
    version
        The data version: 32 hex digits and ``.dir``.
    path
        Folder with the batches.
    n_rows, n_batches
        Number of rows and number of batches.
    """

    model: str
    version: str
    path: Path
    n_rows: int
    n_batches: int


@dataclass(frozen=True)
class Lineage:
    """What a model was trained from, as recorded with its version.

    Parameters
    ----------
    run_key
        Hash of everything that decides the model, see :func:`core.train.run_key.run_key`.
    data_version
        The data version trained on: 32 hex digits and ``.dir``.
    config_hash, code_version, lock_hash
        Hashes of the model file's sections that decide the model, of the code, and of the locked requirements.
    git_commit, git_dirty
        Commit that was checked out, and whether the working copy had changes.
    data_pointer
        Text of ``data.dvc`` for the data version.
    trigger
        What started the training.
    """

    run_key: str
    data_version: str
    config_hash: str
    code_version: str
    lock_hash: str
    git_commit: str
    git_dirty: bool
    data_pointer: str = field(repr=False)
    trigger: str
