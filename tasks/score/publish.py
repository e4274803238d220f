"""Put the parts of a scoring together, give the output its name, and record where it is."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from config.settings import Settings
from core.errors import SourceError
from core.score.addresses import suffix_of
from core.score.outcome import PartResult, ScoreOutcome
from core.score.plan import ScoringPlan
from core.storage_failure import storage_errors
from core.text import counted
from store.database import open_database
from store.scored.batches import ScoredBatch, record_scored_batch
from tasks.registry.bundle_files import file_sha256
from tasks.score.staging import (
    PARTS,
    RESULT,
    digest_of_files,
    is_unchanged,
    read,
    remove,
    staging_folder,
    written,
)
from tasks.score.targets import Target, target_of
from tasks.source.files import without_credentials

if TYPE_CHECKING:
    import pyarrow as pa

WHOLE = "whole"
SET_ASIDE = "set-aside"

_log = logging.getLogger("perennial.score")


def part_name(number: int, suffix: str) -> str:
    """Return the name of a part's output file."""
    return f"part-{number:05}{suffix}"


def set_aside_name(number: int, suffix: str) -> str:
    """Return the name of the file with a part's rows that were set aside."""
    return f"set-aside-{number:05}{suffix}"


def publish(plan: ScoringPlan, results: Sequence[PartResult], settings: Settings) -> ScoreOutcome:
    """Give the output its name and record it; a repeat after a kill at any point ends with the same output.

    Parameters
    ----------
    plan
        The plan.
    results
        Results of all its parts, in order.
    settings
        Settings of the project.

    Raises
    ------
    SourceError
        The input was changed while it was read.
    StorageError
        A disk or a database failed.
    """
    folder, target = staging_folder(plan.request, settings), target_of(plan.request, settings)
    outcome = read(ScoreOutcome, folder / RESULT)
    if outcome is None:
        _refuse_changed(plan)
        outcome = written(_assembled(plan, results, folder, target), ScoreOutcome, folder / RESULT)
    if outcome.set_aside is not None:
        target.put_set_aside(plan, folder / f"{SET_ASIDE}{suffix_of(plan.request.kind)}")
    if not target.holds(plan, outcome.sha256):
        target.put(plan, folder / WHOLE)
    record_scored_batch(open_database(settings.database_url), _entry(plan, outcome))
    remove(folder)
    _log.info("scored %s rows, set %s aside", f"{outcome.n_scored:,}", f"{outcome.n_set_aside:,}")
    return outcome


def recorded_outcome(found: ScoredBatch) -> ScoreOutcome:
    """Return the outcome of a scoring whose output is there, unchanged."""
    return ScoreOutcome(
        model=found.model,
        status="unchanged",
        version=found.version,
        id=found.id,
        run=found.run,
        input=found.input,
        output=found.output,
        set_aside=found.set_aside,
        n_rows=found.n_rows,
        n_scored=found.n_scored,
        n_set_aside=found.n_set_aside,
        sha256=found.output_sha256,
        predicted_at=found.predicted_at.isoformat(),
        reasons=(f"the output holds these predictions already, since {found.recorded_at:%Y-%m-%d %H:%M} UTC",),
    )


def _refuse_changed(plan: ScoringPlan) -> None:
    for file in plan.files:
        if not is_unchanged(file):
            raise SourceError(f"{file.shown} was changed while it was scored; run again when it is complete")


