"""References to a training and to its steps' results: model file, data, lineage and folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from config.schema import ModelConfig
from core.references import Lineage, Snapshot


@dataclass(frozen=True)
class TrainingRun:
    """One training of one model on one data version.

    Parameters
    ----------
    config
        The model file with its overrides.
    snapshot
        The data version that it trains on.
    lineage
        What decides the result; ``lineage.run_key`` identifies the run: the same key gives the same version.
    folder
        Folder that the run writes to; a repeat replaces its files.
    """

    config: ModelConfig
    snapshot: Snapshot
    lineage: Lineage
    folder: Path


@dataclass(frozen=True)
class FittedRun:
    """A run whose pipeline is fitted and stored in the run's folder.

    Parameters
    ----------
    run
        The training.
    """

    run: TrainingRun


@dataclass(frozen=True)
class EvaluatedRun:
    """A fitted run whose evaluation on the holdout is stored in the run's folder.

    Parameters
    ----------
    run
        The training.
    """

    run: TrainingRun
