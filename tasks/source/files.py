"""Local files of a source: local paths are used directly, remote files and other encodings are copied first.

With the copy, the engine can read a local UTF-8 file repeatedly, and no other process changes it in the meantime.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import glob
import lzma
import re
import shutil
import sys
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

from config.schema import CsvSource, ParquetSource
from config.settings import Settings
from core.data.signatures import foreign_format, not_text
from core.errors import SourceError, SourceTooLargeError
from core.storage_failure import storage_errors
from tasks.source.engine import COPIES

if TYPE_CHECKING:
    import pyarrow as pa

CHUNK = 1 << 20
SAMPLE_BYTES = 1 << 18
_USER = re.compile(r"(?<=://)[^/?#]*@")
_QUERY = re.compile(r"[?#]")
_ADDRESS = re.compile(r"\w+://\S+")
_COMPRESSED = (".gz", ".bz2", ".xz", ".zst", ".zip")


@dataclass(frozen=True)
class SourceFile:
    """A local file, and its name in messages."""

    path: Path
    shown: str


@dataclass(frozen=True)
class Footer:
    """Facts from a Parquet file's footer."""

    n_rows: int
    names: tuple[str, ...]
    categories: frozenset[str] = frozenset()
    """Columns of numbers that the writer declared to be unordered categories."""


def is_remote(uri: str) -> bool:
    """Return whether an address is read by fsspec."""
    return "://" in uri or "::" in uri


def without_credentials(uri: str) -> str:
    """Return an address for logs: without user, password and query, in each part of a chained address.

    Examples
    --------
    >>> without_credentials("zip://a.csv::https://ada:secret@host/b.zip?token=secret")
    'zip://a.csv::https://host/b.zip'
    """
    if not is_remote(uri):
        return uri
    return "::".join(_QUERY.split(_USER.sub("", part))[0] for part in uri.split("::"))


def csv_files(source: CsvSource, settings: Settings, work: Path) -> list[SourceFile]:
    """Return the local UTF-8 files of a CSV source, in the order of their names.

    Raises
    ------
    SourceError
        There is no file, or one cannot be read or is not in the declared encoding.
    """
    if not is_remote(source.uri):
        plain = [SourceFile(path, str(path)) for path in local_paths(source.uri, settings.root, ".csv")]
        if source.encoding == "utf-8" and not any(file.path.suffix in _COMPRESSED for file in plain):
            return plain
        opened = [(file.shown, str(file.path)) for file in plain]
        return _decoded_copies(opened, source.encoding, work)
    filesystem, paths = _remote_paths(source.uri, ".csv")
    if _is_local(filesystem):
        return csv_files(source.model_copy(update={"uri": _only_path(paths, source.uri)}), settings, work)
    return _decoded_copies([(without_credentials(path), path) for path in paths], source.encoding, work, filesystem)


def parquet_files(source: ParquetSource, settings: Settings, work: Path) -> list[SourceFile]:
    """Return the local Parquet files of a source, in the order of their names; remote footers are read before copying.

    Raises
    ------
    SourceError
        There is no file, or one cannot be read or is not Parquet.
    SourceTooLargeError
        The footers state more rows than ``settings.max_rows``.
    """
    if not is_remote(source.uri):
        files = [SourceFile(path, str(path)) for path in local_paths(source.uri, settings.root, ".parquet")]
        _refuse_too_many((read_footer(file.path, file.shown).n_rows for file in files), source.uri, settings)
        return files
    filesystem, paths = _remote_paths(source.uri, ".parquet")
    with remote_failures(without_credentials(source.uri)):
        _refuse_too_many((_remote_footer(filesystem, path) for path in paths), source.uri, settings)
        return [
            SourceFile(_copy(filesystem, path, work / COPIES / f"{number:04}.parquet"), without_credentials(path))
            for number, path in enumerate(paths)
        ]


def unopened_files(source: CsvSource | ParquetSource, settings: Settings, work: Path) -> list[SourceFile]:
    """Return the files of a source on this machine, in the order of :func:`csv_files` or :func:`parquet_files`.

    Footers are not read, which takes the import of a library: for files whose hashes are known, they were read before.

    Raises
    ------
    SourceError
        There is no file, or one cannot be read or is not in the declared encoding.
    """
    if isinstance(source, CsvSource):
        return csv_files(source, settings, work)
    return [SourceFile(path, str(path)) for path in local_paths(source.uri, settings.root, ".parquet")]


def opened_paths(source: CsvSource | ParquetSource, settings: Settings, work: Path) -> list[Path]:
    """Return the local files from which the rows of a source were read, in order: its own, or the copies of them.

    Parameters
    ----------
    source
        A source whose files :func:`csv_files` or :func:`parquet_files` has opened.
    settings
        Settings of the project.
    work
        Folder of the run with the copies.
    """
    suffix = f".{source.kind}"
    return sorted((work / COPIES).glob(f"*{suffix}")) or local_paths(source.uri, settings.root, suffix)


