"""An entity's rows in a model's batches, and in earlier states of them.

A batch keeps its name and the fingerprint of the rows it was written from, so an ingestion recognises its source and
recorded decisions stay valid. A batch that a registered version was trained on is not changed.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from core.erasure.outcome import Found, Removed
from core.storage_failure import write_errors
from tasks.erasure.objects import old_objects, other_copies, remove_objects, remove_snapshots
from tasks.erasure.rows import replacement, write_without
from tasks.erasure.training import TrainingData
from tasks.erasure.work import Erasure
from tasks.versions.bring_back import bring_back_missing
from tasks.versions.versions import version_data
from tasks.versions.working_copy import batch_facts, batch_hashes, batch_paths, data_folder, remove_leftovers

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_log = logging.getLogger("perennial.forget")


def erase_batches(erasure: Erasure) -> Found:
    """Remove the entity's rows from batches that no registered version was trained on; a repeat ends a killed call.

    The rewritten batches are versioned and pushed before earlier states are removed, so that ``data.dvc`` always names
    bytes that exist. The caller holds the model and keeps its readers out.

    Raises
    ------
    StorageError
        The disk, the database or the remote failed.
    """
    if not erasure.is_dry:
        bring_back_missing(erasure.model, erasure.settings)
    training = TrainingData(erasure)
    removed, going = _rewritten(erasure, training)
    objects = old_objects(erasure, training, going)
    if not erasure.is_dry and (going or objects.cached or objects.in_project):
        version_data(erasure.config, erasure.settings)
    removed += [*remove_objects(objects, erasure, training), *remove_snapshots(erasure, training)]
    return Found(tuple(removed), (*training.remaining(), *other_copies(objects, erasure, training)))


def _rewritten(erasure: Erasure, training: TrainingData) -> tuple[list[Removed], frozenset[str]]:
    """Take the entity's rows out of the working copy's batches; return them, and their MD5 from before."""
    folder, removed, going = data_folder(erasure.model, erasure.settings), list[Removed](), set[str]()
    if not erasure.is_dry:
        remove_leftovers(folder)
    hashes = batch_hashes(erasure.model, erasure.settings, erasure.engine)
    for path in batch_paths(folder):
        md5 = hashes[path.name]
        if md5 in training.objects or not training.n_rows(md5, path):
            continue
        rows = erasure.reader.rows(path)
        if not erasure.is_dry:
            _rewrite(path, rows, erasure.config.time)
        going.add(md5)
        removed.append(Removed("rows of batches", f"data/{erasure.model}/{path.name}", len(rows)))
    return removed, frozenset(going)


def _rewrite(path: Path, rows: npt.NDArray[np.int64], time: str | None) -> None:
    facts = batch_facts(path)
    # As if the source had not delivered them: the batch still holds all of its files, which are not read again.
    numbers = {"n_read": facts.n_read, "n_offered": facts.n_offered}
    notes = {name: str(number - len(rows)) for name, number in numbers.items() if number is not None}
    with write_errors(path), replacement(path) as temporary:
        write_without(path, temporary, rows, notes, time)
    _log.info("took %d rows out of %s", len(rows), path.name)
