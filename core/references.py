"""What travels between tasks: small frozen values that name things, never the things themselves."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Variant = Literal["champion"]
"""What a version that is served is to its model."""


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
        What people call the origin (a path, an address without credentials, a data set's name).
    fingerprint
        Order-insensitive hash of the rows' content, hex.
    undeclared
        Columns the source has and the contract does not name; they were left behind.
    """

    path: Path
    n_rows: int
    source: str
    fingerprint: str
    undeclared: tuple[str, ...] = ()


@dataclass(frozen=True)
class ExpectationOutcome:
    """What one expectation found.

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
        Whether it held.
    n_unexpected
        Rows that failed it, 0 where it does not speak of rows.
    observed
        What was seen, as short text.
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
        Sentences for people: why refused, or what was set aside.
    n_rows
        Rows looked at.
    n_quarantined
        Rows set aside.
    rows
        The rows that remain (the staged file itself where none was set aside).
    quarantine
        The Parquet file of rows set aside, with a column ``reason``; None where there are none.
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
class Batch:
    """One immutable file of a model's data, ``data/<model>/<name>.parquet``."""

    model: str
    name: str
    n_rows: int
    fingerprint: str
    is_new: bool


@dataclass(frozen=True)
class DataVersion:
    """The DVC hash of a model's data at one moment.

    Parameters
    ----------
    model
        Name of the model.
    version
        Hash of the folder ``data/<model>`` as DVC computes it: 32 hex digits and ``.dir``.
    n_rows, n_batches, size_bytes
        What it holds.
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
    """A data version laid out read-only for a run, never the working copy."""

    model: str
    version: str
    path: Path
    n_rows: int
    n_batches: int


@dataclass(frozen=True)
class Lineage:
    """What a model was made from, as recorded with its version."""

    run_key: str
    data_version: str
    config_hash: str
    code_version: str
    lock_hash: str
    git_commit: str
    git_dirty: bool
    data_pointer: str = field(repr=False)
    trigger: str
