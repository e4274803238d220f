"""Estimate the cost of reading a stored pipeline before it is read, and refuse a file that would cost too much.

skops builds only trusted types, but it spends memory and time before it checks them, and some trusted types can be made
to allocate any amount. A file that skops wrote stores its arrays uncompressed and costs a few times its size. So a file
is refused when its cost exceeds a fixed allowance plus some bytes per byte of the file.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from serving.bundle.json_size import text_bytes, values_bytes

MAX_PIPELINE_BYTES = 4_000_000_000
"""Largest stored pipeline; a forest of ten million nodes takes 1 GB."""

FREE_BYTES = 12_000_000
BYTES_PER_BYTE = 6

_FREE_ENTRIES = 10_000
_BYTES_PER_ENTRY = 1_500
_ENTRY = b"PK\x01\x02"
_CHUNK_BYTES = 1 << 20

# Measured memory that skops 0.16 takes per node of its tree; two kinds copy a list of all trusted names.
_NODE_BYTES = {"ObjectNode": 4_000, "FunctionNode": 4_500}
_OTHER_NODE_BYTES = 1_500

_REFUSED_LOADERS = {
    "BytearrayNode": "takes nine times its bytes, and which no model contains",
    "CachedNode": "no version of skops writes",
}
_REFUSED_MODULES = ("sklearn.feature_extraction.",)
"""Modules whose estimators can be configured to open files that are named in rows."""

_SIZED_BY_NUMBER = ("bytes_", "void")
"""NumPy types whose constructor allocates any given number of bytes."""


def refuse_bomb(path: Path) -> None:
    """Refuse a file that unpacks to more than its size, or costs too much to read.

    skops stores entries uncompressed, so the entries of its files add up to less than the file. A small file can fill
    the memory by compressed entries, overlapping entries, or a schema that names an entry many times.

    Raises
    ------
    ValueError, TypeError, AttributeError, RecursionError, zipfile.BadZipFile, KeyError, OSError
        It is a bomb, too large, or not a file of skops.
    """
    size = path.stat().st_size
    if size > MAX_PIPELINE_BYTES:
        raise ValueError(f"expected at most {MAX_PIPELINE_BYTES:,} bytes, found {size:,}")
    if (entries := _count_entries(path)) > _FREE_ENTRIES + size // _BYTES_PER_ENTRY:
        raise ValueError(f"it has {entries:,} entries, too many for {size:,} bytes")
    with zipfile.ZipFile(path) as archive:
        sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
        unpacked = _unpacked_bytes(archive)
        if not _is_stored(archive) or unpacked > size:
            raise ValueError(f"it has {size:,} bytes and would unpack to {unpacked:,} bytes or more")
        schema = archive.read("schema.json")
        most = FREE_BYTES + BYTES_PER_BYTE * size
        # Values first: they are counted at once, while the text of many short strings takes long to look through.
        if (parsed := values_bytes(schema)) > most or (parsed := parsed + 2 * text_bytes(schema)) > most:
            raise ValueError(f"it has {size:,} bytes and reading it would take {parsed:,} bytes of memory")
        tree = _Tree(archive, sizes)
        cost = tree.cost(json.loads(schema))
    if tree.read > size or cost > most:
        raise ValueError(f"it has {size:,} bytes and reading it would take {max(tree.read, cost):,} bytes of memory")


def _count_entries(path: Path) -> int:
    """Count the directory's entries before :mod:`zipfile` builds an object for each; accidental matches are rare."""
    count, tail = 0, b""
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            count += (tail + chunk).count(_ENTRY)
            tail = chunk[1 - len(_ENTRY) :]
    return count


def _is_stored(archive: zipfile.ZipFile) -> bool:
    return all(entry.compress_type == zipfile.ZIP_STORED for entry in archive.infolist())


def _unpacked_bytes(archive: zipfile.ZipFile) -> int:
    return sum(entry.file_size for entry in archive.infolist())


@dataclass
class _Tree:
    """Walks a schema as skops does, and adds up its cost in bytes of memory.

    Parameters
    ----------
    archive, sizes
        The file, and the sizes of its entries in bytes, by name.
    read
        Bytes of the entries that the schema names; skops reads an entry each time it is named.
    """

    archive: zipfile.ZipFile
    sizes: Mapping[str, int]
    read: int = 0
    _costs: dict[Any, int] = field(default_factory=dict)

    def cost(self, value: Any) -> int:
        if isinstance(value, list):
            return sum(map(self.cost, value))
        if isinstance(value, str):
            return len(value)
        if not isinstance(value, dict):
            return 0
        cost = self._own_cost(value) + sum(map(self.cost, value.values()))
        # skops treats a node with a known id as the earlier node of that id, and walks that one again. It writes both
        # in full. A short node with the id of a long one would let a tree grow beyond its file, so it is refused.
        if "__id__" in value and self._costs.setdefault(value["__id__"], cost) != cost:
            raise ValueError("it contains two different nodes with one id")
        return cost

    def _own_cost(self, node: Mapping[str, Any]) -> int:
        cost = self._entry_cost(node)
        if (loader := node.get("__loader__")) is None:
            return cost
        _refuse_oversized(loader, node)
        return cost + _NODE_BYTES.get(loader, _OTHER_NODE_BYTES)

    def _entry_cost(self, node: Mapping[str, Any]) -> int:
        name = node.get("file")
        if not isinstance(name, str) or name not in self.sizes:
            return 0
        self.read += self.sizes[name]
        if node.get("__loader__") != "SparseMatrixNode":
            return self.sizes[name]
        # SciPy writes a sparse matrix as a compressed archive of its own.
        with self.archive.open(name) as inner:
            return _inner_bytes(inner)


def _inner_bytes(file: IO[bytes]) -> int:
    with zipfile.ZipFile(file) as inner:
        return _unpacked_bytes(inner)


def _refuse_oversized(loader: Any, node: Mapping[str, Any]) -> None:
    if (why := _REFUSED_LOADERS.get(loader)) is not None:
        raise ValueError(f"it contains a {loader}, which {why}")
    if str(node.get("__module__")).startswith(_REFUSED_MODULES):
        raise ValueError(f"it contains a {node.get('__class__')}, which can open files that are named in rows")
    if loader == "NdArrayNode" and str(node.get("__class__")) in _SIZED_BY_NUMBER:
        raise ValueError(f"it contains an array of the class {node.get('__class__')}, which is not allowed")
    if loader == "RandomGeneratorNode" and _pool_size(node) != "4":
        raise ValueError("it contains a random generator whose seed pool size is not NumPy's default of 4")


def _pool_size(node: Mapping[str, Any]) -> Any:
    return node["content"]["seed_seq"]["content"]["pool_size"]["content"]
