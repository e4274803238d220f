"""What a stored pipeline would take to read, known before it is read.

skops builds nothing that is not trusted, but it spends memory and time before it knows, and some of the types it trusts
can be told to take any amount. A true file holds its arrays as they are and costs a few times its size, so whatever
would cost more than a free allowance and some bytes per byte is refused.
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
"""Of a stored pipeline; a forest of ten million nodes takes 1 GB."""

FREE_BYTES = 12_000_000
BYTES_PER_BYTE = 6

_FREE_ENTRIES = 10_000
_BYTES_PER_ENTRY = 1_500
_ENTRY = b"PK\x01\x02"
_CHUNK_BYTES = 1 << 20

# What skops 0.16 builds for a node of its tree: measured; two kinds copy a list of all trusted names.
_NODE_BYTES = {"ObjectNode": 4_000, "FunctionNode": 4_500}
_OTHER_NODE_BYTES = 1_500

_REFUSED_LOADERS = {
    "BytearrayNode": "takes nine times its bytes, and no model holds one",
    "CachedNode": "is written by no version of skops",
}
_REFUSED_MODULES = ("sklearn.feature_extraction.",)
"""Can be told to read the files that rows name."""

_SIZED_BY_NUMBER = ("bytes_", "void")
"""NumPy's types that make as many bytes as a number says."""


def refuse_bomb(path: Path) -> None:
    """Refuse a file that unpacks to more than it is, or costs more to read than such a file does.

    skops stores entries as they are, so in a true file they add up to less than the file. Entries that are compressed,
    or lie over one another, or are named by the schema again and again, are how a small file fills the memory.

    Raises
    ------
    ValueError, TypeError, AttributeError, RecursionError, zipfile.BadZipFile, KeyError, OSError
        It is a bomb, too large, or no file of skops.
    """
    size = path.stat().st_size
    if size > MAX_PIPELINE_BYTES:
        raise ValueError(f"it has {size:,} bytes, at most {MAX_PIPELINE_BYTES:,} are read")
    if (entries := _count_entries(path)) > _FREE_ENTRIES + size // _BYTES_PER_ENTRY:
        raise ValueError(f"it has {size:,} bytes and {entries:,} entries")
    with zipfile.ZipFile(path) as archive:
        sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
        unpacked = _unpacked_bytes(archive)
        if not _is_stored(archive) or unpacked > size:
            raise ValueError(f"it has {size:,} bytes and would unpack to {unpacked:,} or more")
        schema = archive.read("schema.json")
        most = FREE_BYTES + BYTES_PER_BYTE * size
        if (parsed := values_bytes(schema) + 2 * text_bytes(schema)) > most:
            raise ValueError(f"it has {size:,} bytes and reading it would take {parsed:,}")
        tree = _Tree(archive, sizes)
        cost = tree.cost(json.loads(schema))
    if tree.read > size or cost > most:
        raise ValueError(f"it has {size:,} bytes and reading it would take {max(tree.read, cost):,}")


def _count_entries(path: Path) -> int:
    """Count entries of the directory before :mod:`zipfile` makes an object of each; chance hits are few."""
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
    """Walks a schema as skops does, and adds up what it would cost.

    Parameters
    ----------
    archive, sizes
        The file, and bytes of its entries by name.
    read
        Bytes of entries that the schema names: skops reads an entry each time.
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
        # skops takes a node that bears a number for the one that bore it before, and walks that one again. It writes
        # both in full; a short one that stands for a long one is how a tree grows beyond its file.
        if "__id__" in value and self._costs.setdefault(value["__id__"], cost) != cost:
            raise ValueError("it holds two different parts under one number")
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
        # An archive in the archive, which SciPy compresses.
        with self.archive.open(name) as inner:
            return _inner_bytes(inner)


def _inner_bytes(file: IO[bytes]) -> int:
    with zipfile.ZipFile(file) as inner:
        return _unpacked_bytes(inner)


def _refuse_oversized(loader: Any, node: Mapping[str, Any]) -> None:
    if (why := _REFUSED_LOADERS.get(loader)) is not None:
        raise ValueError(f"it holds a {loader}, which {why}")
    if str(node.get("__module__")).startswith(_REFUSED_MODULES):
        raise ValueError(f"it holds a {node.get('__class__')}, which can read the files that rows name")
    if loader == "NdArrayNode" and str(node.get("__class__")) in _SIZED_BY_NUMBER:
        raise ValueError(f"it holds an array of the class {node.get('__class__')}")
    if loader == "RandomGeneratorNode" and _pool_size(node) != "4":
        raise ValueError("it holds random numbers from a pool of another size than NumPy's")


def _pool_size(node: Mapping[str, Any]) -> Any:
    return node["content"]["seed_seq"]["content"]["pool_size"]["content"]
