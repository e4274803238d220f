"""What the parts of an erasure share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine

from config.schema import ModelConfig
from config.settings import Settings
from tasks.erasure.rows import KeyReader


@dataclass(frozen=True)
class Erasure:
    """An erasure in progress.

    Parameters
    ----------
    config, settings, engine
        The model file, the project's settings and its operational database.
    reader
        Finds the entity's rows.
    id
        Id of its record; empty for a dry run, which changes nothing.
    """

    config: ModelConfig
    settings: Settings
    engine: Engine
    reader: KeyReader
    id: str = ""

    @property
    def model(self) -> str:
        """Name of the model."""
        return self.config.model

    @property
    def key(self) -> str:
        """The entity's key."""
        return self.reader.entity.key

    @property
    def is_dry(self) -> bool:
        """Whether nothing is changed."""
        return not self.id


def is_in_project(path: Path, settings: Settings) -> bool:
    """Return whether a path is in the project's folder or in ``var``; links are followed."""
    found = path.resolve()
    return any(found.is_relative_to(folder.resolve()) for folder in (settings.root, settings.var))
