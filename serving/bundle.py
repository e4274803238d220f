"""Read a bundle and trust nothing in it.

Whoever can write where bundles lie could change them. So a bundle is copied into a private folder, every file is
checked against the manifest, whose own hash the registry or the operational database knows, and only then is it read:
the contract as plain JSON, the graph by ONNX Runtime, the pipeline by skops with the list of types that stands in our
code. Nothing is unpickled, no loader that the bundle names is called, no path that it names is followed.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal, TypeVar

from pydantic import TypeAdapter, ValidationError

from core.errors import BundleError
from core.feature_contract import FeatureContract
from serving.graph import Graph

Document = TypeVar("Document")
Kind = Literal["onnx", "skops"]

MANIFEST = "manifest.json"
CONTRACT = "contract.json"
GRAPH = "model.onnx"
GRAPH_FACTS = "onnx.json"
PIPELINE = "model.skops"

MAX_DOCUMENT_BYTES = 16_000_000
"""Of a JSON document; a manifest or a contract takes kilobytes."""

REMEDY = "the files were changed after registration: bring them back from a backup, or train again"


@dataclass(frozen=True)
class BundleFile:
    """A file as the manifest names it: path inside the bundle, hash, bytes."""

    path: str
    sha256: str
    size: int


@dataclass(frozen=True)
class Manifest:
    """What a bundle is made of, and which training run made it.

    Parameters
    ----------
    format
        Of the manifest.
    model, run_key, data_version
        So that no bundle can stand in another's place.
    files
        All but the manifest itself.
    """

    format: Literal[1]
    model: str
    run_key: str
    data_version: str
    files: tuple[BundleFile, ...] = field(repr=False)

    @property
    def by_path(self) -> dict[str, BundleFile]:
        """Files by their paths."""
        return {file.path: file for file in self.files}


def verified(folder: Path, manifest_sha256: str) -> Manifest:
    """Check that a folder holds exactly the files of a bundle, byte for byte.

    The folder must be private: what is checked here is read later.

    Parameters
    ----------
    manifest_sha256
        Hash of the manifest, from a place that whoever wrote the folder cannot write to.

    Raises
    ------
    BundleError
        A file is missing, changed, or one too many; a link stands in a file's place; the manifest is another one.
    """
    manifest = read_manifest(folder, manifest_sha256)
    found = set(_names(folder)) - {MANIFEST}
    wanted = manifest.by_path
    if missing := sorted(wanted.keys() - found):
        raise BundleError(f"the bundle in {folder} lacks {_listed(missing)}; {REMEDY}")
    if strange := sorted(found - wanted.keys()):
        raise BundleError(
            f"the bundle in {folder} holds files its manifest does not name: {_listed(strange)}; {REMEDY}"
        )
    for file in manifest.files:
        _check(folder, file)
    return manifest


def read_manifest(folder: Path, manifest_sha256: str) -> Manifest:
    """Read a bundle's manifest and nothing else.

    Raises
    ------
    BundleError
        It is not the expected one, or not one that this version of Perennial reads.
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
    return manifest


def read_document(folder: Path, name: str) -> bytes:
    """Read a JSON document of a verified bundle.

    Raises
    ------
    BundleError
        It is not there, is no file, or is too large for one.
    """
    path = folder / name
    try:
        if path.is_symlink() or not path.is_file():
            raise BundleError(f"the bundle in {folder} has no file {name}; {REMEDY}")
        if (size := path.stat().st_size) > MAX_DOCUMENT_BYTES:
            raise BundleError(f"{path} has {size:,} bytes, at most {MAX_DOCUMENT_BYTES:,} are read; {REMEDY}")
        return path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error}; {REMEDY}") from error


def load_contract(folder: Path) -> FeatureContract:
    """Read the feature contract of a verified bundle.

    Raises
    ------
    BundleError
        It is not a contract.
    """
    return _parsed(read_document(folder, CONTRACT), FeatureContract, folder / CONTRACT)


@dataclass(frozen=True)
class GraphFacts:
    """What the export wrote about the graph, see ``tasks.onnx_export.OnnxResult``."""

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
        It does not run, or takes other columns than the contract.
    """
    facts = _parsed(read_document(folder, GRAPH_FACTS), GraphFacts, folder / GRAPH_FACTS)
    graph = Graph((folder / GRAPH).read_bytes())
    if graph.inputs != facts.inputs or graph.outputs[-1:] != (facts.output,):
        raise BundleError(f"the graph in {folder} has other inputs and outputs than {GRAPH_FACTS} says; {REMEDY}")
    if len(graph.inputs) != len(contract.prepared_columns):
        raise BundleError(f"the graph in {folder} takes other columns than {CONTRACT} says; {REMEDY}")
    return graph


def _names(folder: Path) -> Iterator[str]:
    """Paths of all files, refusing what is neither file nor folder; links are not followed."""
    pending = [folder]
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    mode = entry.stat(follow_symlinks=False).st_mode
                    if stat.S_ISDIR(mode):
                        pending.append(Path(entry.path))
                    elif stat.S_ISREG(mode):
                        yield Path(entry.path).relative_to(folder).as_posix()
                    else:
                        raise BundleError(f"{entry.path} is a link or a device, not a file; {REMEDY}")
        except OSError as error:
            raise BundleError(f"the bundle in {folder} cannot be read: {error}; {REMEDY}") from error


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
    plain = not {"", ".", ".."} & set(parts) and not set("\\\0") & set(path)
    return plain and path != MANIFEST and PurePosixPath(path).as_posix() == path


def _parsed(content: bytes, kind: type[Document], path: Path) -> Document:
    try:
        return TypeAdapter(kind).validate_json(content, strict=True, extra="forbid")
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise BundleError(
            f"{path} is not what this version of Perennial reads: {place + ': ' if place else ''}{first['msg']}; "
            "read it with the version that wrote it, or train again"
        ) from error


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(map(repr, names[:5])) + more
