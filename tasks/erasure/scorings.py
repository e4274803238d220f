"""An entity's rows in outputs of batch scorings, and in what killed scorings left.

An output in the project is rewritten without the rows, and the record of its scoring follows, so that the same scoring
again still finds its output whole. An output elsewhere is the user's: it is read if it is on this machine, and named.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from config.settings import Settings
from core.erasure.outcome import Found, Remaining, Removed, together
from core.errors import RunInProgressError
from core.score.output import ID
from core.score.plan import ScoringPlan
from core.storage_failure import storage_errors
from store.erasure.rows import count_id_labels, erase_id_labels
from store.erasure.scorings import RewrittenOutput, follow_output
from store.scored.batches import ScoredBatch, scored_batches
from tasks.erasure.rows import csv_rows, replacement, temporary_of, write_without
from tasks.erasure.work import Erasure, is_in_project
from tasks.registry.bundle_files import file_sha256
from tasks.score.staging import PLAN, digest_of_files, held_output, output_digest, read, remove

ELSEWHERE = "it is outside the project: remove the rows there"
NOT_READ = "it is not on this machine's disks and was not read: remove the rows there if it has them"
RUNS = "it runs: run the command again when it has ended"

_ADDRESS = re.compile(r"\w+:")


@dataclass(frozen=True)
class _File:
    path: Path
    n_theirs: int
    n_rows: int
    ids: tuple[str, ...]


@dataclass(frozen=True)
class _Output:
    """An output with the rows that were set aside: where it is, its scorings, and its files on this machine."""

    place: str
    scorings: tuple[ScoredBatch, ...]
    aside: str | None
    files: tuple[_File, ...]

    @property
    def path(self) -> Path | None:
        """Path of an output on this machine."""
        return None if _ADDRESS.match(self.place) else Path(self.place)

    @property
    def theirs(self) -> list[_File]:
        """Files with the entity's rows."""
        return [file for file in self.files if file.n_theirs]


def erase_scorings(erasure: Erasure) -> Found:
    """Remove the entity's rows from outputs of scorings in the project, and all labels of their predictions.

    A repeat ends a killed call: the labels go before the ids that lead to them.

    Raises
    ------
    StorageError
        The disk or the database failed.
    """
    scorings = sorted(scored_batches(erasure.engine, erasure.model), key=lambda one: (one.output, one.recorded_at))
    outputs = [_output(place, (*group,), erasure) for place, group in groupby(scorings, key=lambda one: one.output)]
    theirs = [file for output in outputs for file in output.theirs]
    ids = {id_ for file in theirs for id_ in file.ids}
    n_labels = (count_id_labels if erasure.is_dry else erase_id_labels)(erasure.engine, erasure.model, sorted(ids))
    removed = [Removed("labels", "label_history", n_labels)] if n_labels else []
    removed += [Removed("scored rows", str(file.path), file.n_theirs) for file in theirs if _is_ours(file, erasure)]
    for output in outputs:
        if not erasure.is_dry and any(_is_ours(file, erasure) for file in output.theirs):
            _rewrite(output, erasure)
    return together([Found(tuple(removed), (*_left(outputs, erasure),)), _unfinished(outputs, erasure)])


def _output(place: str, scorings: tuple[ScoredBatch, ...], erasure: Erasure) -> _Output:
    aside = next((one.set_aside for one in reversed(scorings) if one.set_aside), None)
    local = [Path(one) for one in (place, aside) if one is not None and not _ADDRESS.match(one)]
    return _Output(place, scorings, aside, tuple(_looked_at(file, erasure) for path in local for file in _files(path)))


def _left(outputs: Sequence[_Output], erasure: Erasure) -> Iterator[Remaining]:
    """Yield outputs that are the user's."""
    for output in outputs:
        for file in output.theirs:
            if not _is_ours(file, erasure):
                yield Remaining("scored output", str(file.path), ELSEWHERE, file.n_theirs)
        for place in (output.place, output.aside):
            if place is not None and _ADDRESS.match(place):
                yield Remaining("scored output", place, NOT_READ)


