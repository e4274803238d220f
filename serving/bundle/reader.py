"""Read a bundle without trusting its content.

Bundles may be changed by anyone with write access to the artifact store. So a bundle is copied into a private folder,
and every file is checked against the manifest, whose own hash is in the registry or the operational database. Only then
is it read: the contract as plain JSON, the graph by ONNX Runtime, the pipeline by skops with the built-in list of
trusted types. Nothing is unpickled, no loader that the bundle names is called, no path that it names is followed.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, field
from itertools import islice
from mmap import ACCESS_READ, mmap
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal, TypeVar

from pydantic import TypeAdapter, ValidationError

from core.errors import BundleError
from core.feature_contract import FeatureContract
from serving.bundle.json_size import text_bytes, values_bytes

if TYPE_CHECKING:
    from serving.bundle.graph import Graph

Document = TypeVar("Document")
Runtime = Literal["onnx", "skops"]

MANIFEST = "manifest.json"
CONTRACT = "contract.json"
GRAPH = "model.onnx"
GRAPH_FACTS = "onnx.json"
PIPELINE = "model.skops"

MAX_DOCUMENT_BYTES = 16_000_000
"""Largest JSON document; a manifest or a contract takes kilobytes."""

MAX_BUNDLE_BYTES = 8_000_000_000
"""Largest sum of all files; a stored pipeline alone may have half of it."""

MAX_STRANGE_FILES = 1_000
"""Number of unexpected files after which the scan of a folder stops."""

FREE_BYTES = 16_000_000
BYTES_PER_BYTE = 6
"""Memory that the values of a JSON document may take: a fixed allowance, and so many bytes per byte of text."""

REMEDY = (
    "the files were changed after registration: restore them from a backup, roll back (perennial rollback), or train "
    "on other rows or settings and approve that version (perennial approve)"
)


@dataclass(frozen=True)
class BundleFile:
    """A file in the manifest: path inside the bundle, SHA-256, size in bytes."""

    path: str
    sha256: str
    size: int


@dataclass(frozen=True)
class Manifest:
    """The files of a bundle, and the training run that wrote it.

    Parameters
    ----------
    format
        Version of the manifest's format.
    model, run_key, data_version
        Identify the bundle, so that no other bundle can replace it.
    files
        All files except the manifest itself.
    """

    format: Literal[1]
    model: str
    run_key: str
    data_version: str
    files: tuple[BundleFile, ...] = field(repr=False)

    @property
    def by_path(self) -> dict[str, BundleFile]:
        """Files by path."""
        return {file.path: file for file in self.files}


def verified(folder: Path, manifest_sha256: str) -> Manifest:
    """Check that a folder contains exactly the files of a bundle, byte for byte.

    The folder must be private: the files are read after this check.

    Parameters
    ----------
    manifest_sha256
        Hash of the manifest, from a source that the writer of the folder cannot change.

    Raises
    ------
    BundleError
        A file is missing, changed, unexpected or a link; or the manifest is another one.
    """
    manifest = read_manifest(folder, manifest_sha256)
    wanted = manifest.by_path
    found = set(islice(_names(folder, wanted.keys()), len(wanted) + MAX_STRANGE_FILES)) - {MANIFEST}
    if missing := sorted(wanted.keys() - found):
        raise BundleError(f"the bundle in {folder} lacks {_listed(missing)}; {REMEDY}")
    if strange := sorted(found - wanted.keys()):
        raise BundleError(
            f"the bundle in {folder} contains files that its manifest does not list: {_listed(strange)}; {REMEDY}"
        )
    for file in manifest.files:
        _check(folder, file)
    return manifest


def read_manifest(folder: Path, manifest_sha256: str) -> Manifest:
    """Read a bundle's manifest only.

    Raises
    ------
    BundleError
        It is not the expected manifest, or this version of Perennial cannot read it.
    """
    content = read_document(folder, MANIFEST)
    digest = hashlib.sha256(content).hexdigest()
    if digest != manifest_sha256:
        raise BundleError(
            f"the manifest in {folder} is not the one that was registered: expected SHA-256 {manifest_sha256[:12]}…, "
            f"found {digest[:12]}…; {REMEDY}"
        )
    manifest = _parsed(content, Manifest, folder / MANIFEST)
    paths = [file.path for file in manifest.files]
    if outside := [path for path in paths if not _is_inside(path)]:
        raise BundleError(f"the manifest in {folder} names paths outside the bundle: {_listed(outside)}; {REMEDY}")
    if len(set(paths)) < len(paths):
        raise BundleError(f"the manifest in {folder} names a file twice; {REMEDY}")
    if (size := sum(abs(file.size) for file in manifest.files)) > MAX_BUNDLE_BYTES:
        raise BundleError(
            f"expected files of at most {MAX_BUNDLE_BYTES:,} bytes in all, found {size:,} in the manifest in {folder}; "
            f"{REMEDY}"
        )
    return manifest


def read_document(folder: Path, name: str) -> bytes:
    """Read a JSON document of a verified bundle.

    Raises
    ------
    BundleError
        It is missing, not a regular file, or too large on disk or in memory.
    """
    path = folder / name
    try:
        if folder.is_symlink():
            raise BundleError(f"{folder} is a link, not a folder; {REMEDY}")
        if path.is_symlink() or not path.is_file():
            raise BundleError(f"the bundle in {folder} has no file {name}; {REMEDY}")
        if (size := path.stat().st_size) > MAX_DOCUMENT_BYTES:
            raise BundleError(f"expected at most {MAX_DOCUMENT_BYTES:,} bytes in {path}, found {size:,}; {REMEDY}")
        content = path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error}; {REMEDY}") from error
    values, most = values_bytes(content), FREE_BYTES + BYTES_PER_BYTE * len(content)
    if values > most or text_bytes(content) > MAX_DOCUMENT_BYTES:
        raise BundleError(f"{path} has {len(content):,} bytes, and parsing it would take too much memory; {REMEDY}")
    return content


def verified_text(folder: Path, file: BundleFile) -> str:
    """Read a text file of a bundle, by the size and the hash in its verified manifest.

    Raises
    ------
    BundleError
        It is missing, a link, not what was registered, or no text.
    """
    path = folder / file.path
    if path.is_symlink() or not path.is_file():
        raise BundleError(f"the bundle in {folder} has no file {file.path}; {REMEDY}")
    _check(folder, file)
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(f"{path} cannot be read: {error}; {REMEDY}") from error


def load_contract(folder: Path) -> FeatureContract:
    """Read the feature contract of a verified bundle.

    Raises
    ------
    BundleError
        The document is not a valid contract.
    """
    return _parsed(read_document(folder, CONTRACT), FeatureContract, folder / CONTRACT)


@dataclass(frozen=True)
class GraphFacts:
    """The export's description of the graph, see ``tasks.train.onnx_export.OnnxResult``."""

    kept: Literal[True]
    inputs: tuple[str, ...]
    output: str
    max_abs_diff: float | None = None
    n_rows: int = 0
    reason: str | None = None


