"""Fetch the bundle of a champion into the folder that the prediction service reads.

``python -m tasks.serving.bring_bundle`` reads one line of JSON, a :class:`Question`, and prints one:
``{"manifest": …}``, or ``{"error": …, "kind": "bundle" | "storage"}``. It is a separate process
because the service imports no MLflow, and because a bundle that is not yet verified may contain anything.
"""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from config.settings import Settings, load_settings
from core.errors import BundleError, PerennialError, StorageError
from core.storage_failure import storage_errors
from core.train.trust import trusted_types
from serving.model.served import load_model
from tasks.registry.fetch import fetched


@dataclass(frozen=True)
class Question:
    """The bundle to fetch, see :class:`serving.processes.follower.Wanted`."""

    model: str
    version: int
    manifest: str | None
    folder: Path
    trusted: tuple[str, ...]


def bring_bundle(question: Question, settings: Settings) -> str:
    """Fetch a bundle, check that it is the one that is recorded and that it predicts, and move it into place.

    A repeat is harmless: the folder is named by the hash of the bundle's manifest.

    Returns
    -------
    str
        SHA-256 of its manifest, which is the name of its folder.

    Raises
    ------
    BundleError
        It is not the bundle that was registered, or does not load.
    ModelNotFoundError
        The registry has no such version.
    StorageError
        MLflow or the artifact store is unavailable, or the disk is full.
    """
    with fetched(question.model, question.version, settings) as found:
        if question.manifest not in (None, found.manifest_sha256):
            raise BundleError(
                f"version {question.version} of {question.model!r} is recorded with another manifest "
                f"({found.manifest_sha256[:12]}…) than the service asked for ({str(question.manifest)[:12]}…): "
                "the operational database was replaced in between; the service asks again"
            )
        load_model(
            found.folder,
            found.manifest_sha256,
            trusted_types(question.trusted),
            name=question.model,
            version=question.version,
        )
        place = question.folder / found.manifest_sha256
        try:
            question.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            shutil.rmtree(place, ignore_errors=True)
            found.folder.replace(place)
        except OSError as error:
            raise StorageError(f"the bundle cannot be moved to {place}: {error}; free disk space") from error
        return found.manifest_sha256


def main() -> None:
    """Answer one question."""
    question = TypeAdapter(Question).validate_json(sys.stdin.readline())
    try:
        with storage_errors():
            answer = {"manifest": bring_bundle(question, load_settings())}
    except PerennialError as error:
        answer = {"error": str(error), "kind": "storage" if isinstance(error, StorageError) else "bundle"}
    sys.stdout.write(f"{json.dumps(answer)}\n")


if __name__ == "__main__":
    main()
