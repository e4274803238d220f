"""Validate staged rows by the model's suite before they are versioned."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from config.schema import ModelConfig
from config.settings import Settings
from core.data.batch_verdict import BatchVerdict, batch_verdict
from core.errors import ConfigError, SchemaError, StorageError
from core.references import ExpectationOutcome, StagedRows, ValidationResult
from core.storage_failure import storage_errors
from core.text import readable
from tasks.reports.validation import PageFacts, validation_page
from tasks.validation.evaluation import Evaluation, evaluation
from tasks.validation.expectations import Expected, read_suite
from tasks.validation.pushdown import Pushdown
from tasks.validation.quarantine import replaced, write_accepted, write_quarantine
from tasks.validation.wording import n_unexpected, observed, raised, sentence, traceback

ACCEPTED = "accepted.parquet"
QUARANTINE = "quarantine.parquet"
PAGE = "index.html"

_logger = logging.getLogger("perennial.validate")


@dataclass(frozen=True)
class _Findings:
    """Results of a suite on a batch, and the verdict."""

    expected: tuple[Expected, ...]
    outcomes: tuple[ExpectationOutcome, ...]
    n_failing: int
    verdict: BatchVerdict

    @property
    def reasons(self) -> dict[int, str]:
        """Text per position of the expectations whose failing rows were collected."""
        failed = enumerate(zip(self.expected, self.outcomes, strict=True))
        return {position: _reason(*both) for position, both in failed if both[1].level == "row" and not both[1].passed}


def validate_rows(rows: StagedRows, config: ModelConfig, settings: Settings, work: Path) -> ValidationResult:
    """Validate staged rows by the model's suite, set failing rows aside, and write the page.

    Failing rows and the page are written to ``var/reports/<model>/validation/<fingerprint>/``, the accepted rows to
    ``work``. The accepted rows keep the fingerprint of the source's rows, so that the same source is recognised. A
    repeat writes the same files again; an interrupted call leaves no file under a final name.

    Raises
    ------
    ConfigError
        The suite is missing or malformed, names an undeclared column, or has an expectation the engine cannot evaluate.
    SchemaError
        Two columns differ only in upper and lower case.
    StorageError
        The disk is full or the memory limit too small.
    """
    expected = read_suite(config, settings)
    _refuse_names_alike(rows)
    folder = report_folder(config.model, rows.fingerprint, settings)
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with evaluation(rows.path, expected, rows.source, settings, work) as evaluated:
        found = _findings(evaluated, rows.n_rows, config)
        quarantine = _keep_quarantine(evaluated.pushdown, rows, folder, found, config)
        remaining = _remaining(evaluated.pushdown, rows, found, work, config)
    page = _write_page(rows, found, quarantine, folder, config)
    _logger.info("%s", _log_line(rows, found))
    return ValidationResult(
        accepted=found.verdict.accepted,
        reasons=found.verdict.reasons,
        n_rows=rows.n_rows,
        n_quarantined=found.n_failing,
        rows=remaining,
        quarantine=quarantine,
        docs=page,
        outcomes=found.outcomes,
    )


def report_folder(model: str, fingerprint: str, settings: Settings) -> Path:
    """Folder of one validation: its page and the rows set aside."""
    return settings.var / "reports" / model / "validation" / fingerprint[:12]


def _refuse_names_alike(rows: StagedRows) -> None:
    import pyarrow.parquet as pq

    # DuckDB does not distinguish "Age" from "age" and would validate the wrong column.
    seen: dict[str, str] = {}
    for column in pq.read_schema(rows.path).names:
        other = seen.setdefault(column.lower(), column)
        if other != column:
            raise SchemaError(
                f"{rows.source}: columns {other!r} and {column!r} differ only in upper and lower case; rename one"
            )


def _findings(evaluated: Evaluation, n_rows: int, config: ModelConfig) -> _Findings:
    together = enumerate(zip(evaluated.expected, evaluated.results, strict=True))
    outcomes = tuple(
        _outcome(expected, result, evaluated.judges_rows(position), n_rows) for position, (expected, result) in together
    )
    refused = any(outcome.level == "schema" and not outcome.passed for outcome in outcomes)
    failed = {
        position: evaluated.results[position]
        for position, outcome in enumerate(outcomes)
        if not refused and outcome.level == "row" and not outcome.passed
    }
    n_failing = evaluated.collect_failing_rows(failed) if failed else 0
    verdict = batch_verdict(outcomes, n_rows, n_failing, config.validation.max_quarantine)
    return _Findings(tuple(evaluated.expected), outcomes, n_failing, verdict)


def _outcome(expected: Expected, result: Any, judges_rows: bool, n_rows: int) -> ExpectationOutcome:
    if raised(result):
        _raise_other_failures(expected, result)
    members = expected.kwargs.get("value_set") if expected.kind == "expect_column_values_to_be_in_set" else None
    counts_rows = judges_rows and not raised(result)
    return ExpectationOutcome(
        description=sentence(expected, result),
        kind=expected.kind,
        column=expected.column,
        # An expectation that could not be evaluated gives no failing rows: the suite does not fit the batch.
        level="schema" if raised(result) else expected.level,
        passed=bool(result.success),
        n_unexpected=n_unexpected(result) if counts_rows else 0,
        observed=observed(result, counts_rows, n_rows, members or ()),
    )


def _raise_other_failures(expected: Expected, result: Any) -> None:
    """Raise an error if the cause is the suite or the machine, not the rows."""
    message, details = raised(result), traceback(result)
    if "OutOfMemoryException" in details:
        raise StorageError(
            f"{expected.place} needs more memory than allowed; raise PERENNIAL_MEMORY_LIMIT_MB ({message})"
        )
    if "_duckdb.IOException" in details:
        raise StorageError(f"{expected.place} could not be evaluated: {message}; free space, then run the same again")
    if "_duckdb.ParserException" in details or "_duckdb.ParserException" in message:
        # No row has a part in whether a query is SQL.
        raise ConfigError(
            f"{expected.place} cannot be evaluated, its query is not valid SQL ({readable(message, 300)})"
        )
    if "not supported for dialect" in message or "No provider found" in message:
        raise ConfigError(
            f"{expected.place} cannot be evaluated on DuckDB ({message}); write it as an unexpected_rows_expectation, "
            "for example with the query: FROM {batch} WHERE NOT regexp_matches(column, 'pattern')"
        )


def _reason(expected: Expected, outcome: ExpectationOutcome) -> str:
    return f"{outcome.description} (another copy is kept)" if expected.is_uniqueness else outcome.description


def _keep_quarantine(
    pushdown: Pushdown, rows: StagedRows, folder: Path, found: _Findings, config: ModelConfig
) -> Path | None:
    path = folder / QUARANTINE
    if found.n_failing == 0:
        path.unlink(missing_ok=True)
        return None
    write_quarantine(pushdown, rows.path, path, found.reasons, config)
    return path


def _remaining(pushdown: Pushdown, rows: StagedRows, found: _Findings, work: Path, config: ModelConfig) -> StagedRows:
    path = work / ACCEPTED
    if found.n_failing == 0 or not found.verdict.accepted:
        path.unlink(missing_ok=True)
        return rows
    write_accepted(pushdown, rows.path, path, config)
    return replace(rows, path=path, n_rows=rows.n_rows - found.n_failing)


def _write_page(rows: StagedRows, found: _Findings, quarantine: Path | None, folder: Path, config: ModelConfig) -> Path:
    whys = tuple(one.why for one in found.expected)
    facts = PageFacts(config, rows, found.verdict, found.outcomes, whys, found.n_failing, quarantine)
    page = folder / PAGE
    with replaced(page) as temporary:
        temporary.write_text(validation_page(facts), encoding="utf-8")
    return page


def _log_line(rows: StagedRows, found: _Findings) -> str:
    if not found.verdict.accepted:
        return f"refused {rows.n_rows:,} rows: {found.verdict.reasons[0].removeprefix('refused: ')}"
    return f"validated {rows.n_rows:,} rows: {found.n_failing:,} set aside"
