"""Service workers are killed and PostgreSQL stops for a while, in the middle of a release under traffic."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue

import pytest
from sqlalchemy import select

from core.errors import StorageError
from core.release.outcome import ReleaseOutcome
from store.champions import champion_history
from store.database import reading
from store.releases.releases import newest_release
from store.tables import EventRow, PredictionRequestRow
from tests.factories import make_project
from tests.postgres import PostgresServer, postgres_server
from tests.serving.running import await_that
from tests.tasks.release.live import MODEL, Answer, Trial, trial

pytestmark = pytest.mark.slow

AWAY_SECONDS = 3.0
BATCH = 80


@contextmanager
def _traffic(one: Trial) -> Iterator[SimpleQueue[list[Answer]]]:
    """Send rows until the block ends; the queue gets what was answered."""
    answered: SimpleQueue[list[Answer]] = SimpleQueue()
    over = threading.Event()

    def run() -> None:
        while not over.is_set():
            answered.put(one.send(BATCH))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield answered
    finally:
        over.set()
        thread.join()


def _label(one: Trial, answered: SimpleQueue[list[Answer]]) -> None:
    """Label what was answered, and at least one batch; again if a worker or the database was away."""
    found = answered.get(timeout=120)
    while not answered.empty():
        found += answered.get()
    if found:
        await_that(lambda: one.send_labels(found) == 200)


def _disturb(one: Trial, server: PostgresServer, stage: str) -> None:
    """Kill a worker; in a step, let the database be away too, and look meanwhile."""
    assert one.served is not None
    random.Random(stage).choice(one.served.workers()).kill()  # noqa: S311 - no secret
    if stage == "step":
        server.stop()
        with pytest.raises(StorageError):
            one.look()
        time.sleep(AWAY_SECONDS)
        server.start()


def _look(one: Trial) -> ReleaseOutcome:
    found: list[ReleaseOutcome] = []

    def done() -> bool:
        try:
            found.append(one.look())
        except StorageError:  # connections from before the stop
            return False
        return True

    await_that(done)
    return found[-1]


def test_a_release_survives_kills_and_a_stop_of_the_database(tmp_path: Path) -> None:
    """It ends as without them; each answer that a client has is in the log once, and no request is answered twice."""
    disturbed: set[str] = set()
    with postgres_server() as server:
        settings = make_project(tmp_path).model_copy(update={"database_url": server.address})
        with trial(settings, "binary") as one:
            one.begin(one.register("b", 1.0))
            with _traffic(one) as answered:
                outcome = None
                while outcome is None or not outcome.is_over:
                    if (stage := one.stage()[0]) not in disturbed:
                        disturbed.add(stage)
                        _disturb(one, server, stage)
                    _label(one, answered)
                    outcome = _look(one)
            state = newest_release(one.engine, MODEL)
            assert state is not None
            assert [step.action for step in state.steps] == ["started", "advanced", "promoted", "completed"]
            assert [entry.version for entry in champion_history(one.engine, MODEL)] == [1, 2]
            with reading(one.engine) as connection:
                events = Counter(connection.scalars(select(EventRow.name)).all())
                row = PredictionRequestRow
                chosen = select(row.id, row.entity_keys).where(row.variant != "shadow", row.failure.is_(None))
                logged = connection.execute(chosen).all()
            releases = {name: n for name, n in events.items() if ".release." in name}
            assert releases == {
                "perennial.release.started": 1,
                "perennial.release.advanced": 2,
                "perennial.release.completed": 1,
            }
    assert disturbed == {"shadow", "step", "bake"}
    statuses = Counter(status for status, _ in one.answers)
    assert statuses[200] > 300
    assert set(statuses) <= {200, 503}, statuses
    told = {found["predictions"][0]["id"] for status, found in one.answers if status == 200}
    by_key = Counter(found.entity_keys for found in logged)
    assert told <= {f"{found.id}" for found in logged}
    assert max(by_key.values()) == 1
