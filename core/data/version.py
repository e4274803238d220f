"""DVC's hash of a folder, computed without importing DVC."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import PurePosixPath

EMPTY = "d751713988987e9331980363e24189ce.dir"
"""Version of a folder without files."""

_VERSION = re.compile(r"^([0-9a-f]{6,32})(\.dir)?$")
_BATCH = re.compile(r"^(\d{4,})-([0-9a-f]{12})\.parquet$")


def tree_bytes(files: Mapping[str, str]) -> bytes:
    """Return the content of the tree object that DVC stores for a folder.

    Parameters
    ----------
    files
        MD5 (32 hex digits) by path relative to the folder, with ``/`` as separator.
    """
    entries = [{"md5": files[path], "relpath": path} for path in sorted(files)]
    return json.dumps(entries, sort_keys=True).encode()


def tree_version(files: Mapping[str, str]) -> str:
    """Return the hash of a folder as DVC computes it: MD5 of :func:`tree_bytes` and ``.dir``.

    Examples
    --------
    >>> tree_version({"a.parquet": "0cc175b9c0f1b6a831c399e269772661"})
    '5e2ba7e3551bcca37b6f1fc8b6af09d5.dir'
    >>> tree_version({}) == EMPTY
    True
    """
    return hashlib.md5(tree_bytes(files), usedforsecurity=False).hexdigest() + ".dir"


def tree_files(content: bytes) -> dict[str, str]:
    """Return the MD5 by relative path from the content of a tree object, see :func:`tree_bytes`.

    Raises
    ------
    ValueError
        The content is not a tree object, or a path in it is outside the folder.
    """
    entries = json.loads(content)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError("expected a list of entries")
    try:
        files = {str(entry["relpath"]): str(entry["md5"]) for entry in entries}
    except KeyError as error:
        raise ValueError(f"an entry has no {error}") from error
    for path, md5 in files.items():
        # A tree object may come from a remote that others write to: it must not name a file outside the folder.
        parts = PurePosixPath(path).parts
        if not parts or parts[0] == "/" or ".." in parts or not re.fullmatch(r"[0-9a-f]{32}", md5):
            raise ValueError(f"expected a path inside the folder and an MD5, found {path!r}: {md5!r}")
    return files


def model_files(files: Mapping[str, str], model: str) -> dict[str, str]:
    """Return the entries of one model in the tree of ``data/``, by path relative to the model's folder."""
    lead = f"{model}/"
    return {path.removeprefix(lead): md5 for path, md5 in files.items() if path.startswith(lead)}


def with_model_files(files: Mapping[str, str], model: str, batches: Mapping[str, str]) -> dict[str, str]:
    """Return the tree of ``data/`` with one model's entries replaced.

    Parameters
    ----------
    files
        Tree of ``data/``: MD5 by relative path.
    model
        Name of the model.
    batches
        New entries of the model: MD5 by file name.
    """
    others = {path: md5 for path, md5 in files.items() if not path.startswith(f"{model}/")}
    return others | {f"{model}/{name}": md5 for name, md5 in batches.items()}


def version_prefix(text: str) -> str | None:
    """Return the hex digits of a version (6 to 32 of them, with or without ``.dir``); None if the text is not one.

    Examples
    --------
    >>> version_prefix("4F68BA.dir"), version_prefix("4f68"), version_prefix("../etc")
    ('4f68ba', None, None)
    """
    found = _VERSION.match(text.strip().lower())
    return found.group(1) if found else None


def batch_number(name: str) -> int | None:
    """Return the sequence number in a batch's file name; None if the name is not that of a batch."""
    found = _BATCH.match(name)
    return int(found.group(1)) if found else None


def batch_file_name(number: int, fingerprint: str) -> str:
    """Return the file name of a batch: its number in four or more digits, and 12 hex digits of its fingerprint."""
    return f"{number:04d}-{fingerprint[:12]}.parquet"


def pointer_text(version: str, size_bytes: int | None, n_files: int) -> str:
    """Return the text of ``data.dvc`` exactly as DVC writes it.

    Parameters
    ----------
    version
        Hash of the folder ``data/``: 32 hex digits and ``.dir``.
    size_bytes
        Size of all files; None to omit it.
    n_files
        Number of files.
    """
    size = "" if size_bytes is None else f"  size: {size_bytes}\n"
    return f"outs:\n- md5: {version}\n{size}  nfiles: {n_files}\n  hash: md5\n  path: data\n"


def pointer_version(text: str) -> str | None:
    """Return the version in the text of ``data.dvc``; None if there is none or, after a merge conflict, several."""
    found = re.findall(r"^\s*-?\s*md5:\s*([0-9a-f]{32}\.dir)\s*$", text, flags=re.MULTILINE)
    return found[0] if len(found) == 1 else None
