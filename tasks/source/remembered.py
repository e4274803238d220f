"""Fingerprints of sources that give the same rows whenever they are read the same way, so that they are read once.

Such a source has no file that changes: it is generated, or part of a pinned library. The fingerprint of its rows is
kept under a hash of all that determines them. It only ever says that there is nothing to do: a run reads the rows.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from config.schema import ModelConfig, SimulatedSource, SklearnSource
from config.settings import PACKAGES, Settings
from core.data.columns import column_types

KEPT = 20
"""Fingerprints that are kept of a model."""

_LIBRARIES = ("duckdb", "numpy", "pandas", "pyarrow", "scikit-learn")
_CODE = ("core/data", "core/notations.py", "tasks/source")


def remember_rows(config: ModelConfig, settings: Settings, fingerprint: str) -> None:
    """Keep the fingerprint of rows that were just read; nothing is kept of a source whose rows may change."""
    key = _key(config)
    if key is None:
        return
    known = {**_known(config, settings), key: fingerprint}
    path = _path(config, settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_text(json.dumps(dict(list(known.items())[-KEPT:])), encoding="utf-8")
    temporary.replace(path)


def remembered_rows(config: ModelConfig, settings: Settings) -> str | None:
    """Return the fingerprint of a source's rows if they were read the same way before; else None."""
    key = _key(config)
    return None if key is None else _known(config, settings).get(key)


def _key(config: ModelConfig) -> str | None:
    """Return the hash of what determines the rows: the source, the columns, our code and the libraries."""
    if not isinstance(config.source, SimulatedSource | SklearnSource):
        return None
    parts = [config.source.model_dump(mode="json"), column_types(config), {name: version(name) for name in _LIBRARIES}]
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode())
    for path in sorted(path for name in _CODE for path in _sources(PACKAGES / name)):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _sources(path: Path) -> list[Path]:
    return [path] if path.is_file() else list(path.rglob("*.py"))


def _known(config: ModelConfig, settings: Settings) -> dict[str, str]:
    with suppress(OSError, ValueError):
        content = json.loads(_path(config, settings).read_text(encoding="utf-8"))
        if isinstance(content, dict):
            return {str(key): str(value) for key, value in content.items()}
    return {}


def _path(config: ModelConfig, settings: Settings) -> Path:
    return settings.var / "sources" / f"{config.model}.json"
