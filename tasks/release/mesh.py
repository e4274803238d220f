"""The weights of a mesh: a projection of the release's share in the operational database, like MLflow's aliases."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine

from config.settings import MeshSettings, Settings, load_section
from core.errors import ConfigError, ReleaseError, StorageError
from core.release.mesh import Wanted, challenger_weight, patch, path
from core.release.outcome import ReleaseOutcome
from core.release.recorded import RecordedPlan
from store.database import open_database
from store.releases.records import ReleaseState
from store.releases.releases import newest_release, newest_releases
from tasks.release.api import Api, message

if TYPE_CHECKING:
    from pathlib import Path

    from config.schema import Mesh

_logger = logging.getLogger("perennial.release")

ATTEMPTS = 5
"""Reads and patches of an object that others change at the same time."""

WATCH_SECONDS = 60.0
"""Between two looks of the relay."""


def project(engine: Engine, model: str) -> int:
    """Give the mesh of a model's newest release its share; return the number of patches.

    A repeat reads the object and writes nothing that is right. The database is read again after writing; if the release
    moved in the meantime, the share is written again, so the last writer leaves the newest one.

    Parameters
    ----------
    engine
        The operational database.
    model
        Name of the model.

    Raises
    ------
    ConfigError
        The cluster does not accept the credentials.
    ReleaseError
        The object does not exist, or does not have the form that the model file expects.
    StorageError
        The cluster does not answer, or others change the object all the time.
    """
    state, patches = newest_release(engine, model), 0
    while state is not None and (mesh := RecordedPlan.from_json(state.release.plan).mesh) is not None:
        patches += _apply(mesh, _wanted(state))
        newest = newest_release(engine, model)
        if newest is None or _mark(newest) == _mark(state):
            break
        state = newest
    return patches


def follow(engine: Engine, model: str) -> str:
    """Give the mesh its share; return why it does not have it, as a sentence, or an empty text.

    The database says what the share is, so a cluster that is away keeps no release from moving or ending: the next
    look, and the relay once a minute, repair the weights.
    """
    try:
        project(engine, model)
    except (ConfigError, ReleaseError, StorageError) as error:
        said = f"the mesh may not have the share of the release yet, the next look repairs it: {error}"
        _logger.warning("%s: %s", model, said)
        return said
    return ""


def followed(outcome: ReleaseOutcome, settings: Settings) -> ReleaseOutcome:
    """Give the mesh the share after a look; the outcome says so if it does not have it."""
    said = follow(open_database(settings.database_url), outcome.model)
    return replace(outcome, reasons=(*outcome.reasons, said)) if said else outcome


def prepare(engine: Engine, model: str, mesh: Mesh | None) -> None:
    """Check, before a release starts, that its mesh can be written and sends the challenger nothing.

    Raises
    ------
    ReleaseError
        The challenger gets requests already, or the object is not what the model file expects.
    ConfigError, StorageError
        As for :func:`project`.
    """
    if mesh is None:
        return
    project(engine, model)
    weight = challenger_weight(mesh, _read(_api(), mesh))
    if weight:
        raise ReleaseError(
            f"the challenger in {mesh.namespace}/{mesh.name} has the weight {weight} already, expected 0: let the "
            "champion's backend answer with the champion, set the weight to 0, and start the release again"
        )


class MeshWatch:
    """Repairs once a minute the weights that a killed command, or a cluster that was away, left as they were.

    Parameters
    ----------
    settings
        Names the database.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._next_look = 0.0

    def look(self) -> int:
        """Repair all models; return the number of patches.

        Raises
        ------
        ConfigError, ReleaseError, StorageError
            The weights of a model could not be written; those of all others were.
        """
        if time.monotonic() < self._next_look:
            return 0
        self._next_look = time.monotonic() + WATCH_SECONDS
        engine, done, failures = open_database(self._settings.database_url), 0, []
        for state in newest_releases(engine):
            try:
                done += project(engine, state.release.model)
            except (ConfigError, ReleaseError, StorageError) as error:
                failures.append(error)
        if failures:
            raise failures[0]
        return done


def _wanted(state: ReleaseState) -> Wanted:
    return Wanted(state.newest.share, _mark(state), state.is_over)


def _mark(state: ReleaseState) -> str:
    newest = state.newest
    return f"{newest.model}.{newest.number}.{newest.sequence}"


def _apply(mesh: Mesh, wanted: Wanted) -> bool:
    """Read, compare and patch, again if others changed the object; return whether there was something to do."""
    api, status, document = _api(), 0, None
    for attempt in range(ATTEMPTS):
        time.sleep(0.1 * attempt)
        change = patch(mesh, _read(api, mesh), wanted)
        if change is None:
            return False
        status, document = api.send("PATCH", path(mesh), content=change.document, content_type=change.content_type)
        if status < 300:
            return True
        if status not in {409, 422}:  # 422 is also how Kubernetes says that a test of a JSON patch failed
            break
    said = f"PATCH {path(mesh)}: {status} {message(document)}"
    if status == 409:
        raise StorageError(f"others change the object all the time; {said}")
    raise ReleaseError(f"the cluster does not accept the weights; {said}")


def _read(api: Api, mesh: Mesh) -> Any:
    status, document = api.send("GET", path(mesh))
    if status >= 300:
        raise ReleaseError(
            f"GET {path(mesh)}: expected the object of release.mesh, found {status} {message(document)}; "
            "correct the model file, or create the object"
        )
    return document


def _api() -> Api:
    given = load_section(MeshSettings)
    token = given.token.get_secret_value() if given.token else _text(given.token_file)
    ca_file = given.ca_file if given.ca_file.exists() or "ca_file" in given.model_fields_set else None
    return Api(
        "the Kubernetes API", given.api_url, token or None, ca_file, given.timeout_seconds, "PERENNIAL_MESH_API_"
    )


def _text(file: Path) -> str | None:
    """Return the token in a file; None if there is no file."""
    try:
        return file.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: the token cannot be read ({error}); check PERENNIAL_MESH_TOKEN_FILE") from error
