"""The reference of one training: what it is called, what it is made from, where it works."""

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
        The data version it trains on.
    lineage
        What decides the result; ``lineage.run_key`` names the run: the same key gives the same version.
    folder
        Where it writes; emptied when the run begins.
    """

    config: ModelConfig
    snapshot: Snapshot
    lineage: Lineage
    folder: Path
