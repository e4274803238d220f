"""When served rows need not be read again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from store.database import open_database
from store.log.labels import Label, record_labels
from tasks.served.remembered import are_known, label_key, remember_labels
from tests.factories import credit_config, make_project

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def test_labels_are_remembered_until_one_more_is_known(tmp_path: Path) -> None:
    """A corrected one counts as one more, and so does another rule of the model file."""
    settings, config = make_project(tmp_path), credit_config()
    engine = open_database(settings.database_url)
    record_labels(engine, "credit", [Label("key", "L-1", "1"), Label("key", "L-2", "0")], "ci", NOW)
    assert not are_known(config, settings)
    remember_labels(config, settings, label_key(config, settings))
    assert are_known(config, settings)
    assert not are_known(credit_config(labels={"match_days": 3}), settings)
    record_labels(engine, "credit", [Label("key", "L-1", "0")], "ci", NOW + timedelta(days=1))
    assert not are_known(config, settings)
    record_labels(engine, "credit", [Label("key", "L-3", "0")], "ci", datetime.now(UTC) + timedelta(days=1))
    key = label_key(config, settings)
    assert key == label_key(config, settings), "a label of a clock that is ahead is not known yet"
    assert key != label_key(config, settings, datetime.now(UTC) + timedelta(days=2))
