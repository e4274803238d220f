"""Read a model's source for an ingestion: in the flow, or before it, while the flow's server starts."""

from __future__ import annotations

import shutil
from contextlib import suppress

from config.load import load_model_config
from config.schema import ModelConfig
from config.settings import Settings
from core.errors import PerennialError
from core.references import StagedRows
from tasks.source.stage import stage_rows
from tasks.validation.expectations import read_suite
from tasks.versions.versions import has_batches, read_before

_ahead: list[tuple[ModelConfig, StagedRows]] = []
"""What this process has staged before its flow run: at most one model's rows."""


def stage(config: ModelConfig, settings: Settings) -> StagedRows:
    """Read the source into a typed file, unless this process has just done so; a repeat starts from an empty folder.

    The caller holds the model.

    Raises
    ------
    PerennialError
        The suite does not fit the model file, or the rows cannot be read or do not fit it.
    """
    read = _ahead.pop() if _ahead else None
    if read is not None and read[0] == config and (read[1].path.exists() or not read[1].has_rows):
        return read[1]
    # A suite that does not fit the model file is found here, not after gigabytes were read.
    read_suite(config, settings)
    work = settings.var / "work" / config.model
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    before, later = read_before(config, settings), has_batches(config, settings)
    return stage_rows(config, settings, work, before, needs_labels=not later)


def stage_ahead(model: str, overrides: dict[str, str] | None, settings: Settings) -> None:
    """Stage rows for a flow run of this process, which finds them; what fails here is left to the run.

    The caller holds the model until the run has ended.

    Parameters
    ----------
    overrides
        Dotted paths and values, as for :func:`config.load.load_model_config`.
    """
    _ahead.clear()
    with suppress(PerennialError):
        config = load_model_config(settings.root, model, overrides)
        _ahead.append((config, stage(config, settings)))
