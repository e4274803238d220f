"""Ask for looks at running releases, one after the other."""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import Engine

from config.settings import Settings
from core.errors import ConfigError
from core.operate.deployments import TAG
from core.release.recorded import RecordedPlan
from store.database import open_database
from store.releases.releases import newest_releases, running_releases
from tasks.release.waiting import waiting_verdict
from tasks.runs.api import prefect_client

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

    from store.releases.records import ReleaseState

_log = logging.getLogger("perennial.relay")

NO_DEPLOYMENT_SECONDS = 30.0
"""Pause after a model had no deployment of the flow."""

WAITING_SECONDS = 10.0
"""Pause between two searches for versions that wait for the end of a release that has ended."""


class ReleaseWatch:
    """Asks for a look at each running release at the interval of its plan.

    It asks for a look at an ended one too if a version waits for its end, because the look starts its release: a person
    may have ended the one before.

    A look is a flow run of the deployment ``release/<model>``. Its idempotency key is the release and the interval that
    the time lies in, so several relays, or one that was killed, ask once.

    Parameters
    ----------
    settings
        Names the database and the Prefect API.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._asked: dict[str, str] = {}
        self._not_before: dict[str, float] = {}
        self._next_search = 0.0

    def look(self) -> int:
        """Ask for the looks that are due; return how many.

        Raises
        ------
        StorageError
            The database or Prefect failed.
        """
        engine = open_database(self._settings.database_url)
        states = [*running_releases(engine), *self._waited_for(engine)]
        due = [(state, key) for state in states if (key := self._due(state)) is not None]
        if not due:
            return 0
        with prefect_client(self._settings) as client:
            return sum(self._ask(client, state, key) for state, key in due)

    def _waited_for(self, engine: Engine) -> list[ReleaseState]:
        """Return the ended releases whose end a version waits for."""
        if time.monotonic() < self._next_search:
            return []
        self._next_search = time.monotonic() + WAITING_SECONDS
        return [state for state in newest_releases(engine) if state.is_over and self._is_waited_for(engine, state)]

    def _is_waited_for(self, engine: Engine, state: ReleaseState) -> bool:
        model = state.release.model
        try:
            return waiting_verdict(engine, model, self._settings) is not None
        except ConfigError as error:
            _log.warning("the next release of %s does not start: %s", model, error)
            return False

    def _due(self, state: ReleaseState) -> str | None:
        model = state.release.model
        seconds = RecordedPlan.from_json(state.release.plan).look_seconds
        slot = int(datetime.now(UTC).timestamp() // seconds)
        key = f"release/{model}/{state.release.number}/{slot}"
        waits = time.monotonic() < self._not_before.get(model, 0.0)
        return None if waits or self._asked.get(model) == key else key

    def _ask(self, client: SyncPrefectClient, state: ReleaseState, key: str) -> bool:
        from prefect.exceptions import ObjectNotFound

        model = state.release.model
        try:
            deployment = client.read_deployment_by_name(f"release/{model}")
        except ObjectNotFound:
            _log.warning("no deployment release/%s: create it with 'perennial deploy --model %s'", model, model)
            self._not_before[model] = time.monotonic() + NO_DEPLOYMENT_SECONDS
            return False
        if not self._is_under_way(client, str(deployment.id)):
            client.create_flow_run_from_deployment(
                deployment.id,
                parameters={"model": model, "trigger": "relay"},
                idempotency_key=key,
                tags=[TAG, f"model:{model}", "trigger:relay"],
            )
        self._asked[model] = key
        return True

    def _is_under_way(self, client: SyncPrefectClient, deployment: str) -> bool:
        """Return whether a look that was asked for has not ended: on a busy machine looks must not pile up."""
        states = {"type": {"any_": ["SCHEDULED", "PENDING", "RUNNING"]}}
        asked = {"deployments": {"id": {"any_": [deployment]}}, "flow_runs": {"state": states}}
        return int(client.request("POST", "/flow_runs/count", json=asked).json()) > 0