def local_paths(uri: str, root: Path, suffix: str) -> list[Path]:
    """Return the files of a path relative to the project, sorted: a file, a folder's files or a glob's matches.

    Raises
    ------
    SourceError
        There is no such file.
    """
    path = root / Path(uri).expanduser()
    if path.is_file():
        return [path]
    if path.is_dir():
        inside = (file for file in path.rglob(f"*{suffix}*") if is_data_file(file.relative_to(path), suffix))
        found = sorted(file for file in inside if file.is_file())
    else:
        # Path.glob takes no absolute pattern; stars and brackets of the project's own folder are no pattern.
        matches = glob.glob(str(Path(uri).expanduser()), root_dir=root, recursive=True)  # noqa: PTH207 - see above
        found = sorted(file for match in matches if (file := root / match).is_file())
    if not found:
        whose = "" if Path(uri).expanduser().is_absolute() else f"; {uri!r} is relative to the project's folder {root}"
        raise SourceError(f"no file {path}{whose}. Expected a file, a folder with {suffix} files or a glob")
    return found


def text_sample(file: SourceFile) -> str:
    """Return the beginning of a UTF-8 file as text.

    Raises
    ------
    SourceError
        It cannot be read or is not UTF-8.
    """
    try:
        with file.path.open("rb") as stream:
            head = stream.read(SAMPLE_BYTES)
    except OSError as error:
        raise SourceError(f"{file.shown} cannot be read: {error.strerror}") from error
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    return _decoded(decoder, head, len(head) < SAMPLE_BYTES, file, "utf-8")


def read_footer(file: Path | IO[bytes], shown: str) -> Footer:
    """Read a Parquet file's footer, without its rows.

    Raises
    ------
    SourceError
        It is truncated or not Parquet.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file) as parquet:
            schema: pa.Schema = parquet.schema_arrow
            n_rows = int(parquet.metadata.num_rows)
            names = tuple(schema.names)
            categories = _categories(parquet.metadata.metadata or {})
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        if isinstance(file, Path) and (format_ := _other_format(file)):
            raise SourceError(f"{shown} {format_}") from error
        reason = str(error).splitlines()[0]
        raise SourceError(f"{shown} is truncated or not a Parquet file ({reason}); fetch or write it again") from error
    if n_rows < 0:
        raise SourceError(f"{shown} states {n_rows} rows, so it is damaged; fetch or write it again")
    return Footer(n_rows, names, categories)


def _categories(metadata: Mapping[bytes, bytes]) -> frozenset[str]:
    # Arrow restores dictionaries of text only; its own schema, kept beside Parquet's, has all of them.
    import pyarrow as pa

    if b"ARROW:schema" not in metadata:
        return frozenset()
    try:
        schema = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(metadata[b"ARROW:schema"])))
    except (binascii.Error, pa.ArrowException):
        return frozenset()  # a hint only: the columns are read without it
    return frozenset(
        field.name
        for field in schema
        if pa.types.is_dictionary(field.type) and not field.type.ordered and _is_number(field.type.value_type)
    )


def _is_number(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _other_format(file: Path) -> str | None:
    """Return what a file is that should be Parquet; None if it begins like Parquet, or cannot be opened."""
    try:
        with file.open("rb") as stream:
            head = stream.read(SAMPLE_BYTES)
    except OSError:
        return None
    return None if head.startswith(b"PAR1") else foreign_format(head)


@contextmanager
def remote_failures(shown: str, done: Literal["read", "written"] = "read") -> Iterator[None]:
    """Turn errors of a remote file system into a :class:`SourceError`.

    Parameters
    ----------
    shown
        Address without credentials.
    done
        What cannot be done with it.
    """
    try:
        with storage_errors():
            yield
    except ImportError as error:
        raise SourceError(f"{shown} needs a package that is not installed: {error}") from error
    except _read_errors() as error:
        # Clients quote the address they asked, with all that stands in it.
        reason = _ADDRESS.sub(lambda found: without_credentials(found[0]), str(error) or type(error).__name__)
        raise SourceError(
            f"{shown} cannot be {done}: {reason.splitlines()[0]}. "
            "Check the file or the address, the network and the credentials"
        ) from error


def is_data_file(path: Path, suffix: str) -> bool:
    """Return whether a file inside a source's folder, by its path in it, holds rows: no part of it is hidden."""
    hidden = any(part.startswith(("_", ".")) for part in path.parts)
    name = path.name.removesuffix(path.suffix) if path.suffix in _COMPRESSED else path.name
    return not hidden and name.endswith(suffix)


def _is_local(filesystem: Any) -> bool:
    protocol = filesystem.protocol
    return "file" in ((protocol,) if isinstance(protocol, str) else protocol)


def _only_path(paths: list[str], uri: str) -> str:
    if len(paths) != 1:
        raise SourceError(f"{uri}: write a glob or folder on this machine as a plain path, without file://")
    return paths[0]