def load_graph(folder: Path, contract: FeatureContract) -> Graph:
    """Load the ONNX graph of a verified bundle.

    Raises
    ------
    BundleError
        It does not run, or takes other columns than those of the contract.
    """
    facts = load_graph_facts(folder, contract)
    graph = _graph(folder / GRAPH)
    if graph.inputs != facts.inputs or graph.outputs[-1:] != (facts.output,):
        raise BundleError(f"the graph in {folder} has other inputs or outputs than {GRAPH_FACTS} lists; {REMEDY}")
    return graph


def load_graph_facts(folder: Path, contract: FeatureContract) -> GraphFacts:
    """Load what a verified bundle says of its ONNX graph.

    Raises
    ------
    BundleError
        It takes other columns than those of the contract.
    """
    facts = _parsed(read_document(folder, GRAPH_FACTS), GraphFacts, folder / GRAPH_FACTS)
    if len(facts.inputs) != len(contract.prepared_columns):
        raise BundleError(
            f"expected a graph with {len(contract.prepared_columns)} inputs in {folder}, one per column of {CONTRACT}, "
            f"found {len(facts.inputs)}; {REMEDY}"
        )
    return facts


def _graph(path: Path) -> Graph:
    from serving.bundle.graph import Graph  # imports numpy, which a check of files does not need

    try:
        with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
            return Graph(content)
    except (OSError, ValueError) as error:  # an empty file cannot be mapped
        raise BundleError(f"{path} cannot be read: {error}; {REMEDY}") from error


def _names(folder: Path, wanted: Set[str]) -> Iterator[str]:
    """Yield the paths of all files; refuse links, devices and folders without expected files."""
    folders = {str(parent) for path in wanted for parent in PurePosixPath(path).parents}
    pending = [folder]
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    mode = entry.stat(follow_symlinks=False).st_mode
                    name = Path(entry.path).relative_to(folder).as_posix()
                    if stat.S_ISDIR(mode) and name in folders:
                        pending.append(Path(entry.path))
                    elif stat.S_ISREG(mode):
                        yield name
                    else:
                        raise BundleError(f"{entry.path!r} is a {_kind(mode)}, not a file of the bundle; {REMEDY}")
        except OSError as error:
            raise BundleError(f"the bundle in {folder} cannot be read: {error}; {REMEDY}") from error


def _kind(mode: int) -> str:
    return "folder" if stat.S_ISDIR(mode) else "link or a device"


def _check(folder: Path, file: BundleFile) -> None:
    path = folder / file.path
    try:
        size = path.stat().st_size
        with path.open("rb") as opened:
            digest = "" if size != file.size else hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error}; {REMEDY}") from error
    if size != file.size:
        raise BundleError(f"{path} is not what was registered: expected {file.size:,} bytes, found {size:,}; {REMEDY}")
    if digest != file.sha256:
        raise BundleError(
            f"{path} is not what was registered: expected SHA-256 {file.sha256[:12]}…, found {digest[:12]}…; {REMEDY}"
        )


def _is_inside(path: str) -> bool:
    parts = path.split("/")
    plain = not {"", ".", ".."} & set(parts) and path.isprintable() and "\\" not in path
    return plain and path != MANIFEST and PurePosixPath(path).as_posix() == path


def _parsed(content: bytes, kind: type[Document], path: Path) -> Document:
    try:
        return TypeAdapter(kind).validate_json(content, strict=True, extra="forbid")
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise BundleError(
            f"{path} has a format that this version of Perennial does not read: {place + ': ' if place else ''}"
            f"{first['msg']}; use the version that wrote it, or train again"
        ) from error


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(map(repr, names[:5])) + more
