"""Read a table as ``perennial init`` and the ingestion after it do, in this process."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.inference_truth import Column, Read, Table, Value, plain
from config.schema import ModelConfig
from config.settings import Settings
from core.errors import PerennialError
from core.text import short
from tasks.init.model_file import InitResult, init_model
from tasks.source.stage import stage_rows


def read_tables(tables: Sequence[Table], folder: Path) -> list[dict[str, Read]]:
    """Return what became of every scored column of the tables.

    Parameters
    ----------
    tables
        The files.
    folder
        Folder of a project, made by this function.
    """
    logging.getLogger("perennial").setLevel(logging.ERROR)
    settings = Settings(root=folder, var=folder / "var")
    return [_read(table, settings) for table in tables]


def _read(table: Table, settings: Settings) -> dict[str, Read]:
    try:
        result = init_model(str(table.path), table.target, settings, name="inferred", force=True)
        with TemporaryDirectory() as work:
            values = _staged(result.config, settings, Path(work))
    except PerennialError as error:
        return {column.name: Read(remark=f"refused: {error}") for column in table.columns}
    comments = result.paths[0].read_text(encoding="utf-8").splitlines()
    return {column.name: _as_read(column, result, values, comments) for column in table.columns}


def _staged(config: ModelConfig, settings: Settings, work: Path) -> dict[str, tuple[Value, ...]]:
    import pyarrow.parquet as pq

    table = pq.read_table(stage_rows(config, settings, work).path)
    return {name: tuple(map(plain, table[name].to_pylist())) for name in table.column_names}


def _as_read(column: Column, result: InitResult, values: dict[str, tuple[Value, ...]], comments: Sequence[str]) -> Read:
    name = _found_name(column.name, values)
    kind = _kind(name, result.config)
    return Read(values.get(name, ()), kind, _remark(name, column, kind, result, comments))


def _found_name(name: str, values: dict[str, tuple[Value, ...]]) -> str:
    """Return the name that the file gives a column: layouts may add spaces or a sign to it."""
    return next((found for found in values if found.strip(" #") == name), name)


def _kind(name: str, config: ModelConfig) -> str:
    if name == config.target:
        return "numeric" if config.task == "regression" else "categorical"
    kinds = ("numeric", "categorical", "boolean", "dates", "ignored")
    return next((kind for kind in kinds if name in getattr(config.features, kind)), "left out")


def _remark(name: str, column: Column, kind: str, result: InitResult, comments: Sequence[str]) -> str:
    """Return what was said of a column: in the notes, or as a doubt beside it in the model file."""
    notes = [note for note in result.notes if short(name) in note and not note.startswith("look: if ")]
    said = [note for note in notes if note.startswith(("look:", "ignored ", "left out ")) or "means no value" in note]
    pattern = re.compile(rf"\s*- ['\"]?{re.escape(name)}['\"]?\s+#.*may mean")
    said += [line.strip() for line in comments if pattern.match(line)]
    if any(not cell.isascii() for cell in column.cells):
        said += [note for note in result.notes if "was read as" in note]
    if not said and kind in ("ignored", "left out"):
        said = [f"{kind} {name}"]
    return "; ".join(said)