def _remote_paths(uri: str, suffix: str) -> tuple[Any, list[str]]:
    import fsspec

    shown = without_credentials(uri)
    with remote_failures(shown):
        filesystem, path = fsspec.core.url_to_fs(uri)
        # Listings are cached per process; a worker that runs for weeks would never see a new file.
        filesystem.invalidate_cache()
        if glob.has_magic(path):
            paths = sorted(filesystem.glob(path))
        elif filesystem.isdir(path):
            paths = sorted(name for name in filesystem.find(path) if is_data_file(Path(name[len(path) :]), suffix))
        else:
            paths = [path] if filesystem.exists(path) else []
    if not paths:
        raise SourceError(f"no file {shown}; expected a file, a folder with {suffix} files or a glob")
    return filesystem, paths


def _remote_footer(filesystem: Any, path: str) -> int:
    with filesystem.open(path, "rb") as stream:
        return read_footer(stream, without_credentials(path)).n_rows


def _refuse_too_many(counts: Iterator[int], uri: str, settings: Settings) -> None:
    n_rows = sum(counts)
    if n_rows > settings.max_rows:
        raise too_many_rows(without_credentials(uri), f"has {n_rows:,} rows", settings)


def too_many_rows(shown: str, found: str, settings: Settings) -> SourceTooLargeError:
    """Build the error for a source above the limit."""
    return SourceTooLargeError(
        f"{shown} {found}, the limit is {settings.max_rows:,}; use fewer rows, or raise PERENNIAL_MAX_ROWS"
    )


def _copy(filesystem: Any, path: str, target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    with filesystem.open(path, "rb") as stream, target.open("wb") as copy:
        shutil.copyfileobj(stream, copy, CHUNK)
    return target


def _decoded_copies(
    opened: list[tuple[str, str]], encoding: str, work: Path, filesystem: Any = None
) -> list[SourceFile]:
    import fsspec

    source = filesystem or fsspec.filesystem("file")
    copies = []
    for number, (shown, path) in enumerate(opened):
        target = work / COPIES / f"{number:04}.csv"
        target.parent.mkdir(parents=True, exist_ok=True)
        with remote_failures(shown):
            _refuse_several_members(source, path, shown)
            with source.open(path, "rb", compression="infer") as stream:
                _decode_into(stream, target, shown, encoding)
        copies.append(SourceFile(target, shown))
    return copies


def _refuse_several_members(filesystem: Any, path: str, shown: str) -> None:
    """Refuse an archive of several files, of which the decompression would read the first."""
    if not path.endswith(".zip"):
        return
    with filesystem.open(path, "rb") as stream, zipfile.ZipFile(stream) as archive:
        names = [one.filename for one in archive.infolist() if not one.is_dir()]
    if len(names) != 1:
        raise SourceError(
            f"{shown} holds {len(names):,} files; expected one: unpack it, or name one, as in zip://NAME.csv::{shown}"
        )


def _decode_into(stream: IO[bytes], target: Path, shown: str, encoding: str) -> None:
    decoder = codecs.getincrementaldecoder(_codec(encoding))()
    line = 1
    with storage_errors(target), target.open("w", encoding="utf-8", newline="") as copy:
        while block := stream.read(CHUNK):
            text = _decoded(decoder, block, False, SourceFile(target, shown), encoding, line)
            line += text.count("\n")
            copy.write(text)
        copy.write(_decoded(decoder, b"", True, SourceFile(target, shown), encoding, line))


def _decoded(
    decoder: codecs.IncrementalDecoder, block: bytes, final: bool, file: SourceFile, encoding: str, line: int = 1
) -> str:
    wide = encoding.startswith(("utf-16", "utf-32"))
    if line == 1 and (format_ := foreign_format(block) or (None if wide or encoding == "utf-8" else not_text(block))):
        raise SourceError(f"{file.shown} {format_}")
    try:
        return decoder.decode(block, final)
    except UnicodeError as error:
        if not wide and (problem := not_text(block)):
            raise SourceError(f"{file.shown} {problem}") from error
        others = " or ".join(other for other in ("utf-8", "cp1252", "utf-16") if other != encoding)
        if isinstance(error, UnicodeDecodeError):
            line += error.object[: error.start].count(b"\n")
        reason = getattr(error, "reason", error)
        raise SourceError(
            f"{file.shown}, line {line}: not {encoding} text ({reason}); set source.encoding to {others}, "
            "or save it as UTF-8"
        ) from error


def _codec(encoding: str) -> str:
    return "utf-8-sig" if encoding == "utf-8" else encoding


def _read_errors() -> tuple[type[Exception], ...]:
    """Return OSError, ValueError, and the other errors of decompression and of the loaded cloud clients."""
    known = {
        "botocore.exceptions": ("BotoCoreError", "ClientError"),
        "aiohttp": ("ClientError",),
        "google.auth.exceptions": ("GoogleAuthError",),
        "azure.core.exceptions": ("AzureError",),
    }
    loaded = ((sys.modules.get(module), names) for module, names in known.items())
    raised = (getattr(module, name) for module, names in loaded if module is not None for name in names)
    return (OSError, ValueError, EOFError, lzma.LZMAError, zipfile.BadZipFile, zlib.error, *raised)