def _rewrite(output: _Output, erasure: Erasure) -> None:
    """Rewrite files; the record follows before they have their names, so a repeat after a kill finds the same."""
    path = output.path if output.path is not None and output.path.exists() else None
    ours = [file for file in output.theirs if _is_ours(file, erasure)]
    for file in ours:
        with storage_errors(file.path):
            temporary_of(file.path).unlink(missing_ok=True)  # it would count as a file of the output
    before = None if path is None else output_digest(path)
    with ExitStack() as stack:
        written = {file.path: stack.enter_context(replacement(file.path)) for file in ours}
        for one, temporary in written.items():
            _write_without(one, temporary, erasure)
        scored = [file for file in output.files if path is not None and file.path.is_relative_to(path)]
        aside = [file for file in output.files if file not in scored]
        for scoring in output.scorings:
            if before is not None and scoring.output_sha256 != before:
                continue  # of an output that another scoring has replaced
            left = RewrittenOutput(
                scoring.output_sha256 if path is None else _digest(path, written),
                scoring.n_scored if path is None else _n_left(scored, written),
                _n_left(aside, written) if aside else scoring.n_set_aside,
            )
            follow_output(erasure.engine, erasure.id, scoring.id, left)


def _n_left(files: Sequence[_File], written: Mapping[Path, Path]) -> int:
    return sum(file.n_rows - (file.n_theirs if file.path in written else 0) for file in files)


def _digest(output: Path, written: Mapping[Path, Path]) -> str:
    if not output.is_dir():
        return file_sha256(written.get(output, output))
    temporary = {*written.values()}
    files = sorted(file for file in output.rglob("*") if file.is_file() and file not in temporary)
    return digest_of_files({str(file.relative_to(output)): file_sha256(written.get(file, file)) for file in files})


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(file for file in path.rglob("*.parquet") if not file.name.startswith("."))
    return [path] if path.is_file() and path.suffix in (".parquet", ".csv") else []


def _looked_at(path: Path, erasure: Erasure) -> _File:
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        n_theirs = len(erasure.reader.rows(path))
        ids = erasure.reader.values(path, ID) if n_theirs else []
        return _File(path, n_theirs, pq.read_metadata(path).num_rows, tuple(ids))
    n_rows, n_theirs, place, found = -1, 0, -1, []
    for _, cells, is_theirs in csv_rows(path, erasure.reader.entity):
        n_rows += 1
        if n_rows == 0:
            place = cells.index(ID) if ID in cells else -1
        elif is_theirs:
            n_theirs += 1
            found += cells[place : place + 1] if place >= 0 else []
    return _File(path, n_theirs, n_rows, tuple(found))


def _write_without(path: Path, target: Path, erasure: Erasure) -> None:
    if path.suffix == ".parquet":
        write_without(path, target, erasure.reader.rows(path), {})
        return
    with target.open("wb") as out:
        out.writelines(line for line, _, is_theirs in csv_rows(path, erasure.reader.entity) if not is_theirs)


def _is_ours(file: _File, erasure: Erasure) -> bool:
    return is_in_project(file.path, erasure.settings)


def _unfinished(outputs: Sequence[_Output], erasure: Erasure) -> Found:
    """Remove the folders of scorings that were killed: the same command then begins from the start."""
    removed: list[Removed] = []
    remaining: list[Remaining] = []
    for folder in sorted(_staging_folders(outputs, erasure.settings)):
        plan = read(ScoringPlan, folder / PLAN)
        if plan is None or plan.request.model != erasure.model:
            continue
        try:
            with held_output(plan.request, erasure.settings):
                if not erasure.is_dry:
                    remove(folder)
            removed.append(Removed("unfinished scorings", str(folder), 1))
        except RunInProgressError:
            remaining.append(Remaining("scoring", plan.request.output, RUNS))
    return Found(tuple(removed), tuple(remaining))


def _staging_folders(outputs: Sequence[_Output], settings: Settings) -> Iterator[Path]:
    parents = {settings.root, *(output.path.parent for output in outputs if output.path is not None)}
    for parent in parents:
        if parent.is_dir() and is_in_project(parent, settings):
            yield from parent.glob(".*.scoring")
    yield from (settings.var / "scoring").glob("*")
