"""The hidden folder in which a scoring works: beside its output, or under ``var`` if that is on no local disk.

A killed run leaves it, and the same command goes on from what it holds. Every file in it is complete: it is written
under another name and renamed.
"""

from __future__ import annotations

import glob
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from config.settings import Settings
from config.var_folder import make_var
from core.errors import ConfigError, RunInProgressError, StorageError, UserError
from core.score.addresses import input_kind, is_match, set_aside_path
from core.score.outcome import PartResult, ScoreOutcome
from core.score.plan import InputFile, ScoringPlan, ScoringRequest
from core.storage_failure import storage_errors
from tasks.registry.bundle_files import file_sha256
from tasks.source.files import is_data_file, is_remote, without_credentials
from tasks.versions.working_copy import file_state

Document = TypeVar("Document", ScoringPlan, PartResult, ScoreOutcome)

PLAN = "plan.json"
RESULT = "result.json"
PARTS = "parts"
MAX_NAME = 220
"""Most bytes of an output's name: file systems take 255, and the names of files beside it are longer."""

FAILED = "failed"
"""Empty file by which the other parts learn that one failed."""


def output_path(request: ScoringRequest, settings: Settings) -> Path | None:
    """Return the path of a local output, relative paths being the project's; None if it is elsewhere.

    Raises
    ------
    ConfigError
        Its folder does not exist, its name is none or too long, or it is a folder elsewhere.
    """
    if request.kind == "sql":
        return None
    if is_remote(request.output):
        if request.kind == "folder":
            raise ConfigError(
                f"expected a .parquet or .csv file at a remote address, found {without_credentials(request.output)}: "
                "a folder elsewhere cannot appear at once"
            )
        return None
    path = (settings.root / Path(request.output).expanduser()).absolute()
    if path.name in ("", "..") or len(os.fsencode(path.name)) > MAX_NAME:
        raise ConfigError(
            f"expected an output with a name of at most {MAX_NAME} bytes, found {request.output!r}; correct --output"
        )
    if not path.parent.is_dir():
        raise ConfigError(f"the folder {path.parent} of the output does not exist; create it, or correct --output")
    return path


def refuse_own_output(request: ScoringRequest, settings: Settings) -> None:
    """Refuse an output that the next run with the same input would read as rows.

    Raises
    ------
    ConfigError
        It is inside the input's folder, or its name fits the input's pattern.
    """
    path, kind = output_path(request, settings), input_kind(request.input)
    if "sql" in (kind, request.kind) or is_remote(request.input) != (path is None):
        return
    if path is None:
        is_read = _is_read_elsewhere(request.output, request.input)
    else:
        path = Path(os.path.normpath(path))
        file = path / "part-00000.parquet" if request.kind == "folder" else path
        is_read = any(_is_read(one, request.input, settings) for one in (file, set_aside_path(path, request.kind)))
    if is_read:
        raise ConfigError(
            f"the output {without_credentials(request.output)} would be part of the input "
            f"{without_credentials(request.input)} of the next run; choose a folder of its own for --output"
        )


def _is_read_elsewhere(output: str, address: str) -> bool:
    """Whether a file at a remote address would be among those of a folder or a pattern."""
    inside = output.removeprefix(f"{address.rstrip('/')}/")
    if inside != output:
        return is_data_file(Path(inside), f".{input_kind(address)}")
    return glob.has_magic(address) and is_match(output, address)


def _is_read(file: Path, address: str, settings: Settings) -> bool:
    """Whether a file would be among those of a folder or a pattern."""
    given = Path(os.path.normpath((settings.root / Path(address).expanduser()).absolute()))
    if given.is_dir():
        return file.is_relative_to(given) and is_data_file(file.relative_to(given), f".{input_kind(address)}")
    # Stars and brackets of the project's own folder are no pattern.
    root = str(settings.root.absolute())
    return not given.is_file() and is_match(str(file), str(given).replace(root, glob.escape(root), 1))


