"""Resolve the names of data versions."""

from __future__ import annotations

from sqlalchemy import Engine

from config.settings import Settings
from core.data.version import model_files, tree_version, version_prefix
from core.errors import DataVersionError
from store.data import owners, versions
from tasks.versions.dvc_stores import DvcStores, open_stores
from tasks.versions.working_copy import batch_hashes, cached_tree, pointed_version

LATEST = "latest"
"""Name of the newest version."""


def latest_version(model: str, settings: Settings, engine: Engine, stores: DvcStores) -> str | None:
    """Return the full name of the newest version: the last recorded one, else the one in ``data.dvc``.

    None if the model has no data yet. ``data.dvc`` comes second, because runs version data without committing to git.
    """
    recorded = versions(engine, model)
    if recorded:
        return recorded[-1].version
    pointed = pointed_version(settings)
    tree = None if pointed is None else stores.tree(pointed)
    files = {} if tree is None else model_files(tree, model)
    return tree_version(files) if files else None


def resolved_version(model: str, text: str, settings: Settings, engine: Engine, stores: DvcStores | None = None) -> str:
    """Return the full name of the version given as ``text``; versions known here are searched before the remote.

    Raises
    ------
    DataVersionError
        The text is malformed, or matches no version or several.
    StorageError
        The remote does not answer.
    """
    prefix = version_prefix(text)
    if prefix is None:
        raise DataVersionError(
            f"{text!r} is no data version: expected 32 hex digits or the first 6 or more of them; "
            + _known_text(model, settings, engine)
        )
    found = {version for version in _known_versions(model, settings, engine) if version.startswith(prefix)}
    if not found and len(prefix) == 32:
        return f"{prefix}.dir"
    if not found:
        candidates = (stores or open_stores(settings, engine)).versions_starting_with(prefix)
        found = {version for version in candidates if owners(engine, version) <= {model}}
    if len(found) == 1:
        return found.pop()
    if found:
        raise DataVersionError(f"{text!r} matches {', '.join(sorted(found))}; give more digits")
    raise DataVersionError(
        f"no data version of {model!r} starts with {prefix!r}; {_known_text(model, settings, engine)}"
    )


def version_files(
    model: str, version: str, settings: Settings, engine: Engine, stores: DvcStores | None = None
) -> dict[str, str]:
    """Return the batches of a data version by name, after a check that they belong to this model.

    Parameters
    ----------
    stores
        DVC's cache and remote. If they are not open, DVC is imported only where its cache does not hold the version.

    Raises
    ------
    DataVersionError
        The version does not exist, or belongs to another model.
    StorageError
        The remote does not answer.
    """
    others = owners(engine, version)
    if others and model not in others:
        raise DataVersionError(
            f"data version {version} belongs to the model {', '.join(sorted(others))!r}, not to {model!r}"
        )
    files = cached_tree(version, settings) if stores is None else None
    if files is None:
        stores = stores or open_stores(settings, engine)
        files = stores.tree(version)
        if files is None:
            raise DataVersionError(
                f"neither DVC's cache nor the remote {stores.remote.name!r} has data version {version}; "
                + _known_text(model, settings, engine)
            )
    if not all("/" not in name and name.endswith(".parquet") for name in files):
        raise DataVersionError(
            f"data version {version} contains files that are no batches; {_known_text(model, settings, engine)}"
        )
    return files


def _known_versions(model: str, settings: Settings, engine: Engine) -> list[str]:
    known = [row.version for row in versions(engine, model)]
    current = batch_hashes(model, settings, engine)
    pointed = pointed_version(settings)
    tree = None if pointed is None else cached_tree(pointed, settings)
    candidates = [current, {} if tree is None else model_files(tree, model)]
    known += [tree_version(files) for files in candidates if files]
    return list(dict.fromkeys(known))


def _known_text(model: str, settings: Settings, engine: Engine) -> str:
    known = _known_versions(model, settings, engine)[-10:]
    if not known:
        return "no version is known here; 'git log data.dvc' lists the committed ones"
    return f"known here, newest last: {', '.join(version.removesuffix('.dir') for version in known)}"
