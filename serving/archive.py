"""What a stored pipeline would take to read, known before it is read."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path

MAX_PIPELINE_BYTES = 4_000_000_000
"""Of a stored pipeline; a forest of ten million nodes takes 1 GB."""


def refuse_bomb(path: Path) -> None:
    """Refuse a file that unpacks to more than it is.

    skops stores entries as they are, so in a true file they add up to less than the file. Entries that are compressed,
    or lie over one another, or are named by the schema again and again, are how a small file fills the memory.

    Raises
    ------
    ValueError, zipfile.BadZipFile, KeyError, OSError
        It is a bomb, too large, or no file of skops.
    """
    size = path.stat().st_size
    if size > MAX_PIPELINE_BYTES:
        raise ValueError(f"it has {size:,} bytes, at most {MAX_PIPELINE_BYTES:,} are read")
    with zipfile.ZipFile(path) as archive:
        sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
        stored = all(entry.compress_type == zipfile.ZIP_STORED for entry in archive.infolist())
        unpacked = sum(entry.file_size for entry in archive.infolist())
        if not stored or unpacked > size:
            raise ValueError(f"it has {size:,} bytes and would unpack to {unpacked:,} or more")
        read = _read_bytes(archive.read("schema.json"), sizes)
    if read > size:
        raise ValueError(f"it has {size:,} bytes and reading it would take {read:,}")


def _read_bytes(schema: bytes, sizes: Mapping[str, int]) -> int:
    """Bytes that skops reads for a schema: it reads an entry each time the schema names it."""
    total, pending = 0, [json.loads(schema)]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            name = value.get("file")
            total += sizes.get(name, 0) if isinstance(name, str) else 0
            pending.extend(value.values())
        elif isinstance(value, list):
            pending.extend(value)
    return total