def located(request: ScoringRequest, settings: Settings) -> ScoringRequest:
    """Return a request with the whole path of a local output, so that the same output has the same name.

    Raises
    ------
    ConfigError
        The output is of no kind that can be written, or its folder does not exist.
    """
    path = output_path(request, settings)
    return request if path is None else replace(request, output=f"{path}{'/' * request.output.endswith('/')}")


def staging_folder(request: ScoringRequest, settings: Settings) -> Path:
    """Return the folder in which an output is made.

    Raises
    ------
    ConfigError
        The output's folder does not exist.
    """
    path = output_path(request, settings)
    if path is None:
        return settings.var / "scoring" / hashlib.sha256(request.output.encode()).hexdigest()[:16]
    return path.with_name(f".{path.name}.scoring")


@contextmanager
def held_output(request: ScoringRequest, settings: Settings) -> Iterator[None]:
    """Lock an output for one run, and leave nothing behind if its input is wrong.

    After a failure of storage, and after a kill, the folder stays: the same command goes on from it.

    Raises
    ------
    RunInProgressError
        Another run of this project writes the same output.
    """
    folder = staging_folder(request, settings)
    with held_staging(folder, settings, request.output):
        try:
            yield
        except StorageError:
            raise
        except UserError:
            remove(folder)
            raise


@contextmanager
def held_staging(folder: Path, settings: Settings, output: str = "the output") -> Iterator[None]:
    """Lock a staging folder: while a scoring works in it, it cannot be removed.

    Raises
    ------
    RunInProgressError
        Another run of this project works in it.
    """
    from filelock import FileLock, Timeout

    path = settings.var / "locks" / f"score-{hashlib.sha256(str(folder).encode()).hexdigest()[:16]}.lock"
    lock = FileLock(path, is_singleton=True)
    with storage_errors(path):
        make_var(settings)
        path.parent.mkdir(exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise RunInProgressError(f"another run writes {output}; wait for it, then run again") from error
    try:
        yield
    finally:
        lock.release()


def remove(folder: Path) -> None:
    """Remove a staging folder; its plan first, so that what a kill leaves is not taken for a run to go on with."""
    with suppress(OSError):
        (folder / PLAN).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def written(document: Document, kind: type[Document], path: Path) -> Document:
    """Write a document under its name at once, and return it."""
    with storage_errors(path):
        temporary = path.with_name(f".{path.name}.tmp")
        temporary.write_bytes(TypeAdapter(kind).dump_json(document))
        temporary.replace(path)
    return document


def read(kind: type[Document], path: Path) -> Document | None:
    """Return a document; None if it was not written, or by another version of Perennial."""
    with storage_errors(path):
        try:
            return TypeAdapter(kind).validate_json(path.read_bytes())
        except (FileNotFoundError, NotADirectoryError, ValidationError):
            return None


@lru_cache(maxsize=4)
def _plan(path: Path, written_ns: int) -> ScoringPlan | None:  # noqa: ARG001 - a plan that was replaced is read again
    return read(ScoringPlan, path)


def plan_in(folder: Path) -> ScoringPlan:
    """Return the plan of a staging folder.

    Raises
    ------
    StorageError
        There is none: something else removed the folder.
    """
    path = folder / PLAN
    with suppress(OSError):
        if (found := _plan(path, path.stat().st_mtime_ns)) is not None:
            return found
    raise StorageError(f"{path} was removed while the scoring ran; run the same command again")


def is_unchanged(file: InputFile) -> bool:
    """Return whether a file of the input is the one that was planned."""
    try:
        return file_state(file.path) == file.state
    except OSError:
        return False


def output_digest(path: Path) -> str:
    """Return the SHA-256 of an output: of a file, or of the names and hashes of a folder's files."""
    if not path.is_dir():
        return file_sha256(path)
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return digest_of_files({str(file.relative_to(path)): file_sha256(file) for file in files})


def digest_of_files(hashes: dict[str, str]) -> str:
    """Return the SHA-256 of the names and hashes of files."""
    lines = "".join(f"{name} {found}\n" for name, found in sorted(hashes.items()))
    return hashlib.sha256(lines.encode()).hexdigest()