def _assembled(plan: ScoringPlan, results: Sequence[PartResult], folder: Path, target: Target) -> ScoreOutcome:
    n_scored, n_set_aside = (sum(getattr(one, name) for one in results) for name in ("n_scored", "n_set_aside"))
    if n_scored + n_set_aside != plan.n_rows:
        raise AssertionError(f"{plan.n_rows} rows in, {n_scored} out and {n_set_aside} set aside")
    suffix = suffix_of(plan.request.kind)
    parts, whole = folder / PARTS, folder / WHOLE
    names = [part_name(one.number, suffix) for one in results]
    with storage_errors(folder):
        if plan.request.kind in ("folder", "sql"):
            _gathered(parts, names, whole)
            sha256 = digest_of_files({name: one.files[name] for one, name in zip(results, names, strict=True)})
        else:
            _joined([parts / name for name in names], whole)
            sha256 = results[0].files[names[0]] if len(results) == 1 else file_sha256(whole)
        refused = [parts / name for one in results if (name := set_aside_name(one.number, suffix)) in one.files]
        if refused:
            _joined(refused, folder / f"{SET_ASIDE}{suffix}")
    return ScoreOutcome(
        model=plan.request.model,
        status="scored",
        version=plan.version,
        id=plan.id,
        run=plan.run,
        input=without_credentials(plan.request.input),
        output=target.shown,
        set_aside=target.set_aside(plan) if refused else None,
        n_rows=plan.n_rows,
        n_scored=n_scored,
        n_set_aside=n_set_aside,
        sha256=sha256,
        predicted_at=plan.at.isoformat(),
        reasons=_reasons(n_scored, n_set_aside),
    )


def _reasons(n_scored: int, n_set_aside: int) -> tuple[str, ...]:
    scored = f"scored {counted(n_scored, 'row')}"
    if not n_set_aside:
        return (scored,)
    return (scored, f"set {counted(n_set_aside, 'row')} aside that the feature contract refuses")


def _gathered(parts: Path, names: Sequence[str], whole: Path) -> None:
    """Give the parts a second name in a folder of their own: a repeat needs them where they were."""
    temporary = whole.with_name(f".{whole.name}.tmp")
    temporary.mkdir(exist_ok=True)
    for name in names:
        if not (temporary / name).exists():
            _name_again(parts / name, temporary / name)
    if not whole.exists():
        temporary.replace(whole)


def _joined(files: Sequence[Path], whole: Path) -> None:
    """Join files into one, in order."""
    temporary = whole.with_name(f".{whole.name}.tmp")
    if len(files) == 1:
        temporary.unlink(missing_ok=True)
        _name_again(files[0], temporary)
    elif files[0].suffix == ".csv":
        _join_texts(files, temporary)
    else:
        _join_tables(files, temporary)
    temporary.replace(whole)


def _name_again(path: Path, name: Path) -> None:
    """Give a file a second name, or a copy where the file system has no links."""
    try:
        os.link(path, name)
    except OSError:
        shutil.copyfile(path, name)


def _join_texts(files: Sequence[Path], whole: Path) -> None:
    with whole.open("wb") as out:
        for place, file in enumerate(files):
            with file.open("rb") as stream:
                if place:
                    stream.readline()  # the line of column names, in which no name has a line break
                shutil.copyfileobj(stream, out, 1 << 20)


def _join_tables(files: Sequence[Path], whole: Path) -> None:
    import pyarrow.parquet as pq

    from tasks.score.part import parquet_writer

    with parquet_writer(whole, pq.read_schema(files[0])) as writer:
        for group in _row_groups(files):
            writer.write_table(group, row_group_size=max(1, group.num_rows))


def _row_groups(files: Sequence[Path]) -> Iterator[pa.Table]:
    import pyarrow.parquet as pq

    for file in files:
        with pq.ParquetFile(file) as parquet:
            for number in range(parquet.num_row_groups):
                yield parquet.read_row_group(number)


def _entry(plan: ScoringPlan, outcome: ScoreOutcome) -> ScoredBatch:
    return ScoredBatch(
        id=plan.id,
        model=plan.request.model,
        version=plan.version,
        manifest=plan.manifest,
        run=plan.run,
        input=outcome.input,
        input_sha256=plan.input_sha256,
        output=outcome.output,
        output_sha256=outcome.sha256,
        set_aside=outcome.set_aside,
        features=plan.request.features,
        n_rows=outcome.n_rows,
        n_scored=outcome.n_scored,
        n_set_aside=outcome.n_set_aside,
        predicted_at=plan.at,
        recorded_at=datetime.now(UTC),
    )
