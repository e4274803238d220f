"""Results of validations, kept for later trainings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from config.settings import Settings
from core.references import ExpectationOutcome, Snapshot, StagedRows, ValidationResult
from tasks.validation.results import RESULT, batch_results, keep_result, newest_page
from tasks.validation.validate import PAGE, report_folder

OUTCOME = ExpectationOutcome("ages are adult", "expect_x", "age", "row", False, 2, "17")


def _validated(settings: Settings, fingerprint: str) -> ValidationResult:
    folder = report_folder("credit", fingerprint, settings)
    folder.mkdir(parents=True)
    (folder / PAGE).write_text("<p>")
    rows = StagedRows(Path("rows.parquet"), 8, "rows.csv", fingerprint)
    return ValidationResult(True, ("ü set aside",), 10, 2, rows, None, folder / PAGE, (OUTCOME,))


def _snapshot(settings: Settings, *names: str) -> Snapshot:
    folder = settings.var / "snapshot"
    folder.mkdir(parents=True)
    for name in names:
        (folder / f"{name}.parquet").touch()
    return Snapshot("credit", "v", folder, 10, len(names))


def test_a_result_is_found_by_its_batch(project: Settings) -> None:
    """In the order of the batches; one that was ingested elsewhere says so instead."""
    keep_result(_validated(project, "b" * 12))
    first, second = batch_results(_snapshot(project, f"0002-{'b' * 12}", f"0001-{'a' * 12}"), project)
    assert (first["batch"], first["reasons"]) == (
        f"0001-{'a' * 12}",
        ["validated when it was ingested on another machine"],
    )
    assert (second["batch"], second["reasons"], second["n_quarantined"]) == (f"0002-{'b' * 12}", ["ü set aside"], 2)
    assert second["outcomes"][0]["observed"] == "17"


def test_a_repeat_replaces_the_result(project: Settings) -> None:
    """And leaves no other file beside it."""
    result = _validated(project, "b" * 12)
    keep_result(result)
    keep_result(replace(result, n_rows=11))
    assert batch_results(_snapshot(project, f"0001-{'b' * 12}"), project)[0]["n_rows"] == 11
    assert {path.name for path in result.docs.parent.iterdir()} == {PAGE, RESULT}


def test_the_newest_page_is_that_of_the_newest_batch_with_one(project: Settings) -> None:
    """A later batch from another machine has none."""
    snapshot = _snapshot(project, f"0001-{'a' * 12}", f"0002-{'b' * 12}", f"0003-{'c' * 12}")
    assert newest_page(snapshot, project) is None
    pages = [_validated(project, letter * 12).docs for letter in "ab"]
    assert newest_page(snapshot, project) == pages[1]
