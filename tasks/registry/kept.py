"""The copies of bundles that this machine keeps, so that a run that reads the same version again needs no registry."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from config.settings import Settings
from core.errors import BundleError
from serving.bundle.reader import verified
from tasks.registry.fetch import fetched


@contextmanager
def kept_bundle(model: str, version: int, manifest: str, settings: Settings) -> Iterator[Path]:
    """Return the folder of a version's bundle: the copy on this machine, else one that is fetched and kept.

    The copies are those of the prediction service, named by the hash of their manifest; every use verifies every file.
    MLflow is asked, and imported, only where there is no sound copy. A fetched bundle is kept at the end of the block,
    when it was used without an error: the service takes a copy that is there for one that loads.

    Parameters
    ----------
    manifest
        SHA-256 of the bundle's manifest, as the operational database records it.

    Raises
    ------
    ModelNotFoundError, BundleError, StorageError
        See :func:`tasks.registry.fetch.fetched`.
    """
    place = settings.var / "serving" / "bundles" / model / manifest
    if _is_sound(place, manifest):
        yield place
        return
    with fetched(model, version, settings) as found:
        if found.manifest_sha256 != manifest:
            raise BundleError(
                f"version {version} of {model!r} is recorded with another bundle now; the operational database was "
                "replaced meanwhile: run the same command again"
            )
        yield found.folder
        _keep(found.folder, place)


def _is_sound(place: Path, manifest: str) -> bool:
    try:
        # Retention removes copies that were not used for an hour.
        os.utime(place)
        verified(place, manifest)
    except (OSError, BundleError):
        return False
    return True


def _keep(folder: Path, place: Path) -> None:
    """Move a fetched bundle to its place, unless that is another user's."""
    with suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        shutil.rmtree(place, ignore_errors=True)
        folder.replace(place)
